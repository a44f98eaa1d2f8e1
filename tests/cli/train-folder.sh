# Two runs in one folder: the second is refused, naming the first. A disk that fills while a checkpoint is written: the one before is whole, and
# the run goes on from it to the bits of one that nothing befell.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
"$make" tiny --tiny --seed 5 >/dev/null || exit 1
printf '{"messages":[{"role":"user","content":"Who is it?"},{"role":"assistant","content":"A b c."}]}\n' >talk.jsonl
cat >run.toml <<'TOML'
stage = "text"
model = "tiny/model"
out = "one"
plan.batch_records = 2
plan.slots = 2
plan.steps = 300
log.every = 300
save.every = 1
[[data]]
name = "talk"
path = "talk.jsonl"
task = "text"
TOML
run() { "$SO" train run.toml --threads 1 "$@"; }
# begins a run in folder $1 and waits for its first checkpoint; its process is $pid
begin() {
    out=$1
    shift
    "$SO" train run.toml --threads 1 --set out=$out "$@" >/dev/null 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ ! -f $out/checkpoint.so ]; do sleep 0.02; done
}
begin busy --set plan.steps=100000000
run --set out=busy 2>error
echo "second: $?"
kill -INT $pid
wait $pid
sed "s/process $pid/the first process/" error

for async in true false; do
    begin out.$async --set save.async=$async
    kill -INT $pid 2>/dev/null
    wait $pid
    cp out.$async/checkpoint.so before.so
    (ulimit -f 200; run --set out=out.$async --set save.async=$async >/dev/null 2>error)
    echo "on a full disk: $?"
    sed 's/^error: //; s/ [0-9]* bytes for .*File too large.*/ ...: File too large/' error
    cmp before.so out.$async/checkpoint.so && echo "the checkpoint before is whole"
    ls out.$async | grep -v '^checkpoint.so$' | grep checkpoint
    run --set out=out.$async --set save.every=1000 >/dev/null && echo "goes on"
done
run --set save.every=1000 >/dev/null
for async in true false; do cmp one/model/model.safetensors out.$async/model/model.safetensors && echo "the same bits"; done
