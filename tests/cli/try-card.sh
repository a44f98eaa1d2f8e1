# The script for a new card begins only where there is something to try, and says what is missing.
build=$(dirname "$SO")
for test in kernels_gpu kernels_gpu_codec unit_device_codec unit_device_steps unit_device_conversation; do
    [ -x "$build/tests/$test" ] || { echo "SKIP: the tests for devices are not built" >&2; exit 77; }
done
export VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere
try() { sh "$ROOT/tools/gpu/try_card.sh" "$@" >said 2>&1; echo "$?: $(tail -1 said)"; }
try nowhere
try "$build" tpu
try "$build" vulkan
try "$build" cuda:7
