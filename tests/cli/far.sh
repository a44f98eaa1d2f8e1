# ask and talk with a server: the same words as with a model here, speech, JSON, TLS and keys, and what is told when it does not work.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
unset STREAM_OMNI_SERVER STREAM_OMNI_KEY STREAM_OMNI_TLS_CA
trap 'kill $servers 2>/dev/null; wait' EXIT
# begin NAME OPTIONS: a server of its own, its address into NAME
begin() {
    name=$1
    shift
    "$SO" serve --port 0 --threads 1 "$@" >"$name.told" 2>"$name.err" &
    server=$!
    servers="$servers $server"
    tries=0
    until grep -qs '^http' "$name.told" || [ $tries -ge 6000 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    grep -m 1 '^http' "$name.told" >"$name"
}
begin plain
url=$(cat plain)
table=$ROOT/examples/table.png
question=$ROOT/examples/question.wav

"$SO" ask --server "$url" "$table" "What color is the star?" 2>told
sed 's/in .*; first word after .*/in .../' told
"$SO" ask --server "$url/v1/" --quiet "$table" "$question" --wav answer.wav --alignment answer.png
"$SO" ask --threads 1 --quiet "$table" "$question" --wav here.wav
# 24,000 Hz there and 22,050 here: the same seconds to one unit of 40 ms
echo "$(wc -c <answer.wav) $(wc -c <here.wav)" | awk '{ d = ($1 - 44) / 48000 - ($2 - 44) / 44100; print (d < 0.05 && d > -0.05) ? "as long as here" : $0 }'
[ "$(head -c 4 answer.png | tail -c 3)" = PNG ] && echo "drawn"
STREAM_OMNI_SERVER=$url "$SO" ask --json "$question" "$table" --wav other.wav 2>told |
    sed 's/"units": \[[0-9, ]*\]/"units": [...]/; s/"first_text_s.*/.../'
"$SO" talk --server "$url" --json "$table" "What color is the star?" "$question" --wav talk.wav | sed 's/, "words.*"text"/ "text"/; s/, "u.*//'
"$SO" talk --server "$url" --json "$table" --text "What color is the star?" --system "Answer." --max-text 3 | sed 's/, "u.*//'

echo "keys and TLS"
begin secret --api-key right --tls-self-signed --tls-folder tls
secure=$(cat secret)
for key in "" wrong; do "$SO" ask --server "$secure" --tls-ca tls/authority.pem ${key:+--key $key} Hello. 2>&1; done | sed 's/:[0-9][0-9]*:/:N:/'
STREAM_OMNI_KEY=right "$SO" ask --server "$secure" --tls-ca tls/authority.pem --quiet "$table" "What color is the star?"
STREAM_OMNI_KEY=right STREAM_OMNI_TLS_CA=tls/authority.pem "$SO" ask --server "$secure" --quiet "$table" "What color is the star?"
for authority in "" secret nowhere; do
    "$SO" ask --server "$secure" --key right ${authority:+--tls-ca $authority} Hello. 2>&1
done | sed 's/:[0-9][0-9]*:/:N:/'
"$SO" ask --server "$secure" --tls-ca tls/authority.pem --key "two words" Hello.

echo "what cannot be"
"$SO" ask --server "https${url#http}" Hello. 2>&1 | sed 's/:[0-9][0-9]*:/:N:/'
"$SO" ask --server http://127.0.0.1:1 Hello.
"$SO" talk --server ftp://127.0.0.1 Hello.
"$SO" ask --server "$url" --threads 2 Hello.
"$SO" talk --server "$url" --seed 3 Hello.
kill $servers
