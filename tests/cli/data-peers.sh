# Peers read what is written here, and theirs is read here: webdataset our shards, our index its shards, Hugging Face's datasets our records. Word errors
# are those of jiwer. Parquet and Arrow files become records by the lines of docs/data.md.
python=${SO_DATA_PYTHON:-python3}
$python -c 'import webdataset, datasets, jiwer' 2>/dev/null || {
    echo "SKIP: no webdataset, datasets and jiwer (pip install them, and name that python in SO_DATA_PYTHON)" >&2
    exit 77
}
export HF_HOME=$PWD/hf HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1
mkdir img && cp "$ROOT/examples/table.png" img/a.png
for i in 1 2 3; do
    echo "{\"id\":\"r$i\",\"image\":\"img/a.png\",\"conversations\":[{\"from\":\"human\",\"value\":\"What is on number $i?\"},{\"from\":\"gpt\",\"value\":\"A lamp, é.\"}]}"
done >c.jsonl
"$SO" data index c.jsonl -o records >/dev/null && "$SO" data shard records -o shards >/dev/null || exit 1
cat >peers.py <<'PY'
import io, json, os, random, subprocess, sys, datasets, jiwer, webdataset as wds
so = sys.argv[1]
# Hugging Face's datasets
rows = datasets.load_dataset("json", data_files="records/records.jsonl", split="train")
print("datasets:", len(rows), [r["turns"][0]["text"] for r in rows][:1], rows[2]["turns"][1]["text"])
# our shards by webdataset
seen = list(wds.WebDataset("shards/part-000000.tar", shardshuffle=False))
picture = open("img/a.png", "rb").read()
print("webdataset:", [s["__key__"].split("/")[-1] for s in seen] == sorted(s["__key__"] for s in seen), len(seen),
      all(json.loads(s["json"])["turns"][1]["text"] == "A lamp, é." for s in seen),
      all(any(v == picture for v in s.values()) for s in seen))
# its shards by us
with wds.TarWriter("theirs-000000.tar") as out:
    for i in range(4):
        out.write({"__key__": f"{i:05d}", "png": picture, "txt": f"caption {i}"})
told = subprocess.run([so, "data", "index", "theirs-000000.tar", "-o", "theirs", "--deep"], capture_output=True, text=True)
print("index:", told.stdout.split(";")[0], told.stderr)
# word errors
rng = random.Random(1)
words = "THE CAT SAT ON A MAT AND SAW TWO DOGS".split()
pairs = []
for i in range(2000):
    a = [rng.choice(words) for _ in range(rng.randint(1, 12))]
    b = [w for w in a if rng.random() > 0.15]
    b = [rng.choice(words) if rng.random() < 0.15 else w for w in b]
    if rng.random() < 0.3: b.insert(rng.randint(0, len(b)), rng.choice(words))
    pairs.append((" ".join(a), " ".join(b)))
open("r.txt", "w").write("".join(a + "\n" for a, _ in pairs))
open("h.txt", "w").write("".join(b + "\n" for _, b in pairs))
ours = json.loads(subprocess.run([so, "eval", "wer", "r.txt", "h.txt", "--json"], capture_output=True, text=True).stdout)["authors"]
their = jiwer.process_words([a for a, _ in pairs], [b for _, b in pairs])
wrong = their.substitutions + their.deletions + their.insertions
print("word errors:", wrong == ours["substituted"] + ours["deleted"] + ours["inserted"], abs(their.wer - ours["rate"]) < 1e-9, wrong > 1000)
# Parquet and Arrow, by the code that docs/data.md gives, of which the name of the corpus alone is another
text = open(sys.argv[2] + "/docs/data.md").read().split("## Parquet and Arrow")[1]
code = text.split("```python\n")[1].split("```")[0]
made = datasets.Dataset.from_dict({
    "id": ["p1", "p2"], "image": [{"bytes": picture, "path": None}, None],
    "conversations": [[{"from": "human", "value": v}, {"from": "gpt", "value": a}]
                      for v, a in (("<image>\nWhat is this?", "A lamp, é."), ("And without?", "Words."))],
}).cast_column("image", datasets.Image())
made.to_parquet("theirs.parquet")
made.save_to_disk("saved")
load = datasets.load_dataset
for kind, file in ("parquet", "theirs.parquet"), ("arrow", "saved/data-00000-of-00001.arrow"):
    def ours_instead(name, split, streaming):
        assert name == "lmms-lab/LLaVA-NeXT-Data", name
        return load(kind, data_files=file, split=split, streaming=streaming)
    datasets.load_dataset = ours_instead
    os.makedirs(kind)
    os.chdir(kind)
    file = "../" + file
    exec(code)
    os.chdir("..")
    told = subprocess.run([so, "data", "index", kind + "/next.jsonl", "-o", kind + "/records", "--deep"], capture_output=True, text=True)
    records = [json.loads(line) for line in open(kind + "/records/records.jsonl")]
    print(kind + ":", told.stdout.split(";")[0].replace(kind + "/", ""), [r["turns"][1]["text"] for r in records], told.stderr)
PY
"$python" peers.py "$SO" "$ROOT" 2>error || tail -3 error >&2
