# What the shipped model can do on a small draw of the reserved part, against bars somewhat below
# what 500 questions of each mode gave (README, docs/training.md): they notice a model or program that got worse.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
$SO data tabletop corpus --reserved --scenes 30 --turns 2 --talk 30 --seed 11 >/dev/null || exit
cd "$ROOT" && $SO eval tabletop "$OLDPWD/corpus" --modes 'V+T>T,V+S>T,S>T' >"$OLDPWD/table" 2>"$OLDPWD/told" || {
    cat "$OLDPWD/told" >&2 # on a slow machine also progress, which is no failure
    exit 1
}
awk '/^[VST]/ { mode = $1 } $1 == "all" && NF == 5 { print mode, "answers", $4 } $1 == "transcript" { print mode, "errors", $4 }
    $1 == "streamed" { print mode, "streamed", $5 }' \
    "$OLDPWD/table" >"$OLDPWD/found"
bar() { awk -v mode="$1" -v what="$2" -v least="$3" -v most="$4" '$1 == mode && $2 == what {
    print mode, what, ($3 >= least && $3 <= most ? "within the bar" : "past the bar: " $3 " %, expected " least " to " most) }' "$OLDPWD/found"; }
bar 'V+T>T' answers 96 100
bar 'V+S>T' answers 93 100
bar 'S>T' answers 83 100
bar 'V+S>T' errors 0 2
bar 'S>T' errors 0 6
bar 'V+S>T' streamed 95 100
bar 'S>T' streamed 95 100
