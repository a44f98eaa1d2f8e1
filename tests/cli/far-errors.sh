# A server that breaks off, goes down, fails, or is none: what was said until then stays, and the error says what happened.
command -v python3 >/dev/null || { echo "SKIP: python3 is absent" >&2; exit 77; }
unset STREAM_OMNI_SERVER STREAM_OMNI_KEY STREAM_OMNI_TLS_CA
cp "$ROOT/examples/question.wav" .
begin() {
    rm -f asked
    timeout 800 python3 "$ROOT/tests/cli/far.py" "$1" >asked &
    server=$!
    tries=0
    until [ -s asked ] || [ $tries -ge 6000 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
}
for kind in drop close failed beta words masked; do
    begin $kind
    echo "$kind:"
    "$SO" ask --server "$(head -1 asked)" question.wav --wav $kind.wav >said 2>told
    echo "status $?"
    wait $server
    cat said
    sed 's/:[0-9][0-9]*:/:N:/; s/in .*; first word.*/in .../' told
    [ ! -f $kind.wav ] || echo "$(($(wc -c <$kind.wav) - 44)) bytes of sound"
    [ $kind != beta ] || tail -n +2 asked
done
# Within a conversation, the turns before are kept as well.
begin drop
"$SO" talk --server "$(head -1 asked)" --json "What is it?" "And that?" 2>/dev/null | sed 's/:[0-9][0-9]*:/:N:/'
wait
