# Random low-rank adapters of rank 2 for three kinds of matrices of the shipped model's backbone, as a folder of PEFT.
# adapter.py DIR [SETTING=JSON...]: settings of adapter_config.json; drop=[NAME...] and add={NAME: SHAPE} change the tensors.
# SPDX-License-Identifier: Apache-2.0
import json, os, random, struct, sys
shapes = {"self_attn.q_proj": (192, 192), "self_attn.k_proj": (64, 192), "mlp.down_proj": (192, 512)}
folder, more = sys.argv[1], dict(a.split("=", 1) for a in sys.argv[2:])
rng, tensors = random.Random(5), {}
for layer in range(6):
    for module, (n, k) in shapes.items():
        at = f"base_model.model.model.layers.{layer}.{module}."
        tensors[at + "lora_A.weight"] = ([2, k], [rng.gauss(0, k ** -0.5) for _ in range(2 * k)])
        tensors[at + "lora_B.weight"] = ([n, 2], [rng.gauss(0, 0.5) for _ in range(2 * n)])
for name in json.loads(more.pop("drop", "[]")): del tensors[name]
for name, shape in json.loads(more.pop("add", "{}")).items(): tensors[name] = (shape, [0.5] * (shape[0] * shape[1]))
config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "bias": "none", "lora_dropout": 0.0, "use_dora": False, "rank_pattern": {},
          "modules_to_save": None, "target_modules": ["q_proj", "k_proj", "down_proj"], "base_model_name_or_path": "tabletop"}
config.update({k: json.loads(v) for k, v in more.items()})
head, body = {}, b""
for name, (shape, numbers) in tensors.items():
    raw = struct.pack(f"<{len(numbers)}f", *numbers)
    head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
    body += raw
text = json.dumps(head).encode()
os.makedirs(folder, exist_ok=True)
with open(folder + "/adapter_model.safetensors", "wb") as f: f.write(struct.pack("<Q", len(text)) + text + body)
json.dump(config, open(folder + "/adapter_config.json", "w"))
