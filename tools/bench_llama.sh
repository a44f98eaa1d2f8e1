#!/bin/sh
# Prefill of 512 tokens and decode of Llama's shape, here and in llama.cpp, in turn: A B A B, medians and their ratio.
#
#     SO_PEER_PYTHON=python3 tools/bench_llama.sh 1b q4_0 [ROUNDS [THREADS [PROMPT]]]
#
# SO_CPU=avx2: our kernels for AVX2. CPU_TIME=1 counts the processor's time of one thread, which a busy machine disturbs least.
# llama.cpp is that of tools/peer_llama.py; what instructions it was built for is in the first line. The file with random weights is
# made in TMPDIR and removed.
# SPDX-License-Identifier: Apache-2.0
set -eu
size=$1 type=$2 rounds=${3:-3} threads=${4:-2} prompt=${5:-512}
root=$(cd "$(dirname "$0")/.." && pwd)
python=${SO_PEER_PYTHON:-python3}
so=${SO:-$root/build/stream-omni}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
file=${SO_PEER_FILE:-$place/random.gguf}
[ -f "$file" ] || "$python" "$root/tools/peer_llama.py" make "$file" "$size" "$type"
"$python" "$root/tools/peer_llama.py" system
i=0
while [ $i -lt "$rounds" ]; do
    "$so" bench --random "llama-$size" "$type" --only prefill,decode --threads "$threads" --prompt "$prompt" --repeats 2 ${CPU_TIME:+--processor-time} --json >"$place/own"
    "$python" - "$place/own" <<'END' | tee -a "$place/rounds"
import json, sys
rows = json.load(open(sys.argv[1]))["results"]
print("own    " + " ".join(f"{r['what'].split(':')[0]} {r['median']:.2f} ({r.get('limit')} {100 * r.get('share', 0):.0f} %)" for r in rows))
END
    "$python" "$root/tools/peer_llama.py" bench "$file" "$threads" "$prompt" 2 | sed 's/^/theirs /' | tee -a "$place/rounds"
    i=$((i + 1))
done
"$python" - "$place/rounds" "$size" "$type" <<'END'
import statistics, sys
got = {}
for line in open(sys.argv[1]):
    w = line.split()
    for what in ("prefill", "decode"):
        got.setdefault((w[0], what), []).append(float(w[w.index(what) + 1]))
for what in ("prefill", "decode"):
    own, theirs = (statistics.median(got[who, what]) for who in ("own", "theirs"))
    print(f"{sys.argv[2]} {sys.argv[3]} {what}: {own:.2f} beside {theirs:.2f} tokens/s, {own / theirs:.2f} times")
END
