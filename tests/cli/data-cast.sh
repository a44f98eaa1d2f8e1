# Questions asked by other voices than espeak-ng's: each record says whose it is, and a voice that fails is named and
# replaced. A folder that other voices asked in is refused.
# SPDX-License-Identifier: Apache-2.0
cat >voice.sh <<'S'
[ "$1" = bad ] && { echo "no such voice" >&2; exit 3; }
cp "$ROOT/examples/question.wav" "$2"
S
export ROOT
make="$SO data tabletop corpus --reserved --seed 4 --scenes 1 --turns 2 --talk 6 --outside 3 --processes 1 --engines command"
$make --voice-command 'sh voice.sh {voice} {wav} {text}' --voice-names good,bad 2>notes || exit
grep -c '"voice":{"engine":"command","name":"good"}' corpus/records.jsonl
grep -c '"kind":"outside"' corpus/records.jsonl
grep -m 1 -o 'command:bad did not say' notes
$make --voice-command 'sh voice.sh {voice} {wav} {text}' --voice-names good 2>&1 | sed 's/voices":"[0-9a-f]*/voices":"N/g'
$SO data tabletop none --scenes 1 --talk 0 --engines nobody
