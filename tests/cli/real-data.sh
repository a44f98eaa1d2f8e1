# Real data in small, from packages of Debian: speech laid out as LibriSpeech, photographs, words with pictures; read, made units of, scored.
set -u
model=$ROOT/models/tabletop.gguf
speech=/usr/share/pocketsphinx/test/data/librivox
photos=/usr/lib/python3/dist-packages/skimage/data
words=/usr/share/ktuberling/sounds/en
prompts=/usr/share/asterisk/sounds/en_US_f_Allison
for needed in "$model" "$speech/transcription" "$photos/chelsea.png" "$words/ball.ogg" "$prompts/activated.g722"; do
    [ -e "$needed" ] || { echo "SKIP: $needed is absent (apt-get install pocketsphinx-testdata python3-skimage ktuberling-data asterisk-core-sounds-en-g722)" >&2; exit 77; }
done
# speech: <s> words </s> (id), as LibriSpeech has it
mkdir -p LibriSpeech/test/1/2
n=0
while read -r line; do
    id=$(printf '%s' "$line" | sed 's/.*(\(.*\))$/\1/')
    text=$(printf '%s' "$line" | sed 's/^<s> *//; s/ *<\/s>.*//' | tr 'a-z' 'A-Z')
    cp "$speech/$id.wav" "LibriSpeech/test/1/2/1-2-000$n.wav"
    echo "1-2-000$n $text" >>LibriSpeech/test/1/2/1-2.trans.txt
    n=$((n + 1))
done <"$speech/transcription"
"$SO" data index LibriSpeech -o libri --deep
"$SO" data check libri
"$SO" data units libri -o units --model "$model" | sed 's/[0-9]* units, [0-9]* bytes/UNITS/'
"$SO" data show units --at 0 | grep -c 'units by librispeech-1'
"$SO" data shard units -o shards
"$SO" data index shards/part-000000.tar -o again --deep | head -1
mkdir score && cp libri/records.jsonl score/
"$SO" eval prepare librispeech-clean score
"$SO" eval run librispeech-clean score --model "$model" --sessions 2
"$SO" eval score librispeech-clean score | grep -c 'n 5, missing 0'
# photographs
for name in astronaut.png chelsea.png coffee.png rocket.jpg; do
    printf '{"id":"%s","image":"%s","conversations":[{"from":"human","value":"What is that?"},{"from":"gpt","value":"A photograph."}]}\n' "$name" "$name"
done >photos.jsonl
"$SO" data index photos.jsonl --root "$photos" -o photos --deep
# words
for file in "$words"/b*.ogg "$words"/e*.ogg; do
    word=$(basename "$file" .ogg | tr _ ' ')
    printf '{"audio_filepath":"%s","text":"%s"}\n' "$file" "$word"
done >words.jsonl
"$SO" data index words.jsonl --root "$words" -o words --deep | sed 's/^words: \([0-9]*\) records, 0 left out.*/words: all read/'
# telephone prompts
for file in "$prompts"/a*.g722; do
    printf '{"audio_filepath":"%s","text":"%s"}\n' "$file" "$(basename "$file" .g722 | tr -- -_ '  ')"
done >prompts.jsonl
"$SO" data index prompts.jsonl --root "$prompts" -o prompts --deep | sed 's/^prompts: \([0-9]*\) records, 0 left out.*/prompts: all read/'
head -5 prompts.jsonl >some.jsonl
"$SO" data index some.jsonl --root "$prompts" -o some | head -1
"$SO" data units some -o prompt-units --model "$model" | sed 's/[0-9]* units, [0-9]* bytes/UNITS/'
# trained on for some steps: what was heard, and what was seen
printf 'model = "%s"\nout = "run"\n[plan]\nsteps = 8\nslots = 1\n[optim]\nwarmup = 0\nshape = "constant"\n[log]\nevery = 1\n[[data]]\nname = "it"\n' "$model" >run.toml
for what in "hear asr units 1e-3 5" "vision-text vision-text photos 1e-3 4"; do
    set -- $what
    "$SO" train run.toml --threads 1 --set stage=$1 --set data.it.task=$2 --set data.it.path=$3 --set out=$1 --set optim.rate=$4 --set plan.batch_records=$5 |
        awk -v what=$1 'match($0, /loss [0-9.]+/) { x = substr($0, RSTART + 5, RLENGTH - 5) + 0; if (!n++) first = x; last = x }
            END { print what ": " n " steps, " (last < 0.9 * first ? "it learns" : "from " first " to " last) }'
done
