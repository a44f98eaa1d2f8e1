# A corpus of conversations is indexed, looked at, packed and read again; what is wrong is named.
set -u
mkdir img
cp "$ROOT/examples/table.png" img/a.png
cat >c.json <<'JSON'
[{"id":"1","image":"img/a.jpg","conversations":[{"from":"human","value":"What is on the desk?"},{"from":"gpt","value":"A lamp."}]},
{"id":"2","image":"../x.png","conversations":[{"from":"human","value":"What?"},{"from":"gpt","value":"Nothing."}]},
{"id":"3","conversations":[{"from":"human","value":"Hello."},{"from":"gpt","value":"Hi."}]}]
JSON
"$SO" data index c.json -o d --strict
echo "status $?"
cat d/bad.jsonl
"$SO" data show d --at 0 --system "" | sed "s|$(pwd -P)|HERE|"
"$SO" data show d --at 1 --plain
"$SO" data stats d --page p.html
grep -c '<svg' p.html
"$SO" data check d
"$SO" data shard d -o s
"$SO" data index s/part-000000.tar -o again --deep
"$SO" data check again
"$SO" data index d -o once-more
rm d/records.idx
"$SO" data stats d
echo "status $?"
"$SO" data index nothing -o e
echo "status $?"
ls e 2>/dev/null
"$SO" data index c.json
echo "status $?"
"$SO" data nonsense
echo "status $?"
