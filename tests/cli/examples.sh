# The client in plain C of examples/ with a server: an answer as it comes, a key, an error, nobody there.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
cc=$(command -v "${CC:-cc}") || { echo "SKIP: no C compiler" >&2; exit 77; }
unset STREAM_OMNI_KEY
"$cc" -std=c11 -Wall -Wextra -Werror "$ROOT/examples/chat.c" -o chat || exit 1
STREAM_OMNI_API_KEY=secret "$SO" serve --port 0 --threads 1 >address 2>log &
server=$!
trap 'kill $server 2>/dev/null; wait' EXIT
tries=0
until grep -qs ^http address || [ $tries -ge 6000 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
port=$(sed -n 's/^http:.*:\([0-9]*\)$/\1/p' address)
export STREAM_OMNI_KEY=secret
"$SO" ask --server "http://127.0.0.1:$port" --quiet "How much is two plus three?" >expected # waits until the model is there
./chat 127.0.0.1 "$port" How much is two plus "three?" >found
cmp expected found && [ -s found ] && echo "the same answer"
./chat 127.0.0.1 "$port" 'A "quote", a \ and a
line.' | grep -c .
STREAM_OMNI_KEY=wrong ./chat 127.0.0.1 "$port" Hello. 2>&1 | sed 's/.*"message": *"\([^"]*\)".*/\1/'
kill $server
wait $server
./chat 127.0.0.1 "$port" Hello. 2>&1 | sed "s/$port/N/"
