# A table of kernels that this machine does not have is refused by name: nothing is chosen in its place.
for model in "$ROOT/models/tabletop.gguf"; do
    SO_CPU=sse9 $SO ask --model "$model" "Hello." 2>found && exit 3
    sed 's/are c.*$/are c .../' found >&2
done
SO_CPU=sse9 $SO bench --random codec --repeats 1 2>found && exit 3
sed 's/are c.*$/are c .../' found >&2
