# Every verb tells its usage and ends with 0.
$SO --help >help.txt || exit 9
for verb in $(sed -n 's/^  \([a-z]*\)  .*/\1/p' help.txt); do
    $SO $verb --help | head -1 | cut -d' ' -f1-3
done
