#!/bin/sh
# Cases of the command line. Writes TAP. Usage: tests/cli/check.sh BUILD [NAME...]
#
# tests/cli/NAME.sh is run by sh in an empty folder, with $SO (the program), $ROOT (the checkout) and $SHARED (reference
# files, may be absent) in its environment. Its output must equal NAME.stdout and NAME.stderr (absent means empty), its
# exit status NAME.exit (absent means 0). A case that cannot run here exits with 77 after a line "SKIP: why" to stderr.
# With SO_CLI_ACCEPT=1 what is found is written down as what is expected: read it before you commit it.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
ROOT=$(pwd)
case ${1:-build} in /*) SO=${1} ;; *) SO=$ROOT/${1:-build} ;; esac
SO=$SO/stream-omni
SHARED=${SO_SHARED:-$ROOT/../shared}
SO_CPU_CACHE=${SO_CPU_CACHE:-off}
export ROOT SO SHARED SO_CPU_CACHE
[ $# -eq 0 ] || shift
cases=$ROOT/tests/cli
if [ $# -gt 0 ]; then list=$*; else
    list=
    for case in "$cases"/*.sh; do
        name=$(basename "$case" .sh)
        [ "$name" = check ] || list="$list $name"
    done
fi
# shellcheck disable=SC2086
set -- $list
echo "1..$#"
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
: >"$place/empty"
n=0

# expected FILE FOUND: shows how they differ
same() {
    file=$1
    [ -f "$file" ] || file=$place/empty
    diff -u --label "expected $(basename "$1")" --label found "$file" "$2" >&2
}
accept() {
    if [ -s "$2" ]; then cp "$2" "$1"; else rm -f "$1"; fi
}

for name; do
    n=$((n + 1))
    mkdir -p "$place/$name"
    (cd "$place/$name" && LC_ALL=C timeout 850 sh "$cases/$name.sh") >"$place/stdout" 2>"$place/stderr" </dev/null
    echo $? >"$place/exit"
    if [ "$(cat "$place/exit")" = 77 ]; then
        sed -n 's/^SKIP: /# SKIP: /p' "$place/stderr" >&2
        echo "not ok $n # SKIP $name"
        continue
    fi
    [ "$(cat "$place/exit")" = 0 ] && : >"$place/exit"
    if [ -n "${SO_CLI_ACCEPT:-}" ]; then
        for what in stdout stderr exit; do accept "$cases/$name.$what" "$place/$what"; done
    fi
    bad=
    for what in stdout stderr exit; do
        same "$cases/$name.$what" "$place/$what" || bad=1
    done
    rm -rf "${place:?}/$name"
    if [ -z "$bad" ]; then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
done
