# Where addresses are limited (a shared machine, a job of a cluster), whatever fits runs: memory is reserved as it is needed.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
place=$(pwd)
cd "$ROOT" || exit
for most in 2000000 1000000; do
    (
        ulimit -v $most || exit
        $SO ask --quiet --wav "$place/a.wav" examples/table.png examples/question.wav
        $SO ask --quiet --threads 16 examples/table.png "What is in the top right?"
        $SO transcribe examples/talk.wav
        $SO speak --quiet --wav "$place/a.wav" "The star is red."
        $SO convert models/tabletop.gguf -o "$place/a.gguf" >/dev/null
        $SO inspect models/tabletop.gguf >/dev/null
    ) || exit
done
# Stacks of 256 KiB do, of the program and of its threads.
(
    ulimit -s 256 || exit
    $SO ask --quiet --wav "$place/a.wav" examples/table.png examples/question.wav
    $SO transcribe examples/question.wav
) || exit
# Too little is told, not died of.
(ulimit -v 150000 && $SO ask --quiet examples/table.png "What is in the top right?" >/dev/null 2>"$place/error") && exit 1
grep -c 'memory\|map' "$place/error"
