# A rank that is killed is told of, and the run goes on from its checkpoint to the bits of one that lost nobody; too often, and it ends.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
"$make" tiny --tiny --seed 5 >/dev/null || exit 1
printf '{"messages":[{"role":"user","content":"Who is it?"},{"role":"assistant","content":"A b c."}]}\n' >talk.jsonl
cat >run.toml <<'TOML'
stage = "text"
model = "tiny/model"
out = "one"
plan.steps = 150
plan.batch_records = 2
plan.slots = 2
save.every = 1
log.every = 150
[[data]]
name = "talk"
path = "talk.jsonl"
task = "text"
TOML
run() { "$SO" train run.toml --threads 1 "$@"; }
run >/dev/null || exit 1
# kills a rank of process $1 once $2 has a checkpoint
kill_one() {
    while kill -0 $1 2>/dev/null && [ ! -f $2/checkpoint.so ]; do sleep 0.02; done
    kill -KILL $(ps -o pid= --ppid $1 | tail -1) 2>/dev/null
}
exec "$SO" train run.toml --threads 1 --ranks 2 --supervise 2 --set out=two >told 2>&1 &
pid=$!
kill_one $pid two
wait $pid
echo "ended with $?"
sed -n 's/^rank [12] of 2 was/rank N of 2 was/p' told
cmp one/model/model.safetensors two/model/model.safetensors && echo "the same bits"
exec "$SO" train run.toml --threads 1 --ranks 2 --set out=three >told 2>&1 &
pid=$!
kill_one $pid three
wait $pid
echo "ended with $?"
sed -n 's/rank [12] of 2 was/rank N of 2 was/p' told
