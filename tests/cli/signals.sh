# Signals end the program with 128 and their number; what is not whole has no name and leaves nothing behind.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
# It is broken off at once: so long that nothing is over before that.
long="The star is red and the square is blue and the circle is green and the cross is white and the moon is yellow."

long="$long $long $long $long"

# interrupted SIGNAL: speaks until its temporary is there
interrupted() {
    "$SO" speak --quiet --threads 1 --wav said.wav "$long" >/dev/null 2>told &
    talk=$!
    tries=0
    until [ -e said.wav.so-tmp ] || [ $tries -ge 6000 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
    kill -"$1" $talk
    wait $talk 2>/dev/null
    echo "$1: $?, $(ls said.wav* 2>/dev/null | tr "\n" " ")"
}
interrupted INT
interrupted TERM
interrupted HUP
printf 'the old one' >said.wav
interrupted TERM
rm said.wav
interrupted KILL
"$SO" speak --quiet --threads 1 --wav said.wav "Hello." >/dev/null
ls said.wav*

echo "== deep in a product"
"$SO" bench --random llama-1b q4_k --only prefill --prompt 8192 --threads 1 >begun 2>told &
bench=$!
tries=0
until [ -s begun ] || [ $tries -ge 6000 ]; do
    tries=$((tries + 1))
    sleep 0.02
done
sleep 0.3
kill -INT $bench
wait $bench
echo "bench: $?"

echo "== nobody reads"
"$SO" inspect --tensors | head -1 | grep -c :
# A pipe whose only reader has gone before anything is written.
mkfifo unread
exec 8<>unread 9>unread 8<&-
"$SO" inspect --tensors >&9 2>told
echo "inspect: $?"
cat told
"$SO" transcribe "$ROOT/examples/question.wav" --threads 1 >&9 2>told
echo "transcribe: $?"
cat told
exec 9>&-

echo "== closed descriptors"
"$SO" speak --quiet --threads 1 --wav open.wav "Hello." >&- 2>told
echo "standard output: $?"
cat told
head -c 4 open.wav && echo
tail -c +5 open.wav | grep -c -a Hello
"$SO" speak --threads 1 --wav open.wav "Hello." >/dev/null 2>&-
echo "standard error: $?, $(head -c 4 open.wav)"
"$SO" --version <&- >&- 2>&-
echo "all: $?"
"$SO" --version </dev/null | sed "s/ [0-9.]*\$//"
