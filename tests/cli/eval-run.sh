# The shipped model is asked spoken and written questions of a benchmark, in two ranks; a second run has nothing left to ask.
set -u
model=$ROOT/models/tabletop.gguf
[ -f "$model" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
mkdir q
cp "$ROOT/examples/question.wav" "$ROOT/examples/table.png" q/
for i in 1 2 3; do printf '{"id":"%d","audio":"question.wav","question":"What color is the star?","answers":["xyzzy"]}\n' $i; done >q/test.jsonl
printf '{"id":"gone","audio":"gone.wav","question":"?","answers":["x"]}\n' >>q/test.jsonl
"$SO" eval prepare llama-questions q
"$SO" eval run llama-questions q --model "$model" --sessions 2 --rank 0 --ranks 2
"$SO" eval run llama-questions q --model "$model" --sessions 2 --rank 1 --ranks 2 2>&1
printf '{"question_id":"torn' >>q/answers-0-of-2.jsonl
"$SO" eval run llama-questions q --model "$model" --items 3
cat q/answers-*.jsonl | sed 's/.*"text":/"text":/; s/,"model_id.*//' | LC_ALL=C sort | uniq -c | wc -l
"$SO" eval score llama-questions q --partial | grep -o 'n 4, missing 1, decoding greedy'
grep -c '<img\|xyzzy' q/page.html
"$SO" eval page q -o all.html && grep -c 'Llama Questions' all.html
mkdir h
printf '{"id":"h1","wav":"%s/examples/question.wav","transcription":"what color is the star"}\n' "$ROOT" >h/test.jsonl
"$SO" eval prepare librispeech-clean h
"$SO" eval librispeech-clean h --model "$model" | grep -c "n 1, missing 0"
"$SO" eval score librispeech-clean h --json | grep -c '"score"'
# speech for speech: the voice is kept, and heard again
mkdir v
cp "$ROOT/examples/question.wav" v/
printf '{"id":"1","audio":"question.wav","question":"?","answers":["red"]}\n' >v/test.jsonl
"$SO" eval llama-questions-voice v --model "$model" | grep -c 'Llama Questions, S>S, rule R2'
ls v/voice
grep -c 'own ears' v/run.json
