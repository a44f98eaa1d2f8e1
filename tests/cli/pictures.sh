# Pictures of every container by content, whatever they are called; what is told of animations, and without libheif.
p=$ROOT/tests/pictures
look() {
    timeout 300 $SO ask --threads 2 --quiet --max-text 2 "$1" "What is there?" >told 2>error
    echo "$? $(grep -c . told) $(cat error)" | sed "s, *$,,"
}
for f in plain.gif rle8.bmp fax.tif rgba.pam text.ppm bits.pbm alpha.webp turn6.png; do
    printf '%s ' $f
    cp "$p/$f" "${f%.*}.jpg"
    look "${f%.*}.jpg"
done
for f in animation.gif animation.webp animation.png pages.tif; do
    printf '%s ' $f
    cp "$p/$f" .
    look $f
done
# without libheif: one that is not a library stands in its place
mkdir none
: >none/libheif.so.1
cp "$p/photo.heic" "$p/photo.avif" .
for f in photo.heic photo.avif; do
    printf '%s ' $f
    LD_LIBRARY_PATH=none look $f
    # with it, where it is installed, an answer; else the same words
    look $f | sed 's/^0 [1-9][0-9]*$/read/; s/^1 0 error: .*libheif1.*/read/'
done
printf '\0\0\0\14jP  \r\n\207\n' >photo.png
head -c 60 "$p/lzw.tif" >cut.tif
head -c 60 "$p/plain.gif" >cut.gif
for f in photo.png cut.tif cut.gif; do look $f; done
