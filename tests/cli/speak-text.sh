# Every sentence is said; numbers and the like are said as words; what the voice has no sound for is told.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
$SO speak --quiet --wav a.wav "The star is red. The square is blue. The circle is small."
$SO transcribe a.wav | tr -cd '\n' | wc -l | tr -d ' '
[ "$(wc -c <a.wav)" -gt 120000 ] && echo "all of them"
$SO speak --quiet --wav b.wav "I have 3 dogs and 12 cats."
# A voice that ends a sentence before it was given all of it goes on with the rest.
$SO speak --quiet --wav h.wav "It costs \$19.99 at www.example.com."
$SO speak --quiet --as-is --wav c.wav "I have three dogs"
$SO speak --quiet --wav d.wav "你好,世界。"
printf 'One star.\n\nTwo stars.\n' | $SO speak --quiet --wav e.wav -
$SO speak --json --wav f.wav "The star is red. The square is blue. The circle is small. The star is red. The square is blue. The circle is small.
The star is red. The square is blue. The circle is small. The star is red. The square is blue. The circle is small. The star is red." |
    grep -o '"text": "[^"]*"'
$SO speak --quiet --wav g.wav "***"
echo $?
[ -e g.wav ] || echo "nothing written"
# What is not spoken is named: here units are too few.
$SO speak --json --max-units 30 --wav i.wav "The star is red. The square is blue. The circle is small." 2>told |
    grep -c '"unsaid": ".*circle'
grep -c 'did not speak: .*circle' told
