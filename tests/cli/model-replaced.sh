# A model file that is replaced, or cut short, while a conversation reads it.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
question="What is in the top right?"
turns() {
    cp "$ROOT/models/tabletop.gguf" m.gguf
    set -- "$ROOT/examples/table.png"
    for _ in 1 2 3 4 5 6; do set -- "$@" "$question"; done
    # Aloud: a turn then takes long enough to be met in the middle of the conversation.
    : >said # before the shell in the background makes it
    "$SO" talk --model m.gguf --keep-types --threads 1 --wav answers.wav "$@" >said 2>told &
    talk=$!
    tries=0
    until grep -q '^answer: .' said || [ $tries -ge 15000 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
    kill -STOP $talk
}
answers() { grep -c '^answer: .' said; }

turns
printf 'another model' >other
mv other m.gguf
kill -CONT $talk
wait $talk
echo "replaced: exit $?, $(answers) answers"
tail -n 1 told | grep -c '^error'

turns
: >m.gguf
kill -CONT $talk
wait $talk
echo "cut short: exit $?"
tail -n 1 told
