# The tiny reference checkpoint, as a person and as a program sees it.
model=$SHARED/reference/stream-omni-tiny/model
[ -d "$model" ] || { echo "SKIP: reference/stream-omni-tiny/model is absent" >&2; exit 77; }
$SO inspect "$model" | sed 1d
$SO inspect "$model" --json | sed 's/"path": "[^"]*", //'
