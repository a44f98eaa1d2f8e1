# What types cost the tiny reference checkpoint along its own cases: nothing in f16, in which it is stored. Wrong folders are named.
reference=$SHARED/reference
[ -d "$reference/stream-omni-tiny/model" ] || { echo "SKIP: reference/stream-omni-tiny/model is absent" >&2; exit 77; }
cases() {
    $SO eval quant "$reference/stream-omni-tiny/model" --tokenizer "$reference/llama3-tokenizer" --threads 1 "$@" 2>/dev/null | tail -n +4
}
cases --data "$reference/stream-omni-tiny" --type f16 | awk '{ print $1, $2, $3 }'
cases --data "$reference/stream-omni-tiny" --type q8_0 | awk '{ print $1, $2, ($1 == "CTC" ? $3 : "near ties"), $5 }' # $5: where the model is sure
mkdir -p one
for wrong in '{"set": 1}' '{"cases": [' '{"cases": [{"user": "Hello."}]}' '{"cases": [{"user": "", "inference_type": "t", "input_units": [99999]}]}'; do
    printf '%s' "$wrong" >one/golden.json
    $SO eval quant "$reference/stream-omni-tiny/model" --tokenizer "$reference/llama3-tokenizer" --data one --kv f16 2>&1
done
