# The codec's golden set that is in the repository: nothing past its bar, with the best kernels and with the portable ones; a weight
# that differs is seen.
set="$ROOT/tests/golden/tiny-codec"
$SO eval golden "$set" | tail -1 | sed 's/, [0-9.]* s$//'
SO_CPU=c $SO eval golden "$set" | tail -1 | sed 's/, [0-9.]* s$//'
cp -r "$set" other && chmod -R u+w other
# a weight of the flow
printf '\100\100' | dd of=other/flow.safetensors bs=1 seek=60000 conv=notrunc 2>/dev/null
$SO eval golden other | tail -1 | grep -c ', 0 past their bar'
$SO eval golden other >/dev/null
