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
# lose OUT OPTIONS: trains by two ranks, and kills one once there is a checkpoint; again from the beginning where the run was over before that
lose() {
    out=$1
    shift
    for try in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf $out
        "$SO" train run.toml --threads 1 --ranks 2 --set out=$out "$@" >told 2>&1 &
        pid=$!
        while kill -0 $pid 2>/dev/null && [ ! -f $out/checkpoint.so ]; do sleep 0.02; done
        kill -KILL $(ps -o pid= --ppid $pid | tail -1) 2>/dev/null
        wait $pid
        ended=$?
        ! grep -q 'rank [12] of 2 was' told || break
    done
    echo "ended with $ended"
}
lose two --supervise 2
sed -n 's/^rank [12] of 2 was/rank N of 2 was/p' told
cmp one/model/model.safetensors two/model/model.safetensors && echo "the same bits"
lose three
sed -n 's/rank [12] of 2 was/rank N of 2 was/p' told
