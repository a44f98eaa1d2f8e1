# llama.cpp applies a GGUF file of adapters as we do: word for word alike.
python=${SO_PEER_PYTHON:-python3}
peer=$ROOT/tools/peer_llama.py
$python "$peer" where >library 2>/dev/null || {
    echo "SKIP: no llama.cpp (pip install xllamacpp, and name that python in SO_PEER_PYTHON)" >&2
    exit 77
}
model=$ROOT/models/tabletop.gguf
system=$($SO inspect "$model" | sed -n 's/^ *stream_omni.system_prompt *//p')
$SO export "$model" --as llama -o llama.gguf --type f32 >/dev/null 2>&1 || exit
python3 "$ROOT/tests/cli/adapter.py" own || exit
$SO convert own --model "$model" -o own.gguf >/dev/null || exit
for words in "Hello." "What is two plus three?" "What day is it after Monday?"; do
    $SO ask --model "$model" --lora own --quiet --threads 1 --max-text 24 "$words" >>ours
    PEER_LORA=own.gguf PEER_TOKENS=24 $python "$peer" ask llama.gguf "$system" "$words" >>theirs
    $python "$peer" ask llama.gguf "$system" "$words" >>plain
done
cmp -s plain theirs && echo "the adapter changes nothing"
cmp ours theirs && echo same
