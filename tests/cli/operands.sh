# What an argument is: words, a picture, a recording, by what it holds, wherever it comes from.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
T=$ROOT/examples/table.png
Q=$ROOT/examples/question.wav
ask() { "$SO" ask --quiet --threads 1 "$@" 2>&1; echo "  rc $?"; }

echo "== under any name, and by any way"
cp "$T" photo.jfif
cp "$T" noending
cp "$Q" sound.m4a
cp "$Q" "with space"
ask photo.jfif sound.m4a
ask "with space" noending
ask - "$Q" <"$T"
cat "$Q" | "$SO" ask --quiet --threads 1 "$T" - && echo "  a pipe"
mkfifo pipe
cat "$Q" >pipe &
ask "$T" pipe
wait
ask "$T" "data:;base64,$(base64 <"$Q" | tr -d '\n')"
ask "file://$T" "What%20color is the star?"
echo "Where is the red star?" | "$SO" ask --quiet --threads 1 "$T" - && echo "  words by standard input"
"$SO" ask --quiet --threads 1 "$T" /dev/fd/7 7<"$Q" && echo "  a descriptor"
"$SO" transcribe --threads 1 - <"$Q"
cat "$Q" | "$SO" transcribe --threads 1 /dev/stdin
"$SO" see --quiet --threads 1 - <"$T"

echo "== what is none of these"
printf '\0\0\0\034ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0' >memo.m4a
printf '\0\0\0\034ftypheic\0\0\0\0mif1heic\0\0\0\0\0\0\0\0' >phone.heic
printf '%%PDF-1.7\n' >paper.pdf
printf 'PK\003\004' >all.zip
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n' >lfs.wav
printf '<!DOCTYPE html><title>404</title>' >page.png
printf 'Some words.\n' >notes.txt
printf 'GGUF\003\000\000\000' >model.wav
printf '\001\002\003\377' >noise.wav
: >empty.wav
mkdir -p folder
: >'$5'
for f in memo.m4a phone.heic paper.pdf all.zip lfs.wav page.png notes.txt model.wav noise.wav empty.wav folder '$5'; do
    # the readers' own words differ with the libraries that are there
    ask "$T" "$f" | sed 's/^\(error: \(memo\|phone\)[^:]*:\).*\(; to convert\)/\1 ...\3/'
done
cp all.zip "it's.zip"
ask "it's.zip"
"$SO" see notes.txt 2>&1
"$SO" transcribe page.png 2>&1
"$SO" speak "$T" 2>&1 | sed "s#$ROOT/##"
"$SO" talk --threads 1 folder 2>&1

echo "== names that lead nowhere"
for f in not_there.m4a there/is/none ./none ~/.none.wav /nowhere none.PNG "two words.webm"; do ask "$f" | sed "s#$HOME#HOME#"; done
ask gopher://example.com/1
ask - - </dev/null
(
    "$SO" inspect - </dev/null
    "$SO" inspect http://localhost/model.gguf
    "$SO" convert - -o out.gguf </dev/null
    "$SO" export pipe --as llama -o out.gguf
    "$SO" ask --model pipe "Hello."
    "$SO" ask --codec nowhere "Hello."
    "$SO" transcribe --wait 0.1 pipe
    "$SO" ask "$Q" "$Q" | sed "s#$ROOT/##g"
) 2>&1 | sed "s#$ROOT/##g"

echo "== nothing at all"
ask ""
ask --text " "
"$SO" speak "   " 2>&1
"$SO" talk "" 2>&1
"$SO" see "" 2>&1
printf '\n\n' | "$SO" speak - 2>&1
printf 'a\0b' | "$SO" speak - 2>&1

echo "== words"
ask "$T" "What color is the star and/or the sun?"
ask "$T" --text notes.txt | tail -1
ask "$T" --text folder | tail -1
ask "What is 1.5/2.5?" | tail -1
ask "Use data: one, two." | tail -1
exit 0
