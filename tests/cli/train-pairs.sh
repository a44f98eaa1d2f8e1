# The vision tower learns which caption belongs to which picture: by a file of settings, measured on what it does not learn from, by two ranks
# to the same bits; what belongs to the loss is no part of the model.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
"$make" tiny --tiny --seed 5 >/dev/null || exit 1
cat >run.toml <<'TOML'
stage = "pairs"
model = "tiny/model"
[plan]
steps = 6
batch_records = 8
slots = 2
[log]
every = 6
samples = 0
[[data]]
name = "seen"
path = "tabletop:pictures,count=16,turns=1,seed=3"
task = "plain"
[[data]]
name = "held"
path = "tabletop:pictures,count=8,turns=1,seed=3"
task = "caption"
split = "eval"
TOML
run() { o=$1; shift; "$SO" train run.toml --threads 1 --set out=$o "$@"; }
run one --dry-run | sed -n '/^learns/p;/^data/p;s/^here.*\(their samples are read\).*/\1/p'
run one | sed -n 's/.*\(EVALUATION 6.6\).*\(held.loss\).*\(held.pairs_right\).*/\1 \2 \3/p'
run two --ranks 2 >/dev/null && cmp one/model/model.safetensors two/model/model.safetensors && echo "the same bits by two ranks"
"$SO" export tiny/model --as safetensors -o before/model >/dev/null || exit 1
grep -c "pairs.scale" one/model/model.safetensors
cmp -s before/model/model.safetensors one/model/model.safetensors && echo "nothing was learnt"
echo "== refused"
run x --set lora.rank=2
run x --set data.seen.task=text
run x --set stage=text --set data.seen.task=text --set data.held.task=plain --set loss.pairs=1
exit 0
