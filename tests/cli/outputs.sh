# Where output goes: devices, pipes and links are written through, files are whole or absent, the ending chooses the form.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
say() { "$SO" speak --threads 1 --quiet "Hello." --max-units 8 "$@"; }
kind() { head -c 4 "$1" | tr -c 'A-Za-z' '.'; echo " $1"; }

echo "== forms"
for name in a.wav a.FLAC a.ogg a.opus; do say --wav $name >/dev/null && kind $name; done
say --wav a.mp3 >/dev/null 2>told && "$SO" transcribe --threads 1 a.mp3 >/dev/null 2>&1 && echo "an MP3 is read back"
grep -q -i 'cannot write' told && echo "an MP3 is read back" # a library without the encoder says so
"$SO" transcribe --threads 1 a.opus >/dev/null 2>&1 && echo "an Opus file is read back"
for name in a.m4a a there/a.wav; do say --wav $name; done
rm -f a.mp3
mkdir folder.wav
say --wav folder.wav
say --wav ''
ls

echo "== standard output"
say --wav - >out 2>told
kind out
cmp out a.wav && cat told
say --wav /dev/stdout 2>/dev/null | cat >piped
kind piped
tail -c +45 piped >b; tail -c +45 a.wav | cmp - b && echo "the same samples"
echo head >>log; say --wav - >>log 2>/dev/null; head -1 log; tail -c +6 log | head -c 4; echo
say --wav - --alignment - >/dev/null
"$SO" ask --threads 1 --quiet "$ROOT/examples/table.png" "What color is the star?" --wav - 2>answer | head -c 4; echo
cat answer
"$SO" ask --threads 1 "Hello." --alignment - 2>/dev/null | head -c 4 | tail -c 3; echo

echo "== pipes, links, modes"
mkfifo fifo
cat fifo >through.wav &
say --wav fifo >/dev/null
wait
kind through.wav
[ -p fifo ] && echo "still a pipe"
mkdir there
ln -s there/real.wav link.wav
say --wav link.wav >/dev/null
[ -h link.wav ] && kind there/real.wav
chmod 640 there/real.wav
say --wav link.wav >/dev/null
ls -l there/real.wav | cut -c1-10
if [ "$(id -u)" = 0 ] && mknod null c 1 3 2>/dev/null && : 2>/dev/null >null; then
    say --wav null >/dev/null
    "$SO" ask --threads 1 --quiet "Hello." --wav null --alignment null
    "$SO" convert "$ROOT/models/tabletop.gguf" -o null --threads 1 | sed 's/,.*//'
    "$SO" export "$ROOT/models/tabletop.gguf" --as mmproj -o null --threads 1 | sed 's/:.*//'
    "$SO" convert "$ROOT/models/tabletop.gguf" -o null --split 4M 2>&1
    [ -c null ] && echo "still a device"
else
    say --wav /dev/null >/dev/null
    "$SO" ask --threads 1 --quiet "Hello." --wav /dev/null --alignment /dev/null
    echo "null: tabletop"
    echo null
    echo "error: null: a pipe or a device, and several files are to be written"
    echo "still a device"
fi
"$SO" speak --threads 1 --quiet "The star is red." --wav /dev/full >/dev/null
echo "rc $?"
"$SO" convert "$ROOT/models/tabletop.gguf" -o /dev/full --threads 1 2>&1 | tail -1
"$SO" export "$ROOT/models/tabletop.gguf" --as llama --threads 1 -o - 2>/dev/null | head -c 4; echo
echo "== known before the work"
for what in "ask Hello. --wav there/none/a.wav" "ask Hello. --alignment there/none/a.png" "speak Hello. --wav a.flac --alignment a.flac" \
    "train report there none/r.html --model nowhere.gguf" "calibrate nowhere.gguf --output none/i" "eval tabletop there --details none/d"; do
    # shellcheck disable=SC2086
    "$SO" $what
done
ls -A | grep -c tmp
exit 0
