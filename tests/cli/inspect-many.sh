# Two hundred thousand names, each a family of its own, in a file that would take minutes if each were compared with every
# other; then names and keys that would command a terminal.
command -v python3 >/dev/null 2>&1 || { echo "SKIP: python3 is absent" >&2; exit 77; }
python3 - <<'END'
import json, struct
head = json.dumps({f'a{i:06d}x.weight': {'dtype': 'U8', 'shape': [1], 'data_offsets': [i, i + 1]} for i in range(200000)}).encode()
open('many.safetensors', 'wb').write(struct.pack('<Q', len(head)) + head + bytes(200000))

def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack('<Q', len(s)) + s
keys = [('general.architecture', b'evil\x1b]0;owned\x07'), ('stop\x1b[2J', b'\xc2\x9b31m line\nbreak \xff'), ('turn', '\u202egpj.exe'.encode())]
data = b'GGUF' + struct.pack('<IQQ', 3, 1, len(keys))
for key, value in keys:
    data += text(key) + struct.pack('<I', 8) + text(value)
data += text('name\u009b31m') + struct.pack('<IQIQ', 1, 8, 0, 0)
data += b'\0' * (-len(data) % 32) + bytes(32)
open('evil.gguf', 'wb').write(data)
END
timeout 60 $SO inspect many.safetensors >told
echo $?
head -1 told
wc -l <told
tail -1 told
$SO inspect evil.gguf
$SO inspect evil.gguf --tensors --json
$SO inspect evil.gguf --json | python3 -c 'import json, sys; print(ascii(json.load(sys.stdin)["keys"]))'
$SO inspect "$(printf -- '--\033[31m')"
for f in "$(printf 'no\033[31mfile')"; do $SO inspect "$f"; done
