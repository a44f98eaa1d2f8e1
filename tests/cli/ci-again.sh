# What CI does about a test that fails: .ci/again.sh on suites that are recorded. Each is a first run, and what its tests say by themselves.
cat >suite <<'END'
#!/bin/sh
# suite FOLDER [--only NAME]
[ $# -eq 1 ] && { cat "$1/first"; grep -q ' 0 failed, [0-9]* skipped$' "$1/first"; exit; }
echo "$3" >>"$1/asked"
cat "$1/$3"
grep -q '^[0-9]* passed, 0 failed' "$1/$3"
END
chmod +x suite
again() {
    echo "== $1"
    sh "$ROOT/.ci/again.sh" ./suite "$1"
    echo "exit status $?"
    [ ! -f "$1/asked" ] || sed 's/^/asked: /' "$1/asked"
}
# line WORD NAME PASSED FAILED SKIPPED: as tests/job.sh has it
line() { printf '%-6s %-36s %4d passed %3d failed %3d skipped %7.1f s\n' "$1" "$2" "$3" "$4" "$5" 1.5; }

mkdir well once twice three build died other
{ line ok unit_base 30 0 0; line ok "net: page" 1 0 0; echo "31 passed, 0 failed, 0 skipped"; } >well/first
again well

{
    line FAILED "net: page" 0 1 0
    line ok unit_base 30 0 2
    line FAILED "paths: golden_session, avx2" 5 2 1
    line FAILED "net: page" 0 1 0
    echo "       | AssertionError: never true: stats.played > 12000"
    echo "       | not ok 1 - page"
    line FAILED "paths: golden_session, avx2" 5 2 1
    echo "       | not ok 3 - voice"
    echo "skipped 1: soak"
    echo "35 passed, 3 failed, 3 skipped"
} >once/first
{ line ok "net: page" 1 0 0; echo "1 passed, 0 failed, 0 skipped"; } >"once/net: page"
{ line ok "paths: golden_session, avx2" 7 0 1; echo "7 passed, 0 failed, 1 skipped"; } >"once/paths: golden_session, avx2"
again once

cp once/* twice
rm -f twice/asked
{ line FAILED "net: page" 0 1 0; echo "       | AssertionError: again"; echo "0 passed, 1 failed, 0 skipped"; } >"twice/net: page"
again twice

for t in a b c; do line FAILED "cli: $t" 0 1 0; done >three/first
echo "0 passed, 3 failed, 0 skipped" >>three/first
again three

{ echo "FAILED build: unit_base does not build"; line FAILED "cli: a" 0 1 0; echo "9 passed, 2 failed, 0 skipped"; } >build/first
again build

line FAILED "cli: a" 0 1 0 >died/first
again died

# By itself it is skipped, or dies: it did not pass.
{ line FAILED "cli: a" 0 1 0; line FAILED "cli: b" 0 1 0; echo "9 passed, 2 failed, 0 skipped"; } >other/first
echo "0 passed, 0 failed, 1 skipped" >"other/cli: a"
line ok "cli: b" 1 0 0 >"other/cli: b"
again other
