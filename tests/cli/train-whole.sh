# One command from nothing: vocabulary, corpus, every part (a step each), one file, questions of the reserved part, report.
# Without engines in the PATH espeak-ng's library speaks alone, which is quick and the same everywhere.
PATH=$(pwd)/none "$SO" train tabletop there --steps 1 --items 200 --heard 133 --questions 2 --threads 2 >told 2>error || { tail -n 3 told error; exit 1; }
sed -n 's/^\([a-z]*\): .*/\1/p' told | uniq | grep -v -e units -e corpus | tr '\n' ' '
echo
grep -c 'EVALUATION 1/1' told
grep '^stream-omni' told | cut -d' ' -f1-2
for f in there/tabletop.gguf there/report.html there/reserved/records.jsonl; do [ -s $f ] && echo $f; done
$SO train tabletop there --parts | grep -c '^  done'

# What the recipe left, and the world itself, as data of a run by settings.
cat >more.toml <<'TOML'
stage = "tri-modal"
model = "there/model"
out = "more"
[plan]
steps = 1
batch_records = 8
slots = 1
[log]
samples = 0
[[data]]
name = "heard"
path = "there"
task = "vision-speech-text"
weight = 0.5
[[data]]
name = "seen"
path = "tabletop:pictures,count=20,turns=2"
task = "vision-text"
weight = 0.5
[[data]]
name = "held"
path = "there"
task = "speech-text"
split = "eval"
take = "2"
TOML
"$SO" train more.toml --threads 2 --dry-run | sed -n "/^data/p"
"$SO" train more.toml --threads 2 | sed -n 's/.*\(EVALUATION 1\/1\).*/\1/p'
"$SO" train more.toml --set data.seen.path=tabletop:chairs --set out=chairs 2>&1 | sed 's/expected.*//'
