# A disk that fills while a corpus is read, tokenised, packed, drawn or told of, for which a limit on the size of files stands: it is told, nothing half-written is left, a
# folder that was there stays as it was, and the same line goes on once there is room.
# SPDX-License-Identifier: Apache-2.0
set -u
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the shipped model is absent" >&2; exit 77; }
cp "$ROOT/examples/question.wav" q.wav
i=0
while [ $i -lt 40 ]; do
    printf '{"id":"r%d","conversations":[{"from":"human","value":"What is on number %d of all the desks in this house?"},{"from":"gpt","value":"A lamp."}]}\n' $i $i
    i=$((i + 1))
done >c.jsonl
for i in 1 2 3 4 5 6 7 8; do printf '{"audio_filepath":"q.wav","text":"what color is the star"}\n'; done >said.jsonl
# full BLOCKS VERB...: with room for so many times 512 bytes in a file
full() {
    most=$1
    shift
    (ulimit -f "$most" && "$SO" data "$@" >out 2>error)
    echo "$1: $?, $(sed 's/write [0-9]* bytes/write N bytes/; s/[0-9]*\.png/N.png/' error)"
}
sums() { (cd "$1" && find . -type f ! -name .lock | sort | xargs sha256sum 2>/dev/null); }
# left FOLDER: what a failure left there
left() { find "$1" -type f ! -name .lock 2>/dev/null | sort; }

"$SO" data index c.jsonl -o whole >/dev/null
full 4 index c.jsonl -o d
left d
"$SO" data index c.jsonl -o d >/dev/null && [ "$(sums d)" = "$(sums whole)" ] && echo "index: goes on, the same bytes"
full 4 index c.jsonl c.jsonl -o d
[ "$(sums d)" = "$(sums whole)" ] && echo "index: what was there stays"

"$SO" data shard whole -o packed --megabytes 1 >/dev/null
full 20 shard whole -o s --megabytes 1
left s
"$SO" data shard whole -o s --megabytes 1 >/dev/null && [ "$(sums s)" = "$(sums packed)" ] && echo "shard: goes on, the same bytes"

"$SO" data index said.jsonl -o said >/dev/null
"$SO" data units said -o heard --model "$ROOT/models/tabletop.gguf" >/dev/null
full 1 units said -o u --model "$ROOT/models/tabletop.gguf"
left u
"$SO" data units said -o u --model "$ROOT/models/tabletop.gguf" >/dev/null && [ "$(sums u)" = "$(sums heard)" ] && echo "units: goes on, the same bytes"
"$SO" data check u

full 1 stats whole --page p.html
ls p.html* 2>/dev/null
full 2 tabletop t --scenes 2 --talk 60 --mute
left t | grep -v png
"$SO" data tabletop t --scenes 2 --talk 60 --mute >/dev/null && "$SO" data tabletop once --scenes 2 --talk 60 --mute >/dev/null && [ "$(sums t)" = "$(sums once)" ] &&
    echo "tabletop: goes on, the same bytes"
full 8 instruct-omni whole -o i --no-units --no-check --engines command --voice-command 'cp q.wav {wav} {text}'
left i
