# Arguments that are URLs: fetched, decoded, or refused by name.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
command -v python3 >/dev/null || { echo "SKIP: python3 is absent" >&2; exit 77; }
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
mkdir there
cp "$ROOT/examples/table.png" "$ROOT/examples/question.wav" there
printf '<!DOCTYPE html><title>Log in</title>' >there/login.png
cat >serve.py <<'END'
import functools, http.server
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory="there"))
print(server.server_address[1], flush=True)
server.serve_forever()
END
python3 serve.py >port &
server=$!
tries=0
until [ -s port ] || [ $tries -ge 6000 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
at=http://127.0.0.1:$(cat port)
ask() { "$SO" ask --quiet --threads 1 "$@" 2>&1 | sed "s#$at#HTTP#g"; }

ask "$at/table.png" "$at/question.wav"
"$SO" transcribe --threads 1 "$at/question.wav"
ask "$at/nothing.png" "What color is the star?"
ask "$at/login.png" "What color is the star?"
ask "$at/there"
kill $server
wait $server 2>/dev/null
ask "ftp://example.com/table.png" "Hello."
ask "hf://owner/name"
ask "data:image/png;base64,$(base64 <there/table.png)" "Where is the red star?"
ask "data:text/plain,What%20is%20red%3F" there/table.png
ask "data:image/png;base64,AA=A" "Hello."
ask "data:image/png;base64,AAAAA" "Hello."
ask "data:,"
"$SO" speak --quiet --threads 1 "data:text/plain;base64,SGVsbG8u" --wav said.wav
"$SO" convert hf://owner/name -o out.gguf 2>&1
exit 0
