#!/bin/sh
# Everything that matrix tiles (AMX) change, on a machine that has them, in one run: each figure with tiles beside the same with
# AVX-512, in turn (A B A B), medians and their ratio; then peers, where they are installed.
#
#     tools/bench_amx.sh [ROUNDS [THREADS]]                              3 rounds, 2 threads
#
# SO_CPUS="amx avx512" names the two tables (amx-double in place of amx tries the script itself, slowly: MODELS="llama-1b" TYPES=q4_0
# PROMPT=16 ROWS="9" NETS= STEPS=0). SO_PEER_PYTHON: a Python with llama_cpp, ik's llama_cpp or torch; without one peers are left out.
# The machine should have nothing else to do; about half an hour. Nothing is written but into TMPDIR.
# SPDX-License-Identifier: Apache-2.0
set -eu
rounds=${1:-3} threads=${2:-2}
root=$(cd "$(dirname "$0")/.." && pwd)
so=${SO:-$root/build/stream-omni}
tables=${SO_CPUS:-amx avx512}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
new=${tables% *} old=${tables#* }

[ -x "$so" ] || { echo "bench_amx: no program at $so: ./run build first" >&2; exit 1; }
SO_CPU=$new "$so" inspect --machine >"$place/machine" || { "$so" inspect --machine >&2; exit 1; }
echo "machine: $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1), $threads threads, load $(cut -d' ' -f1-3 /proc/loadavg), $(date -u +%Y-%m-%d)"
cat "$place/machine"

# measure NAME TABLE COMMAND...: the command's figure (its last line, a number; larger is better) goes to the list of NAME and TABLE
measure() {
    name=$1 table=$2
    shift 2
    figure=$(SO_CPU=$table "$@" 2>"$place/err" | tail -1)
    [ -n "$figure" ] || { sed 's/^/bench_amx: /' "$place/err" >&2; figure=0; }
    echo "$figure" >>"$place/$name.$table"
}
median() { sort -g "$1" | awk '{ x[NR] = $1 } END { print NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'; }
# compare NAME TEXT UNIT [FIRST SECOND]
compare() {
    awk -v text="$2" -v unit="$3" -v a="$(median "$place/$1.${4:-$new}")" -v b="$(median "$place/$1.${5:-$old}")" -v na="${4:-$new}" -v nb="${5:-$old}" \
        'BEGIN { printf "%-34s %s %10.4g   %s %10.4g   %s   %.2f times\n", text, na, a, nb, b, unit, (b > 0 ? a / b : 0) }'
}
# in_turn NAME TEXT UNIT COMMAND...
in_turn() {
    name=$1 text=$2 unit=$3
    shift 3
    i=0
    while [ $i -lt "$rounds" ]; do
        for table in $new $old; do measure "$name" "$table" "$@"; done
        i=$((i + 1))
    done
    compare "$name" "$text" "$unit"
}

# figure_of WHAT ARGUMENTS...: the median of the first row of bench --json whose name holds WHAT; times become rates
figure_of() {
    what=$1
    shift
    "$so" bench --json --threads "$threads" --repeats 2 "$@" |
        sed -n "s/.*\"what\": \"[^\"]*$what[^\"]*\", \"unit\": \"\([^\"]*\)\", \"median\": \([0-9.e+-]*\),.*/\1|\2/p" | head -1 |
        awk -F'|' '{ print $1 ~ /^ms/ ? 1000 / $2 : $1 ~ /real-time factor/ ? 1 / $2 : $2 }'
}

echo "== the kernels themselves"
SO_CPU=$new "$so" bench --tables | grep -E '^entry|int8|bf16|gemm' || true

echo "== reading a prompt"
for model in ${MODELS:-llama-1b llama-8b}; do
    for type in ${TYPES:-q4_0 q4_k q8_0}; do
        in_turn "$model-$type" "$model $type, ${PROMPT:-512} positions" positions/s figure_of prefill --random "$model" "$type" --only prefill \
            --prompt "${PROMPT:-512}"
    done
done

echo "== few rows: never slower"
for rows in ${ROWS-1 4 8 9 12 16 24 32 48 64}; do
    in_turn "rows-$rows" "llama-1b q4_0, $rows positions" positions/s figure_of prefill --random llama-1b q4_0 --only prefill --prompt "$rows"
done

echo "== encoders and codec: bf16 on tiles beside f32"
for net in ${NETS-see hear flow vocoder}; do
    i=0
    while [ $i -lt "$rounds" ]; do
        measure "$net" "$new" figure_of "" --random codec --only "$net"
        measure "$net" "$old" figure_of "" --random codec --only "$net" --f32
        i=$((i + 1))
    done
    compare "$net" "$net" "1/s"
done

echo "== training, 10 million parameters: bf16 on tiles beside f32"
steps=${STEPS:-8}
train() { "$root/build/tools/bench_train" "$threads" "$steps" | sed -n 's/.*[^0-9.]\([0-9.]*\) tok.*/\1/p'; }
if [ "$steps" != 0 ] && [ -x "$root/build/tools/bench_train" ]; then
    i=0
    while [ $i -lt "$rounds" ]; do
        BF16=1 measure train "$new" train
        measure train "$old" train
        i=$((i + 1))
    done
    compare train "training" tokens/s
else
    echo "left out: build/tools/bench_train is not built (ninja -C build tools)"
fi

echo "== peers"
python=${SO_PEER_PYTHON:-}
[ -n "$python" ] || { echo "left out: SO_PEER_PYTHON names no Python"; exit 0; }
for size in 1b 8b; do
    for type in ${TYPES:-q4_0 q4_k q8_0}; do
        SO_CPU=$new sh "$root/tools/bench_llama.sh" "$size" "$type" "$rounds" "$threads" 512 | tail -2 || echo "llama.cpp $size $type: failed"
    done
done
if "$python" -c 'import torch' 2>/dev/null; then
    for net in ${NETS-see hear flow vocoder}; do
        "$python" "$root/tools/bench_nets_torch.py" "$net" "threads=$threads" type=bf16 | sed 's/^/PyTorch bf16: /'
    done
    BF16=1 "$python" "$root/tools/bench_train_torch.py" "$threads" "$steps" | tail -1 | sed 's/^/PyTorch bf16: training /'
else
    echo "PyTorch: not there"
fi
