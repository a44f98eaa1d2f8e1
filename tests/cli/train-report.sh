# A report with a finished model's answers: everything inside one small file.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
mkdir run
echo '{"step":1,"loss":2}' >run/log.jsonl
$SO train report run plain.html && grep -c 'data:' plain.html
$SO train report run report.html --model "$ROOT/models/tabletop.gguf" --samples 3 --seed 2 || exit
# Sound in base64 may hold "http" by chance, never a colon.
for what in '<h2>Sample' 'data:image/png' 'data:audio/flac' '<td>asked</td>' '<svg' 'http[s]*:'; do
    echo "$what $(grep -o -- "$what" report.html | wc -l)"
done
[ "$(wc -c <report.html)" -lt 3000000 ] && echo "less than 3 MB"
echo '{"conditions": [{"condition": "noise", "mode": "S>T", "voice": "flite:rms", "n": 50, "right": 40, "inside": 50, "refused": 1, "words": 200, "errors": 9}]}' >table.json
$SO train report run table.html --conditions table.json && grep -o '80.0 % of 50 right, 4.5 % word errors, 2.0 % refused' table.html
$SO train report run table.html --conditions run/log.jsonl
$SO train report run report.html --model nowhere.gguf
