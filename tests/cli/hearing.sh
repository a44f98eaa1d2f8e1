# What microphones and recorders do to a question the shipped model understands: silence before and behind, offsets, levels,
# opposite channels, several sentences, nothing at all; and headers that lie.
# SPDX-License-Identifier: Apache-2.0
command -v python3 >/dev/null 2>&1 || { echo "SKIP: python3 is absent" >&2; exit 77; }
cp "$ROOT/examples/question.wav" "$ROOT/examples/talk.wav" .
python3 - <<'P' || exit 1
import array, struct, wave
def read(name):
    with wave.open(name) as w: return w.getframerate(), array.array('h', w.readframes(w.getnframes()))
def write(name, channels, rate=22050, announced=None):
    n = len(channels[0])
    data = array.array('h', [min(32767, max(-32768, int(c[i]))) for i in range(n) for c in channels]).tobytes()
    size = len(data) if announced is None else announced(len(data))
    head = struct.pack('<4sI4s4sIHHIIHH4sI', b'RIFF', 0xffffffff, b'WAVE', b'fmt ', 16, 1, len(channels), rate,
                       rate * 2 * len(channels), 2 * len(channels), 16, b'data', size)
    open(name, 'wb').write(head + data)
rate, q = read('question.wav')
_, t = read('talk.wav')
q, t = list(q), list(t)
still = lambda s: [0] * int(s * rate)
write('lead.wav', [still(10) + q])
write('behind.wav', [q + still(10)])
write('quiet.wav', [[x / 100 for x in q]])
write('offset.wav', [[x / 2 + 6000 for x in q]])
write('opposite.wav', [q, [-x for x in q]])
write('left.wav', [q, still(len(q) / rate)])
write('two.wav', [t + still(3) + q + still(1)])
write('nothing.wav', [still(3)])
write('streamed.wav', [q], announced=lambda n: 0xffffffff)
write('killed.wav', [q], announced=lambda n: 0)
write('longer.wav', [q], announced=lambda n: n + 16)
P
for f in lead behind quiet offset opposite left two nothing streamed killed longer; do
    echo "$f: $("$SO" transcribe $f.wav)"
done
echo "right channel: $("$SO" transcribe --channel 2 left.wav)"
"$SO" transcribe --channel 3 left.wav || echo "exit $?"
"$SO" ask "$ROOT/examples/table.png" two.wav --quiet
# Words lie inside the recording, in order, and those of the second sentence behind the pause.
"$SO" transcribe --json question.wav two.wav | python3 -c '
import json, sys
for line, seconds in zip(sys.stdin, (1.9601, 7.7059)):
    words = json.loads(line)["words"]
    times = [x for w in words for x in (w["begin_s"], w["end_s"])]
    print(len(words), times == sorted(times), times[-1] <= seconds, sum(w["begin_s"] > 4.5 for w in words))'
"$SO" transcribe --front loud question.wav || echo "exit $?"
"$SO" transcribe --front off question.wav
