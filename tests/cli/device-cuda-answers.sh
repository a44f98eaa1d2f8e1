# Over a stand-in for CUDA's driver, whose kernels compute, the whole program answers as the processor does.
standin=$(dirname "$SO")/tests/cuda
[ -f "$standin/libcuda.so.1" ] || { echo "SKIP: the stand-in for libcuda is not built" >&2; exit 77; }
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
export LD_LIBRARY_PATH="$standin" SO_CUDA_MODULE="$standin/libcuda.so.1"
for where in cpu cuda; do
    "$SO" ask "$ROOT/examples/table.png" "What is there?" --device $where --precision exact --seed 1 --context 256 --max-text 4 2>/dev/null || echo "$where: status $?"
    "$SO" ask hi --units --device $where --codec-device cpu --precision exact --seed 1 --context 256 --max-units 4 2>/dev/null || echo "$where: status $?"
done >both
[ -s both ] && head -n $(($(wc -l <both) / 2)) both >cpu && tail -n +$(($(wc -l <both) / 2 + 1)) both | cmp cpu - && echo "the same answers"
