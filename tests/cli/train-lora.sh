# Adapters learn by a file of settings, over weights that stay as they are stored, and are used by ask --lora.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
"$make" tiny --tiny --seed 5 >/dev/null || exit 1
$SO convert tiny/model tiny.gguf --type q8_0 >/dev/null 2>&1 || exit 1
printf '{"messages":[{"role":"user","content":"Who is it?"},{"role":"assistant","content":"A b c."}]}\n' >talk.jsonl
cat >run.toml <<'TOML'
stage = "text"
model = "tiny.gguf"
out = "one"
[plan]
steps = 30
batch_records = 1
slots = 2
[optim]
rate = 2e-2
warmup = 0
decay = 0
[lora]
rank = 4
dropout = 0.1
[log]
every = 30
samples = 0
[[data]]
name = "talk"
path = "talk.jsonl"
task = "text"
TOML
run() { "$SO" train run.toml --threads 1 "$@"; }
run --dry-run | sed -n 's/; weights.*//; s/^learns/&/p'
run | sed -n 's/.*\(the adapters.*\)/\1/p'
ls one one/adapter | sed 's/tfevents.*/tfevents/'
ask() { $SO ask --model tiny.gguf --quiet --threads 1 --max-text 12 "$@" "Who is it?"; }
ask --lora one/adapter
[ "$(ask)" = "$(ask --lora one/adapter)" ] && echo "nothing was learnt"
echo "== stopped and gone on with, and by two ranks"
run --set out=two --set save.every=1 >/dev/null 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -f two/checkpoint.so ]; do sleep 0.02; done
kill -INT $pid 2>/dev/null
wait $pid
run --set out=two --set save.every=1 >/dev/null
cmp one/adapter/adapter_model.safetensors two/adapter/adapter_model.safetensors && echo "the same bits"
run --set out=three --ranks 2 >/dev/null && cmp one/adapter/adapter_model.safetensors three/adapter/adapter_model.safetensors && echo "the same bits by two ranks"
echo "== refused"
run --set out=four --set lora.targets=lm_head
run --set out=four --set stage=vision-text
run --set lora.rank=8
exit 0
