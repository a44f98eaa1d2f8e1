# Numbers that are none, that are too large for any type, or out of an option's range.
for n in many 1e3 0x10 "" " 4" 4.0 4K 99999999999999999999 -1 -99999999999999999999 inf; do
    $SO data tabletop there --scenes "$n"
done
$SO data tabletop there --turns 17
$SO data tabletop there --turns=
$SO data tabletop there --seed 9000000000000001
$SO ask --threads 4294967297 hi
$SO ask --threads 0 hi
$SO ask --max-units 2147483648 hi
$SO ask --window -2 hi
$SO ask --units-per-token=-2 hi
for x in nan inf -1 1.5x 1e999; do $SO ask --top-p "$x" hi; done
for list in "1 2147483648" "1 -3" "1 x" "99999999999999999999" "1,2.5" ""; do $SO speak --from-units "$list"; done
for size in 0 nan 5T 4GG -4G 1e30; do $SO convert a -o b --split "$size"; done
exit 2
