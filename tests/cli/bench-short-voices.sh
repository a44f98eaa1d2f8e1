# A voice that ends early: its rate is that of several answers together.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
"$SO" bench --only units,voice --max-units 10 --repeats 1 --seconds 1 --threads 1 --json 2>said | grep -Eo '"(what|unit)": "[^"]*"' | sed 's,[0-9]* short,N short,'
cat said
