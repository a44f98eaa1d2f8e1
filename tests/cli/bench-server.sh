# Load for a server of the shipped model: two sessions of which one speaks at a time, one answer of two spoken into; figures, a
# drawing, and what cannot be.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
unset STREAM_OMNI_SERVER STREAM_OMNI_KEY STREAM_OMNI_TLS_CA
"$SO" serve --port 0 --threads 1 >address 2>log &
server=$!
trap 'kill $server 2>/dev/null; wait' EXIT
tries=0
until grep -qs ^http address || [ $tries -ge 6000 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
url=$(grep -m 1 ^http address)
"$SO" bench --server "$url" --sessions 2 --speaking 1 --seconds 1 --pause 0 --json --plot load.svg >figures 2>told
echo "status $?"
# One question, answered once: its figures are there, in an order that time dictates.
cat >look.py <<'END'
import json
f = json.load(open("figures"))
print({k: f[k] for k in ("sessions", "speaking", "turns", "interrupted", "unheard", "split", "failed", "lost", "trouble")})
print({k: v["n"] for k, v in f.items() if isinstance(v, dict)})
for v in f.values():
    assert not isinstance(v, dict) or v["n"] == 0 or 0 <= v["median"] <= v["p90"] <= v["p95"] <= v["p99"] <= v["most"], v
assert f["speech_stopped_s"]["median"] > 0.2 and f["answer_s"]["median"] >= f["first_audio_s"]["median"]
assert f["first_text_s"]["most"] <= f["first_audio_s"]["most"] and f["voice_s"] > 1 and f["pieces"] >= f["underruns"]
END
if command -v python3 >/dev/null; then python3 look.py; else echo "SKIP: python3 is absent" >&2; exit 77; fi
[ "$(grep -c '<text' load.svg)" -gt 7 ] && tail -1 load.svg
"$SO" bench --server "$url" --seconds 1 --interrupt 1 "$ROOT/examples/table.png" "$ROOT/examples/question.wav" 2>>told | sed -n 's/  *//g; /^endofspeech/{s/[0-9].*//p}' | sort -u
echo "what cannot be"
head -c 48000 /dev/zero >silence.raw
{ head -c 44 "$ROOT/examples/question.wav"; cat silence.raw; } >silence.wav
"$SO" bench --server "$url" silence.wav 2>&1 | grep -v warning
"$SO" bench --server "$url" "$ROOT/examples/table.png" "$ROOT/examples/table.png" 2>&1 | sed 's/.*table/table/'
"$SO" bench --server "$url" --sessions 2 --speaking 3
"$SO" bench --server "$url" --plot nowhere/load.svg
"$SO" bench --server http://127.0.0.1:1
"$SO" bench --seconds 31
