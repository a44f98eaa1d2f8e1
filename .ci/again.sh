#!/bin/sh
# Runs a suite of tests, and what failed in it once more by itself when the suite has ended: .ci/again.sh COMMAND...
#
# COMMAND prints what tests/run.sh does; "COMMAND --only NAME" runs the one test of that name. One that passes then counts as passed, and is
# told as UNSTEADY with what it said at first: it is to be mended all the same. Nothing is repeated when more than two failed, or when
# something did not build. The last line is the sum after that; the exit status is 1 when something failed.
# SPDX-License-Identifier: Apache-2.0
set -u
MOST=2
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT

# counts FILE: its last sum, as three numbers
counts() { sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$1" | tail -1; }
# failed FILE: of tests that failed, once each: passed, failed, skipped, name
failed() {
    sed -n 's/^FAILED \(.*[^ ]\)  *\([0-9][0-9]*\) passed  *\([0-9][0-9]*\) failed  *\([0-9][0-9]*\) skipped .*/\2 \3 \4 \1/p' "$1" | sort -u
}
# said NAME FILE: what the test said
said() {
    awk -v name="$1" '/^[^ ]/ { its = index($0, "FAILED " name " ") == 1 } its && /^       \|/' "$2"
}

{ "$@" 2>&1 || echo "# exit status $?"; } | tee "$place/first"
failed "$place/first" >"$place/failed"
set -- "$(wc -l <"$place/failed")" "$(awk '{ n += $2 } END { print n + 0 }' "$place/failed")" "$@"
tests=$1 cases=$2
shift 2
all=$(counts "$place/first")
[ -n "$all" ] || exit 1 # it ended before it could count
# shellcheck disable=SC2086
set -- $all "$@"
passed=$1 bad=$2 skipped=$3
shift 3
if [ "$tests" -gt 0 ] && [ "$tests" -le $MOST ] && [ "$cases" -eq "$bad" ]; then
    while read -r p f s name; do
        echo "== again, by itself: $name"
        "$@" --only "$name" >"$place/again" 2>&1 </dev/null
        status=$?
        cat "$place/again"
        # shellcheck disable=SC2046
        set -- $(counts "$place/again") - - - "$@"
        if [ $status -eq 0 ] && [ "$1" != - ] && [ "$1" -gt 0 ] && [ "$2" -eq 0 ]; then
            passed=$((passed - p + $1)) bad=$((bad - f)) skipped=$((skipped - s + $3))
            echo "UNSTEADY $name: failed once, passed by itself"
            said "$name" "$place/first"
        fi
        while [ "$1" != - ]; do shift; done
        shift 3
    done <"$place/failed"
fi
echo "$passed passed, $bad failed, $skipped skipped"
[ "$bad" -eq 0 ]
