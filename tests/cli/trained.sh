# What the shipped model can do on small draws of the reserved part, against bars somewhat below what 500 questions of
# each mode gave (README, docs/training.md): they notice a model or program that got worse. espeak-ng's reserved voices;
# trained-voices asks in voices of another make.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
here=$PWD
asked() { # asked CORPUS MODES [OPTION...]: into found
    corpus=$1 modes=$2
    shift 2
    (cd "$ROOT" && $SO eval tabletop "$here/$corpus" --modes "$modes" "$@") >table 2>told || {
        cat told >&2 # on a slow machine also progress, which is no failure
        exit 1
    }
    awk '/^([VST]|say)/ { mode = $1 } $1 == "all" && NF == 5 { print mode, "answers", $4 } $1 == "transcript" { print mode, "errors", $4 }
        $1 == "streamed" { print mode, "streamed", $5 } $1 == "own" { print mode, "voice", $5 }' table >found
}
bar() { awk -v mode="$1" -v what="$2" -v least="$3" -v most="$4" '$1 == mode && $2 == what {
    print mode, what, ($3 >= least && $3 <= most ? "within the bar" : "past the bar: " $3 " %, expected " least " to " most) }' found; }
$SO data tabletop corpus --reserved --scenes 30 --turns 2 --talk 30 --seed 11 >/dev/null || exit
asked corpus 'V+T>T,V+S>T,S>T'
bar 'V+T>T' answers 96 100
bar 'V+S>T' answers 93 100
bar 'S>T' answers 80 100
bar 'V+S>T' errors 0 4
bar 'S>T' errors 0 9
bar 'V+S>T' streamed 96 100
bar 'S>T' streamed 93 100
asked corpus 'say>S' --items 12
bar 'say>S' answers 100 100
bar 'say>S' voice 0 12
