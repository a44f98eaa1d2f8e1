# The Python face over the shared library: what it hears, writes, says and tells is what the program does.
set -u
library=$(dirname "$SO")/libstream_omni.so
model=$ROOT/models/tabletop.gguf
for python in ${SO_ORACLE_PYTHON:-python3 /usr/bin/python3}; do
    $python -c 'import numpy' 2>/dev/null && break
    python=
done
[ -n "$python" ] || { echo "SKIP: python3-numpy is absent" >&2; exit 77; }
[ -f "$library" ] || { echo "SKIP: libstream_omni.so is not built (sanitizers, clang)" >&2; exit 77; }
[ -f "$model" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
export STREAM_OMNI_LIB="$library" STREAM_OMNI_INCLUDE="$ROOT/include" PYTHONDONTWRITEBYTECODE=1
# The layouts that are read from the header are the compiler's.
cat >layout.py <<'PY'
import ctypes, subprocess, sys
sys.path.insert(0, sys.argv[1] + "/python")
import stream_omni as so
structs = [k for k, v in so._types.items() if isinstance(v, type) and issubclass(v, ctypes.Structure)]
lines = [f'printf("{s} %zu\\n", sizeof({s}));' + "".join(
    f'printf("{s}.{f} %zu\\n", offsetof({s}, {f}));' for f, _ in so._types[s]._fields_) for s in structs]
open("layout.c", "w").write('#include <stdio.h>\n#include "so.h"\nint main(void) {' + "\n".join(lines) + "}\n")
subprocess.check_call(["cc", "-I", sys.argv[1] + "/include", "layout.c", "-o", "layout"])
told = dict(line.split() for line in subprocess.check_output("./layout", text=True).splitlines())
for s in structs:
    assert int(told[s]) == ctypes.sizeof(so._types[s]), s
    for f, _ in so._types[s]._fields_:
        assert int(told[f"{s}.{f}"]) == getattr(so._types[s], f).offset, (s, f)
print("layouts agree:", len(structs) >= 10)
PY
$python layout.py "$ROOT"
$python "$ROOT/python/example.py" >example.txt
sed -n 's/^heard: //p' example.txt
"$SO" transcribe "$ROOT/examples/question.wav" --threads 2 --model "$model"
grep -c '^answer: .' example.txt
cat >more.py <<'PY'
import sys
sys.path.insert(0, sys.argv[1] + "/python")
import numpy as np, stream_omni as so
m = so.Model(sys.argv[1] + "/models/tabletop.gguf", threads=1)
x = np.sin(np.arange(16000) / 20).astype(np.float32) * 0.1
units = m.units(x, 16000)
print(units.dtype, abs(len(units) - 25) <= 2, len(m.speech(units)) > 15000)
with m.session(seed=3) as s:
    s.say("What is your name?")
    a = s.reply(logprobs=True)
    s.clear()
    s.say("What is your name?")
    b = "".join(e.text for e in s.events() if e.kind == "text")
    print(a.text == b, all(t.logprob <= 0 for t in a.tokens), a.usage["text_tokens"] > 0)
for bad in (lambda: so.Model("/nonexistent"), lambda: m.session().see(np.zeros((2, 2)))):
    try: bad()
    except (so.Error, ValueError) as e: print(type(e).__name__)
try: m.voice("ada", (x, 16000))
except so.Error as e: print("CAM++" in str(e))
try: m.session(nonsense=1)
except TypeError as e: print(str(e)[:20])
PY
$python more.py "$ROOT"
