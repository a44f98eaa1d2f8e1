# What a type costs, rules of one's own, and calibration, on a random model of the tabletop's shape.
$SO train tabletop there --part vocabulary --threads 1 >/dev/null || exit
$SO train tabletop there --part model --threads 1 >/dev/null 2>&1
$SO convert there/model small.gguf --type q4_k_m 2>notes.txt | sed 's/,.*//'
cut -d' ' -f3- notes.txt | sort -u
printf '* q8_0\nlm_head.weight q3_k\n' >rules
$SO convert there/model small.gguf --type q4_k_m --types rules
$SO convert there/model small.gguf --type q3_k
$SO calibrate there/model --output importance --items 1 --threads 1 2>/dev/null
$SO convert there/model small.gguf --type q4_0 --importance importance 2>/dev/null | sed 's/,.*//'
printf 'Hello.\n' >lines
$SO eval quant there/model --type q8_0 --data lines --threads 1 2>/dev/null | tail -n +4 | awk '{ print $1, ($2 > 0) }'
$SO eval quant there/model --kv q3 --data lines --threads 1
$SO eval quant there/model --threads 1
