# One command from nothing: vocabulary, corpus, every part (a step each), one file, questions of the reserved part, report.
# Without engines in the PATH espeak-ng's library speaks alone, which is quick and the same everywhere.
PATH=$(pwd)/none "$SO" train tabletop there --steps 1 --items 200 --questions 2 --threads 2 >told 2>error || { tail -n 3 told error; exit 1; }
sed -n 's/^\([a-z]*\): .*/\1/p' told | uniq | grep -v -e units -e corpus | tr '\n' ' '
echo
grep -c 'EVALUATION 1/1' told
grep '^stream-omni' told | cut -d' ' -f1-2
for f in there/tabletop.gguf there/report.html there/reserved/records.jsonl; do [ -s $f ] && echo $f; done
$SO train tabletop there --parts | grep -c '^  done'
