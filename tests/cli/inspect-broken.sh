# A file that ends too early is told with a status, not a crash.
printf 'GGUF\003\000\000\000' >broken.gguf
$SO inspect broken.gguf 2>&1 | cut -d: -f1 >&2
printf '\377\377\377\377\377\377\377\177{' >broken.safetensors
$SO inspect broken.safetensors 2>/dev/null
