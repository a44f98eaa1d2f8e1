#!/bin/sh
# Trains the top speech layers once for each way of fusion, window W and lookahead K on the same bottom layers and prints how
# well the model's own ears understand what it says: the table in docs/lab/training.md (after Table 6 of the paper).
# usage: tools/fusion_table.sh RECIPE-FOLDER RESERVED-FOLDER [STEPS [ITEMS [FUSION:W:K...]]]
# RECIPE-FOLDER: where `stream-omni train tabletop` has finished bottom, flow, vocoder. RESERVED-FOLDER: what
# `stream-omni data tabletop DIR --reserved --answers` wrote.
# SPDX-License-Identifier: Apache-2.0
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
run=${STREAM_OMNI:-$here/build/stream-omni}
recipe=$(cd "$1" && pwd)
reserved=$2
steps=${3:-1000}
items=${4:-150}
[ $# -gt 4 ] && shift 4 || set -- cross:5:3 add_input:5:3 add_layer:5:3 cross:1:3 cross:2:3 cross:3:3 cross:8:3 cross:-1:3 \
    cross:5:1 cross:5:2 cross:5:5 cross:5:8

row() { # name fusion W K
    at=$recipe/fusion/$1
    mkdir -p "$at"
    for f in "$recipe"/*.safetensors "$recipe"/corpus.* "$recipe"/units.* "$recipe"/tokenizer.json; do
        [ "$(basename "$f")" = top.safetensors ] || ln -sf "$f" "$at/"
    done
    for part in top model; do
        "$run" train tabletop "$at" --part $part --threads 1 --bf16 --steps "$steps" --fusion "$2" --window "$3" \
            --lookahead "$4" >>"$at/log" 2>&1
    done
    units=$(grep EVALUATION "$at/log" | tail -n 1 | sed 's/.*units right //')
    "$run" eval tabletop "$reserved" --model "$at/model" --modes 'say>S' --items "$items" --threads 1 >"$at/eval" 2>&1
    heard=$(sed -n 's/^ *own voice .* words *\([0-9.]*\) %.*/\1/p' "$at/eval")
    long=$(sed -n 's/^ *duration ratio .* mean \([0-9.]*\),.*/\1/p' "$at/eval")
    printf '| %s | %s | %s | %s | %s | %s |\n' "$2" "$3" "$4" "$units" "$heard" "$long"
}

echo '| fusion | W | K | units right | own ears WER % | duration ratio |'
echo '|---|---|---|---|---|---|'
for r in "$@"; do
    way=${r%%:*} rest=${r#*:}
    row "$way$(echo ":$rest" | tr : -)" "$way" "${rest%%:*}" "${rest#*:}"
done
