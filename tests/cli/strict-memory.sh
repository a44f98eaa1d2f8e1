# Where the system promises no more memory than it has (strict overcommit), or data are limited, every verb runs: what is
# counted there is private memory that may be written to, reserved or used, and that is near what is needed.
# SPDX-License-Identifier: Apache-2.0
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
place=$(pwd)
cd "$ROOT" || exit
(
    ulimit -s 512 || exit # stacks of threads count, too, however many processors there are
    ulimit -d 300000 || exit
    $SO ask --quiet --threads 2 --wav "$place/a.wav" examples/table.png examples/question.wav >/dev/null && echo answered
    $SO transcribe --threads 2 examples/talk.wav >/dev/null && echo heard
    $SO speak --quiet --threads 2 --wav "$place/a.wav" "The star is red." >/dev/null && echo spoken
    $SO convert models/tabletop.gguf -o "$place/a.gguf" >/dev/null && echo converted
    $SO inspect models/tabletop.gguf >/dev/null && echo inspected
    $SO export models/tabletop.gguf --as safetensors --type f16 -o "$place/st" >/dev/null 2>&1 && echo exported
    cd "$place" || exit
    $SO data tabletop corpus --mute --scenes 4 --turns 1 --talk 4 --seed 4 >/dev/null && echo made
    $SO data tabletop held --reserved --mute --scenes 2 --turns 1 --talk 2 --seed 4 >/dev/null
    $SO eval tabletop held --model "$ROOT/models/tabletop.gguf" --items 2 --modes 'V+T>T' --threads 2 >/dev/null && echo asked
    $SO train tabletop there --part vocabulary >/dev/null
    $SO train tabletop there --part eyes --steps 2 --slots 1 --threads 1 >/dev/null && echo trained
    $SO serve --model "$ROOT/models/tabletop.gguf" --port 0 --threads 1 --sessions 2 >told 2>&1 &
    server=$!
    until grep -q 'http://' told || ! kill -0 $server 2>/dev/null; do sleep 0.1; done
    grep -q 'http://' told && echo serves || cat told >&2
    kill -TERM $server
    wait $server
    true
) || exit
