#!/bin/sh
# Two processes of one thread against one: the tabletop recipe's eyes, 100 updates of two slots. Tells the ratio of times, whether the bits
# are the same, and by the log of the second how much of the exchange lay behind computing. On a quiet machine of two cores or more.
# Usage: tools/bench_ranks.sh [BUILD [PART [STEPS]]]
# SPDX-License-Identifier: Apache-2.0
set -eu
so=$(cd "${1:-build}" && pwd)/stream-omni part=${2:-eyes} steps=${3:-100}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
for n in 1 2; do
    "$so" train tabletop t$n --part vocabulary >told 2>&1 || { cat told >&2; exit 1; }
    began=$(date +%s%N)
    "$so" train tabletop t$n --part "$part" --steps "$steps" --slots 2 --threads 1 --ranks $n >told 2>&1 || { cat told >&2; exit 1; }
    ended=$(date +%s%N)
    eval "t$n=\$(((ended - began) / 1000000))"
done
cmp "t1/$part.safetensors" "t2/$part.safetensors" && echo "the same bits"
echo "1 rank: $t1 ms, 2 ranks: $t2 ms, load $(cut -d' ' -f1 /proc/loadavg)"
awk "BEGIN { printf \"2 ranks are %.2f times as fast\\n\", $t1 / $t2 }"
# means of the log's lines: seconds of an update, and the part hidden, weighted by these seconds
cat t2/*/log.jsonl t2/log.jsonl 2>/dev/null | awk '
    match($0, /"exchange_s":[0-9.e+-]+/) { s = substr($0, RSTART + 13, RLENGTH - 13)
        match($0, /"exchange_hidden":[0-9.e+-]+/); h = substr($0, RSTART + 18, RLENGTH - 18)
        match($0, /"waited_s":[0-9.e+-]+/); w = substr($0, RSTART + 11, RLENGTH - 11)
        sum += s; hidden += s * h; waited += w; n++ }
    END { if (n) printf "an update exchanges for %.1f ms, of which %.0f %% are hidden, and waits %.1f ms for the other\n", 1000 * sum / n, 100 * hidden / sum, 1000 * waited / n }'
