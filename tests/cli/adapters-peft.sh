# PEFT itself loads the folder of adapters that train wrote: every adapter finds its matrix, and adds the numbers it should.
python=${SO_PEFT_PYTHON:-python3}
$python -c 'import torch, peft' 2>/dev/null || {
    echo "SKIP: no PEFT (pip install peft, and name that python in SO_PEFT_PYTHON)" >&2
    exit 77
}
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
"$make" tiny --tiny --seed 5 >/dev/null || exit 1
printf '{"messages":[{"role":"user","content":"Who is it?"},{"role":"assistant","content":"A b c."}]}\n' >talk.jsonl
cat >run.toml <<'TOML'
stage = "text"
model = "tiny/model"
out = "one"
plan.steps = 5
plan.batch_records = 1
plan.slots = 1
optim.rate = 1e-2
lora.rank = 4
lora.targets = ["q_proj", "down_proj"]
[[data]]
name = "talk"
path = "talk.jsonl"
task = "text"
TOML
$SO train run.toml --threads 1 >/dev/null || exit 1
$python - <<'END' 2>/dev/null
import json, torch
from peft import PeftModel
from safetensors.torch import load_file
# a network with the matrices of the backbone under their published names, and nothing else
config = json.load(open("tiny/model/config.json"))
adapter = load_file("one/adapter/adapter_model.safetensors")
class Node(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.config = {"model_type": "custom", "tie_word_embeddings": False}
    def forward(self, **x): pass
    def prepare_inputs_for_generation(self, **x): pass
net = Node()
for name, a in adapter.items():
    if not name.endswith("lora_A.weight"): continue
    at, path = net, name[len("base_model.model."):-len(".lora_A.weight")].split(".")
    for part in path[:-1]:
        if not hasattr(at, part): at.add_module(part, torch.nn.Module())
        at = getattr(at, part)
    b = adapter[name.replace("lora_A", "lora_B")]
    at.add_module(path[-1], torch.nn.Linear(a.shape[1], b.shape[0], bias=False))
before = {n: p.detach().clone() for n, p in net.named_parameters()}
model = PeftModel.from_pretrained(net, "one/adapter")
loaded = {n.replace(".default", ""): p for n, p in model.named_parameters() if "lora_" in n}
print("as many as in the file:", set(loaded) == set(adapter), len(adapter))
print("the same numbers:", all(torch.equal(loaded[n], adapter[n]) for n in adapter))
merged = model.merge_and_unload()
worst = max(float((p - before[n] - 2 * adapter[f"base_model.model.{n[:-7]}.lora_B.weight"] @ adapter[f"base_model.model.{n[:-7]}.lora_A.weight"]).abs().max())
            for n, p in merged.named_parameters())
print("added as they should be:", worst < 1e-5)
END
