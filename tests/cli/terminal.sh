# On a terminal: the transcript is redrawn on one line of it until it is final, the answer tells how much speech there is, and colour is
# for terminals alone.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
command -v script >/dev/null || { echo "SKIP: script (util-linux) is absent" >&2; exit 77; }
command -v python3 >/dev/null || { echo "SKIP: python3 is absent" >&2; exit 77; }
export TERM=xterm
unset NO_COLOR STREAM_OMNI_SERVER
ask="\"$SO\" ask --threads 1 \"$ROOT/examples/table.png\" \"$ROOT/examples/question.wav\""
script -qec "stty cols 24; $ask" /dev/null </dev/null >narrow
script -qec "stty cols 70; $ask --wav a.wav" /dev/null </dev/null >wide
NO_COLOR=1 script -qec "$ask" /dev/null </dev/null >plain
sh -c "$ask" >off 2>&1
script -qec "stty cols 60; \"$SO\" bench --help" /dev/null </dev/null | tr -d '\r' | grep -E '^( {2}--| {25})' >help
cat >look.py <<'END'
import re
def read(name):
    return open(name, encoding="utf-8", newline="").read()
drawn = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line) for line in read("narrow").split("\r\x1b[K")[1:]]
print("redrawn", len(drawn) > 3, "within the line", all(len(line) < 24 for line in drawn[:-1]))
print("the end of it", any(line.endswith(" red") and "What" not in line for line in drawn[:-1]))
print("final:", drawn[-1].split("\r\n")[0])
wide = read("wide")
print("how much speech", re.search(r"\x1b7\x1b\[2m  \[\d\.\d s of speech\]", wide) is not None, "and in the end none of it", "\x1b[K\r\n" in wide)
lines = read("help").split("\n")
print("help in columns", all(len(line) < 60 for line in lines), sum(line.startswith(" " * 25) for line in lines) > 5)
print("colour elsewhere", "\x1b" in read("plain"), "\x1b" in read("off"))
END
python3 look.py
