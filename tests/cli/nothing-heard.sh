# Silence is told as such: no invented question, no answer to it; what comes behind it is heard.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
# wav FILE SECONDS: silence of 16 kHz
wav() {
    bytes=$(($2 * 32000))
    { printf 'RIFF'; le $((bytes + 36)); printf 'WAVEfmt \020\0\0\0\001\0\001\0\200\076\0\0\0\175\0\0\002\0\020\0data'; le $bytes
      head -c $bytes /dev/zero; } >"$1"
}
le() {
    # shellcheck disable=SC2059
    printf "\\$(printf %o $(($1 & 255)))\\$(printf %o $(($1 >> 8 & 255)))\\$(printf %o $(($1 >> 16 & 255)))\\$(printf %o $(($1 >> 24)))"
}
wav silence.wav 2
$SO ask silence.wav --quiet
echo "ask: $?"
$SO ask silence.wav "$ROOT/examples/table.png" --quiet
echo "with a picture: $?"
$SO transcribe silence.wav
echo "transcribe: $?"
$SO talk silence.wav "$ROOT/examples/talk.wav" 2>talk.err
echo "talk: $?"
grep heard talk.err
