# Vulkan without a driver: what to do is said, and nothing else is tried.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: the tabletop model is absent" >&2; exit 77; }
"$SO" inspect --devices 2>/dev/null | grep -q '^vulkan:0' || { echo "SKIP: there is no device for Vulkan" >&2; exit 77; }
export VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere
"$SO" ask hi --device vulkan
