# CosyVoice's server is a voice: its samples are spoken, whatever it does wrong is named after a second try, and a corpus skips and counts it.
# SPDX-License-Identifier: Apache-2.0
set -u
command -v python3 >/dev/null 2>&1 || { echo "SKIP: python3 is absent" >&2; exit 77; }
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
mkfifo hold
PYTHONIOENCODING=utf-8 python3 "$ROOT/tests/eval/cosyvoice.py" port <hold >asked &
exec 9>hold
while [ ! -s port ]; do sleep 0.05; done
at=127.0.0.1:$(cat port)
voices() { "$SO" data voices --engines command --voice-endpoint "$@" --samples heard --say 'A star & 50% of it.' 2>&1 | sed "s/$at/HOST/g; s/sft: .*1000 bytes.*/sft: cut off/"; }
voices "cosyvoice+http://$at/" --voice-names 中文女,html,odd,empty,file,refused,cut,long,silent,once
voices "cosyvoice+http://$at?rate=24000" --voice-names later
voices "cosyvoice+http://$at/old" --voice-names old
voices "cosyvoice+http://$at"
voices "cosyvoice+http://$at?rate=7" --voice-names a
voices "cosyvoice+ftp://$at" --voice-names a
printf '{"id":"%s","conversations":[{"from":"human","value":"%s"},{"from":"gpt","value":"%s"}]}\n' a 'What is that there?' 'That is a star, I think.' \
    b '请问那是放在桌子左边的什么东西呢？' '那是一颗星星。' >c.jsonl
"$SO" data index c.jsonl -o c >/dev/null
for who in good odd cut; do
    "$SO" data instruct-omni c -o "$who" --engines command --voice-endpoint "cosyvoice+http://$at" --voice-names $who --own "cosyvoice:$who" --no-units \
        --no-check 2>&1 | sed "s/$at/HOST/g"
    [ -s "$who/records/records.jsonl" ] && grep -o '"speaker":"[^"]*"' "$who/records/records.jsonl"
    sed "s/$at/HOST/g; s/sft: .*1000 bytes[^\"]*/sft: cut off/" "$who/spoken/bad.jsonl"
done
"$SO" data tabletop t --scenes 1 --turns 1 --talk 1 --processes 1 --engines command --voice-endpoint "cosyvoice+http://$at" --voice-names good,odd >/dev/null 2>&1
grep -c '"engine":"cosyvoice","name":"good"' t/records.jsonl
exec 9>&-
wait
grep 'A star' asked | sort | uniq -c
