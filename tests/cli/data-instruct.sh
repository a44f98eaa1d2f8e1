# Dialogues are filtered, spoken by a command's voices, checked and packed; a second run speaks nothing again; VisIT is spoken, too.
set -u
cat >speak <<'SH'
#!/bin/sh
echo "$1: $2" >>said
[ "$1" != mute ] || exit 3
cp "$ROOT/examples/question.wav" "$3"
SH
chmod +x speak
talk() { printf '{"id":"%s","conversations":[{"from":"human","value":"%s"},{"from":"gpt","value":"%s"}]}\n' "$1" "$2" "$3"; }
{
    talk fine 'What shape is that, in 2 words?\nAnswer the question using a single word or phrase.' 'It is a star, I think.'
    talk code 'How do I print?' 'Like this: ```print(1)```'
    talk formula 'What is it?' 'It is $\\\\frac{1}{2}^2$.'
    talk address 'Where?' 'At https://example.org/x, I think.'
    talk boxes 'Where is it?' 'At [0.1, 0.2, 0.3, 0.4].'
    talk sums 'What is it?' 'It is 3x + 2 = 8.'
    talk letter 'Which? A. one B. two\nAnswer with the option'"'"'s letter from the given choices directly.' 'B'
    talk russian 'Что это такое?' 'Это звезда на столе.'
    talk more 'And what is that one there?' 'That one there is a square.'
} >c.jsonl
"$SO" data index c.jsonl -o c >/dev/null
build() { "$SO" data instruct-omni c -o out --engines command --voice-command './speak {voice} {text} {wav}' --voice-names "$1" --no-units --shard; }
build good
cat out/dropped.jsonl
sort said
tail -1 out/records/records.jsonl | sed 's/"path":"[^"]*"/"path":"X"/g'
build good | head -1
wc -l <said
ls out/shards
"$SO" data instruct-omni c -o out --seed 2 --engines command --voice-command './speak {voice} {text} {wav}' --voice-names good --no-units
echo "status $?"
printf 'instruction_category,image,instruction,instruction-conditioned caption\nhow-to,http://h/a/017.jpg,"How do I ""use""\nthis?",A hand\nmaths,2.jpg,What is it?,x\n' >v.csv
echo v-001 >leave
"$SO" data spoken-visit v.csv -o visit --leave leave --engines command --voice-command './speak {voice} {text} {wav}' --voice-names good
cat visit/VisIT_speech.jsonl
ls visit/speech
