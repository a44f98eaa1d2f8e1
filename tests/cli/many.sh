# One bad file of many does not stop the others, and what was spoken before an error is kept.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
cp "$ROOT/examples/question.wav" one.wav
cp "$ROOT/examples/talk.wav" three.wav
printf 'RIFF\004\000\000\000WAVE' >two.wav
head -c 200000 /dev/zero | tr '\0' '\377' >noise.bin
size() { wc -c <"$1" | tr -d ' '; }

echo "== transcribe"
"$SO" transcribe --threads 1 one.wav two.wav three.wav 2>told
echo "rc $?"
sed 's/: two.wav: .*/: two.wav: .../' told
"$SO" transcribe --threads 1 --json two.wav one.wav nowhere.wav 2>told | sed 's/"words".*/.../; s/"error": "two.wav: .*"/"error": "two.wav: ..."/'
tail -1 told

echo "== talk"
"$SO" talk --threads 1 --text "Hello." --wav whole.flac "$ROOT/examples/table.png" one.wav >said 2>/dev/null
echo "rc $?, $(grep -c answer: said) answers, $(head -c 4 whole.flac)"
"$SO" talk --threads 1 --wav kept.wav "$ROOT/examples/table.png" one.wav two.wav "Hello." >said 2>told
echo "rc $?, $(grep -c answer: said) answers, $(head -c 4 kept.wav), $([ "$(size kept.wav)" -gt 20000 ] && echo "the first is kept")"
grep error told | sed 's/: two.wav: .*/: two.wav: .../'
"$SO" talk --threads 1 --wav none.wav two.wav "Hello." >said 2>/dev/null
echo "rc $?, $(ls none.wav* 2>/dev/null)"
"$SO" talk --threads 1 "$ROOT/examples/table.png" 2>&1 | sed "s#$ROOT/##"

echo "== talk --json"
"$SO" talk --threads 1 --json --wav aloud.wav "$ROOT/examples/table.png" one.wav "What is in the top left?" >lines
echo "rc $?"
sed 's/"words": \[[^]]*\], //; s/, "units".*//; s/, "usage".*//' lines
"$SO" talk --threads 1 --json "Hello." two.wav "Hello." 2>/dev/null | sed 's/"usage".*/.../; s/: two.wav: .*/: two.wav: .../; s/"two.wav: .*/"two.wav: .../'
{ head -c 44 one.wav; head -c 66150 /dev/zero; } >silent.wav
"$SO" talk --threads 1 --json silent.wav "Hello." 2>/dev/null | sed 's/"usage".*/.../'
cat >check.py <<'END'
import json
for line in open("lines"):
    turn = json.loads(line)
    print(turn["turn"], turn["usage"]["voice_s"] > 0.3, turn["usage"]["stopped"], sorted(turn))
END
command -v python3 >/dev/null && python3 check.py
exit 0
