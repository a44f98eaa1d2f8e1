# Devices of CUDA are listed, and what is said of one whose kernels the program was built without. A stand-in is its driver.
standin=$(dirname "$SO")/tests/cuda
[ -f "$standin/libcuda.so.1" ] || { echo "SKIP: the stand-in for libcuda is not built" >&2; exit 77; }
export LD_LIBRARY_PATH="$standin" VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere
$SO inspect --devices
$SO ask hi --device cuda:0 2>&1 | sed 's/^error: cuda:0 (stand-in of the tests): this program was built without nvcc.*/no kernels/'
$SO ask hi --device cuda:3
