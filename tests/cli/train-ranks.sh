# Two processes end with the bits of one; a number that does not divide the slots is refused.
for n in 1 2; do
    $SO train tabletop $n --part vocabulary --threads 1 >/dev/null || exit 1
done
$SO train tabletop 1 --part eyes --steps 2 --slots 2 --threads 1 >/dev/null || exit 1
$SO train tabletop 2 --part eyes --steps 2 --slots 2 --ranks 2 >/dev/null || exit 1
cmp 1/eyes.safetensors 2/eyes.safetensors && echo "the same bits"
rm 2/eyes.safetensors
$SO train tabletop 2 --part eyes --steps 2 --slots 2 --ranks 4 --threads 1 2>told
status=$?
sed 's/rank [1-4] of/rank N of/' told >&2 # whoever was first
exit $status
