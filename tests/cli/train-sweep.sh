# Many runs of one file: every fusion, other numbers of layers, the likeliest token in place of the expectation; one that fails stops no
# other; what is done is not done again. And files that records point to, changed between two starts; older checkpoints.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
"$make" tiny --tiny --seed 5 >/dev/null || exit 1
mkdir speech
for i in 1 2 3 4 5 6 7 8; do
    u="[$i,$((i * 3)),$((i * 5)),$i,2,$((i + 20)),9,4,$((i + 11)),3]"
    echo "{\"id\":\"r$i\",\"turns\":[{\"role\":\"user\",\"text\":\"hi $i\",\"units\":$u},{\"role\":\"assistant\",\"text\":\"no $i\",\"units\":$u}]}"
done >speech/records.jsonl
"$SO" data index speech -o records >/dev/null || exit 1
cat >sweep.toml <<'TOML'
stage = "speech-text"
model = "tiny/model"
out = "runs"
fresh = ["bottom", "top"]
[plan]
steps = 2
batch_records = 4
slots = 1
[log]
tensorboard = false
[[data]]
name = "said"
path = "records"
task = "speech-speech"
[[data]]
name = "held"
path = "records"
task = "speech-speech"
split = "eval"
[sweep]
how = "each"
show = ["held.units", "held.units_right"]
[sweep.grid]
fuse = ["add_input", "add_layer"]
layers.top = [1, 3]
window.W = [2, -1]
loss.ctc = [0]
plan.slots = [3]
TOML
sweep() { "$SO" train sweep sweep.toml --threads 1 "$@"; }
sweep --dry-run
sweep >told; echo "exit $?"
grep -c '^run' told
sed 's/ [0-9.e-]* | [0-9.e-]* |$/ N | N |/' runs/sweep.md
grep -c '<svg' runs/sweep.html
for r in add_input add_layer; do "$SO" inspect "runs/fuse=$r/model" | grep -ci "$r"; done
grep -c 'top_audio_layers.2.input' "runs/layers.top=3/model/model.safetensors"; grep -o '"num_top_audio_layers": *[0-9]*' "runs/layers.top=3/model/config.json"
"$SO" ask --model "runs/layers.top=3/model" --threads 1 --quiet hello --max-text 2 >/dev/null && echo "it answers"
sweep >told; echo "exit $?, $(grep -c 'done before' told) done before"
sweep --set plan.steps=3 --set plan.batch_records=5 >told; echo "exit $?, $(grep -c 'done before' told) done before"

echo "== seeds"
sed '/^how/,$d' sweep.toml >seeds.toml
printf 'how = "each"\nseeds = [1, 2]\nshow = ["held.units"]\n[sweep.grid]\nfuse = ["add_input"]\n' >>seeds.toml
"$SO" train sweep seeds.toml --threads 1 --set out=seeds --set plan.steps=1 >told || exit 1
sed 's/ [0-9.]* |$/ N |/; s/units [0-9].* [(][0-9].* to [0-9].*, \([0-9]\)/units N (N to N, \1/' seeds/sweep.md
"$SO" train sweep seeds.toml --dry-run --threads 1 --set out=seeds2 >/dev/null || exit 1
sed 's/"each"/"grid"/' seeds.toml >grid.toml; "$SO" train sweep grid.toml --dry-run --threads 1 --set out=seeds2
sed 's/^seeds.*/seeds = 2/' seeds.toml >bad.toml; "$SO" train sweep bad.toml --dry-run --threads 1

echo "== the likeliest token"
train() { "$SO" train sweep.toml --threads 1 "$@"; }
for r in expected argmax; do train --set stage=tri-modal --set learn=backbone --set fresh=backbone --set out=$r --set route=$r | grep -o 'text [0-9.]*' | head -1; done >two
[ "$(sort -u two | wc -l)" = 2 ] && echo "other losses"

echo "== shapes that are not the model's"
train --set fresh=bottom --set layers.top=3 --set out=x
train --set fresh=bottom --set fuse=add_input --set out=x
train --set fresh=backbone --set out=x

echo "== layers that are left out"
sed '/^fresh/d' sweep.toml >cut.toml
cut() { # what is measured before anything is learnt: the first layers stay, and nothing of them is drawn by the seed
    for seed in 1 2; do
        "$SO" train $1.toml --threads 1 --set model="runs/layers.top=3/model" --set layers.top=2 --set learn=top $2 --set seed=$seed --set optim.rate=1e-30 \
            --set plan.steps=1 --set out=$1$seed | grep -o 'held.units [0-9.]*'
    done | sort -u | wc -l
}
cut cut
cut sweep "--set fresh=top"
grep -o '"num_top_audio_layers": *[0-9]*' cut1/model/config.json; grep -c 'top_audio_layers.2.input' cut1/model/model.safetensors

echo "== older checkpoints"
train --set save.every=1 --set save.keep=3 --set plan.steps=5 --set out=kept >/dev/null; ls kept | grep checkpoint
rm kept/checkpoint.so; train --set save.keep=3 --set plan.steps=5 --set out=kept >/dev/null; ls kept | grep checkpoint

echo "== changed files"
printf '\1\0\2\0\3\0\4\0' >u.u16; mkdir few
for i in 1 2 3 4; do echo "{\"id\":\"f$i\",\"turns\":[{\"role\":\"user\",\"text\":\"a\",\"units\":{\"path\":\"$PWD/u.u16\",\"at\":[0,8]}},{\"role\":\"assistant\",\"text\":\"b\"}]}"; done >few/records.jsonl
"$SO" data index few -o fewer >/dev/null
again() { train --set data.said.path=fewer --set data.said.task=asr --set data.held.path=fewer --set data.held.task=asr --set out=again "$@"; }
again >/dev/null && wc -l <again/files.lock
again >/dev/null && echo "nothing was changed"
printf '\1\0\2\0\3\0\5\0\6\0' >u.u16
again 2>&1 | sed "s|$PWD|HERE|"
again --set check_files=false >/dev/null && echo "goes on all the same"
rm u.u16
again 2>&1 | sed "s|$PWD|HERE|"
exit 0
