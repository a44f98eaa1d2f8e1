# A conversation with a server by a microphone and a speaker that are files, by way of PortAudio and ALSA.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
unset STREAM_OMNI_SERVER STREAM_OMNI_KEY STREAM_OMNI_TLS_CA
head -c 44100 /dev/zero >said.raw
tail -c +45 "$ROOT/examples/question.wav" >>said.raw
head -c 132300 /dev/zero >>said.raw
cat >devices.conf <<END
pcm.nothing { type null }
pcm.in { type plug slave { pcm { type file slave.pcm nothing file "/dev/null" infile "$PWD/said.raw" format raw }
    format S16_LE rate 22050 channels 1 } }
pcm.out { type plug slave { pcm { type file slave.pcm nothing file "$PWD/played.raw" format raw }
    format S16_LE rate 24000 channels 1 } }
pcm.!default { type asym playback.pcm out capture.pcm in }
END
export ALSA_CONFIG_PATH="$PWD/devices.conf"
"$SO" talk --devices >devices
grep -q default devices || { echo "SKIP: ALSA has no null device here, or PortAudio no ALSA" >&2; exit 77; }
"$SO" serve --port 0 --threads 1 >address 2>log &
server=$!
trap 'kill $server 2>/dev/null; wait' EXIT
# until COMMAND: waits five minutes for it at most
until_so() {
    tries=0
    until "$@" || [ $tries -ge 6000 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
}
begin() {
    rm -f played.raw told
    : >said
    "$SO" talk --server "$(grep -m 1 ^http address)" --picture "$ROOT/examples/table.png" "$@" >said 2>told &
    talk=$!
}
served() { grep -qs ^http address; }
answered() { grep -q '^answer: .' said && [ -z "$(tail -c 1 said)" ]; }
size() { wc -c <"$1" | tr -d ' '; }
until_so served

begin --wav answer.wav
until_so answered
kill -INT $talk
wait $talk
echo "a whole answer, then Ctrl-C: $?"
cat said
grep -v '^note: no echo cancellation' told
[ "$(($(size answer.wav) - 44))" = "$(size played.raw)" ] && echo "what was written was played"
[ "$(tr -d '\0' <played.raw | wc -c)" -gt 10000 ] && echo "aloud"

begin
until_so grep -qs speak told
kill -KILL $server
wait $server 2>/dev/null
wait $talk
echo "the server is gone: $?"
tail -1 told | sed 's/:[0-9][0-9]*:/:N:/'
