# The paper's three stages by the files of examples/train, one after another, on small data of our own: each learns, and what it
# wrote is a model for the next, for convert and for ask.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
"$make" tiny --tiny --seed 5 >/dev/null || exit 1

# Pictures of one colour, and words whose letters are three units each.
awk '
function units(w, k, u, c) {
    u = ""
    for (k = 1; k <= length(w); k++) {
        c = 2 * index("abcdefghijklmnopqrstuvwxyz", substr(w, k, 1))
        u = u (k > 1 ? "," : "") c "," c + 1 "," c
    }
    return "\"units\":[" u "]"
}
BEGIN {
    split("red green blue white", name); split("255 0 0;0 160 0;0 0 255;255 255 255", rgb, ";")
    split("red green blue white dog cat house tree", word)
    for (i = 1; i <= 4; i++) printf "P3\n1 1\n255\n%s\n", rgb[i] >(name[i] ".ppm")
    for (n = 0; n < 32; n++) {
        i = n % 4 + 1; w = word[n % 8 + 1]; v = word[(n + 3) % 8 + 1]
        asked = "\"role\":\"user\",\"text\":\"" w "\"," units(w)
        printf "{\"id\":\"v%d\",\"image\":\"%s.ppm\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nWhat color?\"},{\"from\":\"gpt\",\"value\":\"It is %s.\"}]}\n", n, name[i], name[i] >"see.jsonl"
        printf "{\"id\":\"h%d\",\"turns\":[{%s}]}\n", n, asked >"hear.jsonl"
        printf "{\"id\":\"t%d\",\"turns\":[{%s},{\"role\":\"assistant\",\"text\":\"%s\",%s}]}\n", n, asked, v, units(v) >"talk.jsonl"
        printf "{\"id\":\"x%d\",\"images\":[\"%s.ppm\"],\"turns\":[{\"role\":\"user\",\"text\":\"<image>\\n%s\",\"say\":\"%s\",%s},{\"role\":\"assistant\",\"text\":\"It is %s.\"}]}\n", n, name[i], w, w, units(w), name[i] >"all.jsonl"
    }
}'
for f in hear talk all; do "$SO" data index $f.jsonl -o $f --threads 1 >/dev/null || exit 1; done

# stage FILE MODEL STEPS RATE [NAME=PATH...]
stage() {
    file=$1 from=$2 steps=$3 rate=$4
    shift 4
    for data; do
        set -- "$@" --set "data.${data%=*}.path=${data#*=}" --set "data.${data%=*}.images=."
        shift
    done
    "$SO" train "$ROOT/examples/train/$file.toml" --threads 1 --set model=$from --set out=$file --set plan.steps=$steps --set plan.epochs=100 --set plan.slots=2 \
        --set plan.batch_records=16 --set plan.batch_units=0 --set optim.rate=$rate --set log.every=5 --set optim.warmup=3 "$@" >$file.txt || return 1
    awk -v file=$file 'match($0, /loss [0-9.]+/) && !/EVALUATION/ { x = substr($0, RSTART + 5, RLENGTH - 5) + 0; if (!n++) first = x; last = x }
        END { print file ": " n " reports, " (last < 0.8 * first ? "it learns" : "from " first " to " last) }' $file.txt
}
stage stage1-projector tiny/model 20 1e-2 captions=see.jsonl || exit 1
stage stage1 stage1-projector/model 40 3e-3 llava=see.jsonl onevision=see.jsonl chinese=see.jsonl held=see.jsonl || exit 1
stage stage2 stage1/model 40 5e-3 librispeech=hear wenetspeech=hear instructomni=talk || exit 1
stage stage3 stage2/model 30 3e-3 llava-speech=all chat-speech=talk llava=see.jsonl || exit 1
# The other examples: one update of each, every entry with data of its task; the three of the tabletop world one after another.
from=tiny/model
for file in finetune tabletop1 tabletop2 tabletop3; do
    set --
    for data in $(sed -n 's/^\(name\|task\) = "\([^"]*\)".*/\2/p' "$ROOT/examples/train/$file.toml" | paste -sd '=\n' -); do
        case ${data#*=} in vision-speech*) at=all ;; speech* | read-aloud) at=talk ;; asr) at=hear ;; *) at=see.jsonl ;; esac
        set -- "$@" --set data.${data%=*}.path=$at
    done
    "$SO" train "$ROOT/examples/train/$file.toml" --threads 1 --dry-run --set model=$from --set out=$file "$@" | grep '^plan'
    "$SO" train "$ROOT/examples/train/$file.toml" --threads 1 --set model=$from --set out=$file --set plan.steps=1 --set plan.batch_records=8 "$@" | grep -o 'EVALUATION 1/1'
    from=$file/model
done
ls stage1 stage3/model | sed 's/tfevents.*/tfevents/'
grep -c EVALUATION stage1.txt
"$SO" convert stage3/model tiny/codec -o it.gguf --threads 1 >/dev/null && "$SO" ask --model it.gguf red.ppm "What color?" --threads 1 2>/dev/null | sed 's/answer: .*/answered/'
