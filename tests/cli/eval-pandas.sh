# MMBench's table is read as pandas reads it: quotes, line breaks and tabs inside of them, what counts as nothing, pictures in base64.
# SPDX-License-Identifier: Apache-2.0
python=${SO_DATA_PYTHON:-python3}
$python -c 'import pandas' 2>/dev/null || {
    echo "SKIP: no pandas (pip install it, and name that python in SO_DATA_PYTHON)" >&2
    exit 77
}
cat >peer.py <<'PY'
import base64, csv, hashlib, json, os, random, subprocess, sys
import pandas as pd
rng, so = random.Random(5), sys.argv[1]
WORDS = ["what", "is", "it?", '"', 'say "so"', "a\nb", "c\r\nd", "x\ty", "é", "图片", "'", ",", "\\", "''", "5", "3.0", "NA"]
NOTHING = ["", "nan", "NaN", "None", "none", "NA", "N/A", "n/a", "null", "NULL", "<NA>", "#N/A", "-nan", "#NA", "1.#QNAN", "-1.#IND"]
columns = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image"]
text = lambda: " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5)))
# As people write such tables: pandas' own quoting, all quoted, or quotes in the middle of a cell, which mean themselves.
def write(path, quoting, mark, end):
    rows = []
    for i in range(600):
        short = i >= 400
        cell = lambda: rng.choice(NOTHING) if rng.random() < 0.2 else text()
        image = "7" if short else base64.b64encode(rng.randbytes(rng.randint(60, 3000))).decode()
        rows.append([str(i), "Q " + text(), cell(), "x " + text(), cell(), cell(), cell(), rng.choice("ABCD"), "c" + str(i % 3), image])
    with open(path, "w", newline="", encoding="utf-8") as out:
        out.write(mark)
        if quoting is None:
            for row in [columns] + rows:
                out.write("\t".join(c.replace("\t", " ").replace("\n", " ").replace("\r", "").lstrip('"') for c in row) + end)
                if rng.random() < 0.1: out.write(end)
        else:
            csv.writer(out, delimiter="\t", quoting=quoting, lineterminator=end).writerows([columns] + rows)
def lacks(value):  # as LLaVA's script tells that there is nothing
    return not isinstance(value, str) or value.lower() in ("nan", "none")
for name, quoting, mark, end in (("minimal", csv.QUOTE_MINIMAL, "", "\n"), ("all", csv.QUOTE_ALL, "\ufeff", "\r\n"), ("none", None, "", "\r\n")):
    os.makedirs(name)
    path = f"{name}/mmbench_dev_en.tsv"
    write(path, quoting, mark, end)
    subprocess.run([so, "eval", "prepare", "mmbench", name], check=True, stdout=subprocess.DEVNULL)
    ours = [json.loads(line) for line in open(f"{name}/questions.jsonl", encoding="utf-8", newline="\n")]
    theirs, wrong, pictures = pd.read_table(path, dtype=str), [], 0
    for row, q in zip(theirs.to_dict("records"), ours):
        choices = []
        for letter in "ABCD":
            if lacks(row[letter]): break
            choices.append(row[letter])
        asked = ("" if lacks(row["hint"]) else row["hint"] + "\n") + row["question"] + "\n"
        same = (q["id"], q["question"], q["choices"], q["truth"], q["category"]) == (
            row["index"], row["question"], choices, row["answer"], row["category"]) and q["text"].startswith(asked)
        if len(row["image"]) > 64:
            same = same and open(f"{name}/{q['image']}", "rb").read() == base64.b64decode(row["image"])
            pictures += 1
        if not same: wrong.append((row, q))
    print(name, len(theirs), len(ours), "rows,", pictures, "pictures,", len(wrong), "differ")
    for row, q in wrong[:3]: print({k: v for k, v in row.items() if k != "image"}, q)
PY
$python peer.py "$SO"
