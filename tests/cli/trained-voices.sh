# The shipped model is asked about pictures by reserved voices of flite, festival and espeak-ng in turns, none of which it
# learned from; bars as in trained.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
[ "$($SO data voices 2>/dev/null | grep -cE '^(flite +rms|festival +ked_diphone)')" -eq 2 ] || {
    echo "SKIP: flite's rms or festival's ked_diphone is absent (apt-get install flite festival festvox-kdlpc16k)" >&2
    exit 77
}
here=$PWD
$SO data tabletop corpus --reserved --voices --scenes 20 --turns 2 --talk 1 --seed 12 >/dev/null 2>&1 || exit
(cd "$ROOT" && $SO eval tabletop "$here/corpus" --modes 'V+S>T') >table 2>told || {
    cat told >&2
    exit 1
}
awk '$1 == "all" && NF == 5 { print "answers", ($4 >= 90 ? "within the bar" : "past the bar: " $4 " %, expected 90 or more") }
    $1 == "transcript" { print "errors", ($4 <= 5 ? "within the bar" : "past the bar: " $4 " %, expected 5 or less") }' table
