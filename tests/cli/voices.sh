# Voices of recordings on a made-up model with CAM++: made, listed, spoken with, served, removed; and what makes none.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
command -v python3 >/dev/null 2>&1 || { echo "SKIP: python3 is absent" >&2; exit 77; }
$make here --tiny --campplus --seed 3 || exit
cat >sounds.py <<'END'
import math, struct
def write(name, seconds, pitch, loud=0.12, rate=16000):
    x = []
    for i in range(int(seconds * rate)):
        t = i / rate - 0.3
        level = loud * (0.55 + 0.45 * math.sin(8 * math.pi * t)) if t > 0 else 0
        x.append(int(32767 * level * sum(math.sin(2 * math.pi * pitch * h * t) / h for h in range(1, 8))) if level else 0)
    data = struct.pack('<%dh' % len(x), *x)
    open(name, 'wb').write(struct.pack('<4sI4s4sIHHIIHH4sI', b'RIFF', 36 + len(data), b'WAVE', b'fmt ', 16, 1, 1, rate, 2 * rate, 2, 16, b'data', len(data)) + data)
write('ada.wav', 4, 120); write('ben.wav', 3, 210); write('short.wav', 0.8, 120); write('silence.wav', 2, 120, 0)
write('long.wav', 34, 120, rate=8000)
END
python3 sounds.py || exit
export STREAM_OMNI_VOICES_DIR=kept
$SO convert here/model here/codec -o m.gguf --threads 1 >/dev/null
with="--model m.gguf --threads 1"
$SO inspect m.gguf | grep -o '^ *speaker vectors'
echo "== made, listed"
$SO voices list
$SO voices add ada ada.wav $with
$SO voices add ada ada.wav $with || echo "exit $?"
$SO voices add ada ada.wav ben.wav --replace $with
$SO voices add ben ben.wav $with
$SO voices list
$SO voices list --json | sed 's/"source": "[0-9a-f]\{64\}"/"source": 64 digits/g'
ls kept
echo "== spoken with"
units="1 5 9 33 2 8 40 12 7 7"
$SO speak --from-units "$units" --wav own.wav $with
$SO speak --from-units "$units" --wav ada.out.wav --voice ada $with
$SO speak --from-units "$units" --wav ben.out.wav --voice ben $with
$SO speak --from-units "$units" --wav file.wav --voice kept/ben.safetensors $with
$SO speak --from-units "$units" --wav like.wav --like ben.wav $with
cmp -s own.wav ada.out.wav || echo "ada's is not the model's own"
cmp -s ben.out.wav ada.out.wav || echo "nor ben's"
cmp ben.out.wav file.wav && cmp ben.out.wav like.wav && echo "ben's is ben's"
$SO ask hello --quiet --max-text 3 --max-units 5 --wav a.wav --voice ada $with >/dev/null && head -c 4 a.wav && echo
$SO talk hello --max-text 3 --max-units 5 --wav t.wav --like ada.wav --like ben.wav $with >/dev/null 2>&1 && head -c 4 t.wav && echo
# a folder in the published layout and a quantised file are the same model
$SO speak --from-units "$units" --wav folder.wav --voice ben --model here/model --codec here/codec --threads 1
cmp folder.wav ben.out.wav && echo "from the folder, too"
$SO convert here/model here/codec -o q.gguf --type q8_0 --threads 1 >/dev/null
$SO speak --from-units "$units" --wav q.wav --voice ben --model q.gguf --threads 1 && echo "and from a quantised file"
echo "== served"
cat >serve.py <<'END'
import json, sys
sys.path.insert(0, sys.argv[2] + '/tests/net')
from serving import Server
s = Server(sys.argv[1], '--model', 'm.gguf', '--voice', 'ben', '--max-units', '40')
names = [v['id'] for v in json.loads(s.ask('GET', '/v1/audio/voices')[2])['voices']]
print(names)
def say(voice):
    status, _, data = s.ask('POST', '/v1/audio/speech', {'model': 'x', 'input': 'hello hello', 'voice': voice, 'response_format': 'pcm'})
    assert status == 200 and len(data) > 1000, (voice, status, data[:200])
    return data
said = {voice: say(voice) for voice in ('ada', 'ben', 'alloy', names[0])}
print('the usual:', said['alloy'] == said['ben'], 'others:', len({said['ada'], said['ben'], said[names[0]]}))
print('by an object:', say({'id': 'ada'}) == said['ada'])
def chat(voice):
    body = {'model': 'x', 'messages': [{'role': 'user', 'content': 'hello'}], 'modalities': ['text', 'audio'], 'audio': {'format': 'wav', 'voice': voice}}
    status, _, data = s.ask('POST', '/v1/chat/completions', body)
    assert status == 200, data[:200]
    return json.loads(data)['choices'][0]['message']['audio']['data']
print('chat:', len({chat('ada'), chat('ben'), chat(names[0])}), chat('nobody') == chat('ben'))
print('ended with', s.end()[0])
END
PYTHONDONTWRITEBYTECODE=1 python3 serve.py "$SO" "$ROOT"
$SO serve --port 0 --voice nobody $with 2>&1 | head -1
echo "== what makes none"
$SO voices add cai short.wav $with
$SO voices add cai silence.wav $with
$SO voices add cai ada.wav short.wav $with
$SO voices add cai nowhere.wav $with
$SO voices add cai here/model/config.json $with
$SO voices add ../cai ada.wav $with
$SO voices add cai
$SO voices sing
$SO voices list now
$SO voices add long long.wav $with
$SO speak hello --voice ada --like ada.wav $with --wav x.wav
$SO speak hello --voice nobody $with --wav x.wav
$SO ask hello --voice ada --wav x.wav --model "$ROOT/models/tabletop.gguf" --threads 1
$SO speak hello --like ada.wav --wav x.wav --model "$ROOT/models/tabletop.gguf" --threads 1
$SO ask hello --like ada.wav --server http://127.0.0.1:1 --wav x.wav
head -c 3000 kept/ada.safetensors >kept/cut.safetensors
$SO voices list || echo "exit $?"
$SO speak hello --voice cut $with --wav x.wav
ls x.wav kept/*.so-tmp 2>/dev/null
echo "== removed"
$SO voices remove ada nobody
$SO voices remove ada cut
$SO voices remove ada
ls kept
exit 0
