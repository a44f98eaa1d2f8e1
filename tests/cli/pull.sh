# Repositories are fetched from a hub on the loopback device that behaves as the real ones do at their worst.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
command -v python3 >/dev/null || { echo "SKIP: python3 is absent" >&2; exit 77; }
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY HF_TOKEN
HOME=$(pwd)
export HOME
$make there --tiny || exit
printf -- '---\nlicense: apache-2.0\n---\n' >there/model/README.md

# serve FAULTS: a hub with these; stop with "kill $hub"
serve() {
    rm -f log address
    python3 "$ROOT/tests/cli/hub.py" log "$1" a/tiny=there/model b/codec=there/codec >address &
    hub=$!
    tries=0
    until [ -s address ] || [ $tries -ge 6000 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    HF_ENDPOINT=$(cat address)/
    MODELSCOPE_ENDPOINT=$HF_ENDPOINT
    export HF_ENDPOINT MODELSCOPE_ENDPOINT
}
pull() {
    $SO pull --model hf:a/tiny --codec ms:b/codec --pause 0.05 -o m.gguf "$@" 2>&1 |
        sed "s#$(cat address)#HUB#g; s#[0-9a-f]\{64\}#HASH#g; s#localhost:[0-9]*#CDN#"
}

echo "== everything breaks, everything goes on; a second run fetches nothing"
serve drop,pages
pull | sed '/^Built/,/^$/d'
[ "$(grep -c '^cdn.*bytes=' log)" -gt 5 ] && echo "gone on by range"
grep -c 'cdn.* token' log
for f in $(cd there/model && ls); do cmp there/model/$f .cache/huggingface/hub/models--a--tiny/snapshots/*/$f; done
for f in $(cd there/codec && ls); do cmp there/codec/$f .cache/modelscope/hub/models/b/codec/$f; done
cat .cache/huggingface/hub/models--a--tiny/refs/main && echo
rm log
pull --quiet
grep -c -E 'resolve|FilePath|cdn' log
kill $hub

echo "== a file of another version with as many bytes is fetched anew; hashes that are not listed are told"
serve none
place=.cache/modelscope/hub/models/b/codec
for f in config.json flow.pt; do printf x | dd of=$place/$f bs=1 seek=100 conv=notrunc 2>/dev/null; done
pull | grep -E 'config.json|\.pt|speech_tok'
for f in config.json flow.pt; do cmp there/codec/$f $place/$f; done
kill $hub
serve bare
pull --quiet --cache bare
pull --cache bare | grep -c 'there already, no hash listed'
kill $hub

echo "== licences come first"
serve busy
pull --cache fresh | sed -n 1,2p
kill $hub

echo "== hashes and sizes are checked, and what is wrong is not kept"
serve wrong
pull --quiet --cache wrong
find wrong -name 'model-*' -o -name '*.part'
kill $hub
serve short
pull --quiet --cache short
kill $hub

echo "== a server without ranges, a list that climbs, a token"
serve no-range
pull --quiet --cache ranges
kill $hub
serve climb
pull --quiet --cache climb
kill $hub
serve token=secret
pull --quiet --cache token
pull --quiet --cache token --token secret
grep -c 'hub.*token' log | sed 's/[0-9][0-9]/many/'
grep -c 'cdn.* token' log
kill $hub

echo "== no such repository, no such hub"
serve none
pull --quiet --model hf:a/none
kill $hub
wait $hub 2>/dev/null
pull --quiet --tries 2 --cache gone | sed 's/:.*//'
exit 0
