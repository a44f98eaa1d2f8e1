# Devices of CUDA are listed, and what is said of one where there are no kernels, or those of another build. A stand-in is its driver.
standin=$(dirname "$SO")/tests/cuda
[ -f "$standin/libcuda.so.1" ] || { echo "SKIP: the stand-in for libcuda is not built" >&2; exit 77; }
export LD_LIBRARY_PATH="$standin" VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere SO_CUDA_MODULE=/nowhere
$SO inspect --devices
$SO ask hi --device cuda:0 2>&1
SO_CUDA_MODULE=libdl.so.2 $SO ask hi --device cuda 2>&1
export SO_CUDA_MODULE="$standin/libcuda.so.1"
$SO inspect --devices
$SO ask hi --device cuda:3
