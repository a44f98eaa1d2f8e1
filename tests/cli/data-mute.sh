# A small corpus without speech: what was made, the same bytes again for the same options, a refusal for others.
$SO data tabletop one --scenes 3 --turns 2 --talk 4 --mute --seed 5 --processes 1
$SO data tabletop two --scenes 3 --turns 2 --talk 4 --mute --seed 5 --processes 2 --json
diff -r one two && echo same
wc -l <one/records.jsonl
$SO data tabletop one --scenes 4 --turns 2 --talk 4 --mute --seed 5 2>&1 >/dev/null | sed 's/: .*//' >&2
