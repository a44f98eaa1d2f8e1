# Random weights on a device (CUDA's driver is a stand-in whose kernels compute): what is printed, not how fast it is.
standin=$(dirname "$SO")/tests/cuda
[ -f "$standin/libcuda.so.1" ] || { echo "SKIP: the stand-in for libcuda is not built" >&2; exit 77; }
export LD_LIBRARY_PATH="$standin" SO_CUDA_MODULE="$standin/libcuda.so.1"
for type in q4_k; do
    "$SO" bench --random toy $type --prompt 9 --repeats 1 --threads 1 --device cuda --json 2>/dev/null >said || echo "status $?"
    grep -Eo '"(what|unit|limit|name)": "[^"]*"' said | tr '\n' ' ' && echo
    grep -Eo '"median": [^,]*' said | grep -c ': [1-9]'
done
"$SO" bench --random toy --device tpu 2>&1
