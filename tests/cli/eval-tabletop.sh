# Questions of a small corpus put to a model with random weights: the form of the tables, and of every answer.
$SO train tabletop there --part vocabulary --threads 1 >/dev/null || exit
$SO train tabletop there --part model --threads 1 >/dev/null || exit
$SO data tabletop corpus --reserved --mute --scenes 2 --turns 2 --talk 3 --seed 4 >/dev/null || exit
$SO eval tabletop corpus --model there/model --threads 2 --modes 'V+T>T,T>T' --items 3 --details answers.jsonl |
    grep -E '^(V|T)|  all |first word' | sed 's/ times .*//; s/  *0 .*//'
sed 's/": .*//; s/^{"//' answers.jsonl | sort | uniq -c | sed 's/^ *//'
$SO eval tabletop corpus --model there/model --threads 1 --modes 'T>T' --items 1 --json | tr -d ' ' | sed 's|\([a-z0-9]\)":[0-9.]*|\1":N|'
$SO eval tabletop corpus --model there/model --threads 1 --modes 'S>S'
$SO eval tabletop corpus --model there/model --threads 1 --modes 'X>T'
