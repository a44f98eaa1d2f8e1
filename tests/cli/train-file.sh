# A run by a file of settings: told before, stopped and gone on with to the same bits, by ranks to the same bits, and refused by name
# where settings or data are others.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
"$make" tiny --tiny --seed 5 >/dev/null || exit 1
for i in 1 2 3 4 5 6; do
    echo "{\"conversations\":[{\"from\":\"human\",\"value\":\"say $i\"},{\"from\":\"gpt\",\"value\":\"$i it is\"}]}"
done >talk.jsonl
cat >run.toml <<'TOML'
stage = "text"
model = "tiny/model"
out = "one"
system = "Be brief."
[plan]
steps = 40
batch_records = 4
slots = 2
[log]
every = 40
samples = 1
[[data]]
name = "talk"
path = "talk.jsonl"
task = "text"
TOML
run() { "$SO" train run.toml --threads 1 "$@"; }
run --dry-run | sed '/^here: /s/ took .*/ took some time/; /^memory: /s/ .*GB: / so much: /; s/activations.*/activations/'
run --show-order 1 | sed 's/  about.*//'
run >/dev/null && ls one | sed 's/tfevents.*/tfevents/'
sed -n 's/^\(name\|rate\|learn\|beta2\|slots\) = .*/&/p' one/config.toml
grep -c '"identity"' one/data.lock

for how in drop cut; do run --dry-run --set plan.longest=45 --set plan.too_long=$how --set out=$how | sed -n '/^sample/,$p' | sed -n '1p;$p'; done

echo "== goes on"
run --set out=two --set save.every=1 >/dev/null 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -f two/checkpoint.so ]; do sleep 0.02; done
kill -INT $pid 2>/dev/null
wait $pid
run --set out=two --set save.every=1 >/dev/null
cmp one/model/model.safetensors two/model/model.safetensors && echo "the same bits"
run --set out=three --ranks 2 >/dev/null && cmp one/model/model.safetensors three/model/model.safetensors && echo "the same bits by two ranks"
run >/dev/null && echo "nothing to do is done"

echo "== refused"
run --set optim.rate=1e-5 --set plan.longest=99
run --set plan.stepz=1
run --set data.talk.task=asr
run --set data.talk.task=speech-speech --set stage=speech-text
run --set model=absent
run --set out=four --ranks 4 2>told
sed 's/rank [1-4] of/rank N of/' told >&2 # whoever was first
sed 's/say 6/say 7/' talk.jsonl >new.jsonl && mv new.jsonl talk.jsonl
run
printf 'stage = "text"\nmodel = x\n' >bad.toml
"$SO" train bad.toml
"$SO" train absent.toml
"$SO" data index talk.jsonl -o records >/dev/null
sed 's/2 it is/9 it is/' records/records.jsonl >r && mv r records/records.jsonl
run --set out=five --set data.talk.path=records
run --set lora.rank=4 --set lora.targets=lm_head --set out=six
run --set lora.rank=4 --set learn=projector --set out=six
run --set plan.epochs=1 --plan gpus=many
run --plan gpus=8,speed=3

echo "== one record is not like the others"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    echo "{\"id\":\"c$i\",\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"}]}"
done >odd.jsonl
echo '{"id":"odd","conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"#%&!?"}]}' >>odd.jsonl
run --set data.talk.path=odd.jsonl --set out=odd --set plan.batch_records=1 --set plan.slots=1 --set plan.steps=96 --set optim.rate=1e-3 --set log.every=96 >/dev/null
grep -o '"id":"[^"]*"' odd/spikes.jsonl | sort -u

echo "== measured, by two ranks"
cat >>run.toml <<'TOML'
[[data]]
name = "held"
path = "odd.jsonl"
take = "3"
task = "text"
split = "eval"
TOML
for n in 1 2; do
    run --ranks $n --set out=m$n --set evaluate.every=20 --set evaluate.best=held.loss | grep -c 'EVALUATION.*held.loss.*held.text_right'
done
cmp m1/model/model.safetensors m2/model/model.safetensors && cmp m1/best.safetensors m2/best.safetensors && echo "the same best"
run --set out=m1 --set evaluate.sets=other

echo "== elsewhere"
run --plan gpus=2,peak=1e12 --set out=seven | sed -n '1p;$p'
for s in "1 mfu=0.4,records=4e6,rows=980,pictures=1" "2 mfu=0.3,records=1.84e9,units=1.1087,answers=1" "3 mfu=0.5,records=2.5457e6,rows=1660,units=790,pictures=1"; do
    "$SO" train "$ROOT/examples/train/stage${s%% *}.toml" --plan gpus=8,shape=published,${s#* } | grep hours
done
exit 0
