# A model of the tabletop's shape with random weights: what it says means nothing, but every verb works on it.
$SO train tabletop there --part vocabulary --threads 1 >/dev/null || exit
$SO train tabletop there --part model --threads 1
keys() { sed 's/"\([a-z_0-9]*\)": */\n\1\n/g' | grep -E '^[a-z_0-9]+$' | tr '\n' ' '; echo; }
$SO ask --model there/model --threads 1 "Hello." --max-text 4 --json | keys
$SO ask --model there/model --threads 1 --max-text 3 --max-units 5 --alignment said.png Hello >/dev/null 2>&1 && head -c 4 said.png | tail -c 3 && echo
$SO see --model there/model --threads 1 "$ROOT/examples/table.png" --max-text 3 --json | keys
$SO convert there/model one.gguf --type q8_0 | sed 's/,.*//'
$SO ask --model one.gguf --threads 1 "Hello." --max-text 4 --json | keys
$SO inspect one.gguf | head -1
$SO talk --model one.gguf --threads 1 --max-text 2 "Hello." "Thank you." 2>/dev/null | grep -c answer
$SO bench --model one.gguf --threads 1 --repeats 1 --only text | wc -l
# What it has no parts for is told.
cp "$ROOT/examples/question.wav" .
$SO transcribe --model one.gguf question.wav
$SO ask --model one.gguf "Hello." --wav answer.wav
