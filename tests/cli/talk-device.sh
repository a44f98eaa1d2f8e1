# A microphone and a speaker that are files, by way of PortAudio and ALSA: heard, answered aloud, ended by Ctrl-C.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
head -c 44100 /dev/zero >said.raw
tail -c +45 "$ROOT/examples/question.wav" >>said.raw
head -c 132300 /dev/zero >>said.raw
cat >devices.conf <<END
pcm.nothing { type null }
pcm.in { type plug slave { pcm { type file slave.pcm nothing file "/dev/null" infile "$PWD/said.raw" format raw }
    format S16_LE rate 22050 channels 1 } }
pcm.out { type plug slave { pcm { type file slave.pcm nothing file "$PWD/played.raw" format raw }
    format S16_LE rate 22050 channels 1 } }
pcm.!default { type asym playback.pcm out capture.pcm in }
END
export ALSA_CONFIG_PATH="$PWD/devices.conf"
"$SO" talk --devices >devices
grep -q default devices || { echo "SKIP: ALSA has no null device here, or PortAudio no ALSA" >&2; exit 77; }

# begin OPTIONS: talks in the background; until COMMAND: waits while it talks and COMMAND fails
begin() {
    rm -f played.raw
    : >said
    : >told
    "$SO" talk --picture "$ROOT/examples/table.png" --threads 1 "$@" >said 2>told &
    talk=$!
}
until_so() {
    tries=0
    until "$@" || [ $tries -ge 6000 ] || ! kill -0 $talk 2>/dev/null; do
        tries=$((tries + 1))
        sleep 0.05
    done
}
answered() { grep -q '^answer: .' said && [ -z "$(tail -c 1 said)" ]; }
answering() { grep -q '^answer: .' said; }
size() { wc -c <"$1" | tr -d ' '; }

begin --wav answer.wav
until_so answered
kill -INT $talk
wait $talk
echo "a whole answer, then Ctrl-C: $?"
sed 's/\(heard:\|answer:\) *..*/\1 words/' said
grep -v '^note: no echo cancellation' told
[ "$(($(size answer.wav) - 44))" = "$(size played.raw)" ] && echo "what was written was played"
[ "$(tr -d '\0' <played.raw | wc -c)" -gt 10000 ] && echo "aloud"

begin --wav cut.wav
until_so answering
kill -INT $talk
wait $talk
echo "Ctrl-C within the answer: $?"
[ "$(head -c 4 cut.wav)" = RIFF ] && echo "what was said is kept"

begin
until_so grep -qs speak told # it listens
kill -TERM $talk
wait $talk
echo "ended while it listens: $?"

begin --microphone nowhere
wait $talk
echo "no such microphone: $?"
grep -v '^note: no echo cancellation' told
begin --speaker-device nowhere
wait $talk
echo "no such speaker: $?"
grep -v '^note: no echo cancellation' told
echo "pcm.none { type absent }" >devices.conf
begin
wait $talk
echo "no devices: $?"
grep -v '^note: no echo cancellation' told
