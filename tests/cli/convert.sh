# A made-up checkpoint in the published formats goes into one file, into several, and out again; what is wrong is listed.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
$make here --tiny --seed 3 || exit
$SO convert here/model here/codec -o one.gguf --threads 1
$SO convert here/model here/codec --output=q.gguf --type q8_0 --speaker 英文男 --threads 1
$SO convert here/codec here/model -o split.gguf --split 600K --threads 1 | sed 's/-of-[0-9]*//'
$SO inspect split-00001-of-*.gguf | sed -n '/parts/,/^$/p'
$SO inspect q.gguf | grep -E 'stream_omni.voice |chat_template|file_type'
$SO ask --model one.gguf --threads 1 --quiet hello --max-text 3 --max-units 5 --wav said.wav >/dev/null && head -c 4 said.wav && echo
$SO ask --model split-00001-of-*.gguf --threads 1 --quiet hello --max-text 3 >/dev/null && echo answered
# kernels of one tap have no rows for blocks
$SO convert here/model here/codec -o mix.gguf --type q4_k_m --threads 1 2>/dev/null | sed 's/,.*//'
$SO ask --model mix.gguf --threads 1 --quiet --bf16 hello --max-text 3 --max-units 5 --wav said.wav >/dev/null && head -c 4 said.wav && echo
$SO export q.gguf --as safetensors -o back --threads 1
$SO export one.gguf --as safetensors -o back --split 500K --threads 1
for f in config.json generation_config.json tokenizer_config.json tokenizer.json; do cmp here/model/$f back/$f; done
$SO convert back -o two.gguf --threads 1 | sed 's/,.*//'
# two files of the same tensors
for f in one two; do $SO inspect $f.gguf --tensors | sed -n '/^tensors/,$p' | sort >$f.txt; done
cmp one.txt two.txt && wc -l <one.txt
# what is missing is told, all of it, and nothing is written
rm here/codec/hift.pt
cp here/model/model.safetensors.index.json index
$SO convert here/model here/codec -o none.gguf 2>&1 | grep -c '^missing: codec.hift' >&2
sed 's/model.norm.weight/model.norm.weights/' index >here/model/model.safetensors.index.json
$SO convert here/model -o none.gguf
ls none.gguf* 2>/dev/null
exit 0
