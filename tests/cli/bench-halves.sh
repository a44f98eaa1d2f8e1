# The halves of a voice, when they are asked for: what is printed, not how fast it is.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
"$SO" bench --only flow,vocoder --beside --seconds 1 --repeats 1 --threads 1 --json | grep -o '"what": "[^"]*"'
