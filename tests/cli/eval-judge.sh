# A judge is asked through refusals, its replies are kept, nonsense is counted and never scored; the second run asks for nothing.
set -u
command -v python3 >/dev/null 2>&1 || { echo "SKIP: python3 is absent" >&2; exit 77; }
mkdir visit
for i in 1 2 3 4 5 6; do
    printf '{"id":"v%d","image":"%d.jpg","instruction":"How?","speech":"%d.wav","caption":"A hand.","category":"how-to"}\n' $i $i $i
done >visit/VisIT_speech.jsonl
"$SO" eval prepare spokenvisit visit
{
    printf '{"question_id":"v1","text":"Turn it."}\n{"question_id":"v2","text":"A nonsense answer."}\n'
    printf '{"question_id":"v3","text":"Told later."}\n{"question_id":"v4","text":"A poor one."}\n{"question_id":"v5","text":"broken"}\n'
} >visit/answers.jsonl
mkfifo hold
python3 "$ROOT/tests/eval/judge.py" port <hold >asked &
exec 9>hold
while [ ! -s port ]; do sleep 0.05; done
url=http://127.0.0.1:$(cat port)/v1
"$SO" eval judge spokenvisit visit --endpoint "$url/" --judge stand-in --pause 0.01
"$SO" eval judge spokenvisit visit --endpoint "$url/" --judge stand-in --pause 0.01
"$SO" eval score spokenvisit visit 2>&1
"$SO" eval score spokenvisit visit --partial | sed 's/stream-omni [0-9.]*, questions [0-9a-f]*/HARNESS/'
exec 9>&-
wait
cat asked
grep -c . visit/judge.jsonl
"$SO" eval judge nothing visit --endpoint "$url" 2>&1 | cut -c1-60
"$SO" eval judge spokenvisit visit 2>&1
echo "status $?"
