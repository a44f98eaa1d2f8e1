# The shipped model sees the shipped picture, hears the shipped question, and answers in text and speech.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
cd "$ROOT" && $SO demo --quiet --wav "${TMPDIR:-/tmp}/demo.$$.wav" --alignment "${TMPDIR:-/tmp}/demo.$$.png" || exit
[ "$(wc -c <"${TMPDIR:-/tmp}/demo.$$.wav")" -gt 40000 ] && echo "more than a second of speech"
rm -f "${TMPDIR:-/tmp}/demo.$$.wav" "${TMPDIR:-/tmp}/demo.$$.png"
$SO ask --quiet examples/table.png "What is in the top right?"
$SO see --quiet examples/table.png
$SO transcribe examples/talk.wav
