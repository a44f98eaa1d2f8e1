# A rank of the recipe that stands still while it trains is named, and all end; a rank does not hang while others wait for a part that one
# does alone.
"$SO" train tabletop t --part vocabulary >told 2>&1 || { cat told >&2; exit 1; }
exec "$SO" train tabletop t --part eyes --steps 100000 --ranks 2 --slots 2 --threads 1 --watchdog 2 >told 2>error &
pid=$!
while kill -0 $pid 2>/dev/null && [ ! -f t/eyes/log.jsonl ]; do sleep 0.02; done
kill -STOP $(ps -o pid= --ppid $pid | tail -1) 2>/dev/null
wait $pid
echo "ended with $?"
sed 's/rank [12] of 2 has not come for [0-9]* s/rank N of 2 has not come for so long/' error
