# llama.cpp opens what export writes, and answers word for word alike: text alone, and about a picture.
python=${SO_PEER_PYTHON:-python3}
peer=$ROOT/tools/peer_llama.py
$python "$peer" where >library 2>/dev/null || {
    echo "SKIP: no llama.cpp (pip install xllamacpp, and name that python in SO_PEER_PYTHON)" >&2
    exit 77
}
model=$ROOT/models/tabletop.gguf
system=$($SO inspect "$model" | sed -n 's/^ *stream_omni.system_prompt *//p')
$SO export "$model" --as llama -o llama.gguf --type f32 >/dev/null 2>&1 || exit
$SO export "$model" --as mmproj -o mmproj.gguf --type f32 >/dev/null 2>&1 || exit
picture=$ROOT/examples/table.png
for words in "Hello." "What is two plus three?" "What day is it after Monday?"; do
    $SO ask --model "$model" --quiet --threads 1 "$words" >own
    $python "$peer" ask llama.gguf "$system" "$words" >theirs
    cmp own theirs && echo same
done
for words in "How many things are on the table?" "What color is the star?" "Where is the star?"; do
    $SO ask --model "$model" --quiet --threads 1 "$picture" "$words" >own
    $python "$peer" ask llama.gguf "$system" "$words" mmproj.gguf "$picture" >theirs
    cmp own theirs && echo same
done
# as it is stored, in blocks
$SO export "$model" --as llama -o blocks.gguf >/dev/null 2>&1 || exit
$python "$peer" ask blocks.gguf "$system" "Hello."  >theirs
test -s theirs && echo answers
