# The codec's networks by files of settings: tokenizer, flow and vocoder (alone, and against discriminators) learn from recordings and become
# part of the model; a stopped run is not another one.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
"$make" tiny --tiny --seed 5 >/dev/null || exit 1
mv tiny/codec tiny/model/codec
cp "$ROOT/examples/question.wav" q.wav
for i in 1 2 3 4; do
    echo "{\"audio\":\"q.wav\",\"text\":\"question number $i\",\"begin\":0,\"end\":1.$i}"
done >said.jsonl
"$SO" data index said.jsonl -o said >/dev/null && "$SO" data units said -o units --model tiny/model >/dev/null || exit 1
cat >run.toml <<'TOML'
model = "tiny/model"
[plan]
steps = 3
batch_records = 2
slots = 1
[log]
every = 3
samples = 0
[optim]
average = 0
[[data]]
name = "said"
path = "units"
task = "recording"
[[data]]
name = "held"
path = "units"
task = "recording"
split = "eval"
take = "2"
TOML
run() { s=$1; shift; "$SO" train run.toml --threads 1 --set stage=$s --set out=$s "$@"; }
changed() { [ -f $1/model/codec/$2.safetensors ] || echo "no $2"; cmp -s $1/model/codec/$2.safetensors one/model/codec/$2.safetensors && echo "$2: the same" || echo "$2: learnt"; }
"$SO" export tiny/model --as safetensors -o one/model >/dev/null || exit 1
for s in tokenizer flow vocoder vocoder-gan; do
    run $s --dry-run | sed -n '/^learns/p;/^  against/p;/^data/p'
    run $s | sed -n "s/.*\(EVALUATION 3.3\).*\(held.loss\).*/\1 \2/p"
    for f in speech_tokenizer_v1 flow hift; do changed $s $f; done
done
echo "== used"
"$SO" data units said -o again --model tokenizer/model | sed 's/[0-9]* units, [0-9]* bytes/UNITS/'
"$SO" speak --model flow/model --threads 1 --quiet --from-units "1 2 3 4 5 6 7 8" --wav said.wav && head -c 4 said.wav && echo
"$SO" speak --model vocoder/model --threads 1 --quiet --from-units "1 2 3 4 5 6 7 8" --wav said.wav && head -c 4 said.wav && echo
echo "== goes on"
for s in tokenizer vocoder-gan; do
    steps=20 part=speech_tokenizer_v1
    [ $s = tokenizer ] || steps=4 part=hift
    run $s --set out=$s.1 --set save.every=1 --set plan.steps=$steps >/dev/null 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ ! -f $s.1/checkpoint.so ]; do sleep 0.02; done
    kill -INT $pid 2>/dev/null
    wait $pid
    run $s --set out=$s.1 --set save.every=1 --set plan.steps=$steps >/dev/null
    run $s --set out=$s.2 --set plan.steps=$steps >/dev/null
    cmp $s.1/model/codec/$part.safetensors $s.2/model/codec/$part.safetensors && echo "$part: the same bits"
done
echo "== refused"
run flow --set data.said.path=said --set out=x
run flow --set data.said.task=asr --set out=x
run text --set out=x
run tokenizer --set plan.slots=2 --set out=x
run vocoder --set loss.fooling=1 --set out=x
exit 0
