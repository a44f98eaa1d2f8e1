# A corpus whose making is interrupted, or whose workers are killed: told once and truly, nothing half-written, gone on with.
"$SO" data tabletop try --scenes 1 --turns 1 --talk 0 --processes 1 >/dev/null 2>told || {
    grep -q 'needs espeak-ng' told && { echo "SKIP: espeak-ng is absent" >&2; exit 77; }
    cat told
}
# begin: until it has made ten files more
sounds() { ls corpus/speech 2>/dev/null | wc -l; }
begin() {
    before=$(sounds)
    "$SO" data tabletop corpus --scenes 4 --turns 4 --talk 3000 --seed 2 --processes 2 >said 2>told &
    data=$!
    tries=0
    until [ "$(sounds)" -ge $((before + 10)) ] || [ $tries -ge 6000 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
}
worker() {
    for p in /proc/[0-9]*; do
        [ "$(cut -d' ' -f4 "$p/stat" 2>/dev/null)" = "$data" ] && basename "$p" && return
    done
}
orphans() {
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/cwd")" = "$PWD" ] && tr '\0' ' ' <"$p/cmdline" | grep -o 'data tabletop corpus'
    done 2>/dev/null
}
left() { find corpus -name '*tmp*' | wc -l | tr -d ' '; }

begin
kill -KILL "$(worker)"
wait $data
echo "a worker is killed: $?"
sed 's/worker [12]/worker N/' told

begin
kill -INT $data
wait $data
echo "Ctrl-C: $?"
grep -c stopped told
echo "$(left) temporaries, $(ls corpus/*.jsonl 2>/dev/null | wc -l | tr -d ' ') lists"

begin
kill -TERM $data
wait $data
echo "SIGTERM: $?"
grep -c stopped told
echo "$(left) temporaries"

# no process of these runs is left
tries=0
while [ -n "$(orphans)" ] && [ $tries -lt 3000 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
echo "orphans: $(orphans)"
exit 0
