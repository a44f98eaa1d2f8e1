# Low-rank adapters: PEFT's folder and a GGUF file of the same answer alike, merged too; what does not fit is named.
command -v python3 >/dev/null 2>&1 || { echo "SKIP: python3 is absent" >&2; exit 77; }
cp "$ROOT/models/tabletop.gguf" . && model=tabletop.gguf
ask() { $SO ask --quiet --threads 1 "$@" "Hello." "What is two plus three?"; }
python3 "$ROOT/tests/cli/adapter.py" own
ask --model "$model" >plain
ask --model "$model" --lora own >with
cmp -s plain with && echo "the adapter changes nothing"
$SO convert own --model "$model" -o own.gguf
ask --model "$model" --lora own.gguf | cmp - with && echo "the same from GGUF"
$SO convert "$model" --lora own --type f32 -o merged.gguf
ask --model merged.gguf | cmp - with && echo "the same merged"
$SO convert own.gguf --model "$model" -o back >/dev/null
python3 - <<'END'
import json, struct
def load(p):
    b = open(p, "rb").read(); n = struct.unpack("<Q", b[:8])[0]; h = json.loads(b[8:8+n]); h.pop("__metadata__", None)
    return {k: (v["shape"], b[8+n:][v["data_offsets"][0]:v["data_offsets"][1]]) for k, v in h.items()}
print("the same there and back:", load("own/adapter_model.safetensors") == load("back/adapter_model.safetensors"))
c = json.load(open("back/adapter_config.json"))
print(c["r"], c["lora_alpha"], sorted(c["target_modules"]), c["base_model_name_or_path"])
END
$SO convert "$model" --lora own -o again.gguf
$SO export "$model" --lora own --as llama --type f16 -o llama.gguf
# what does not fit
bad() { name=$1; shift; python3 "$ROOT/tests/cli/adapter.py" "$name" "$@"; $SO ask --quiet --model "$model" --lora "$name" "Hello."; }
A=base_model.model.model.layers
bad wrong_rank r=4
bad absent 'target_modules=["q_proj","k_proj","down_proj","gate_proj"]'
bad unnamed 'target_modules=["q_proj","k_proj"]'
bad pattern 'target_modules="all-linear"' "add={\"$A.9.self_attn.q_proj.lora_A.weight\":[2,192],\"$A.9.self_attn.q_proj.lora_B.weight\":[192,2]}"
bad shape 'target_modules="all-linear"' "add={\"$A.0.self_attn.v_proj.lora_A.weight\":[2,64],\"$A.0.self_attn.v_proj.lora_B.weight\":[64,2]}"
bad head 'target_modules="all-linear"' 'add={"base_model.model.lm_head.lora_A.weight":[2,192],"base_model.model.lm_head.lora_B.weight":[1232,2]}'
bad half "drop=[\"$A.3.mlp.down_proj.lora_B.weight\"]"
bad ia3 'peft_type="IA3"'
bad dora use_dora=true
bad patterns 'rank_pattern={"q_proj":4}'
bad bias 'bias="all"'
bad whole 'modules_to_save=["lm_head"]'
mkdir empty
$SO ask --quiet --model "$model" --lora empty "Hello."
$SO ask --quiet --model "$model" --lora nowhere "Hello."
$SO ask --quiet --model "$model" --lora "$model" "Hello."
$SO convert own -o x.gguf
$SO convert "$model" --lora shape -o x.gguf
$SO convert "$model" --model own -o x.gguf
ls x.gguf* 2>/dev/null
true
