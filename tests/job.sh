#!/bin/sh
# One job of the suite: runs its command, which writes TAP, and prints one line. For tests/run.sh, which adds up:
#   tests/job.sh PLACE NUMBER
# PLACE/NUMBER.job holds the name in its first line and the command in its second. What was found is left beside it: .tap, .log,
# .line (what was printed), .sum ("passed failed skipped seconds processor-seconds name").
# SPDX-License-Identifier: Apache-2.0
set -u
job=$1/$2
name=$(sed -n 1p "$job.job")
started=$(date +%s.%N)
# A job has a folder for temporaries of its own, so that nothing of it stays behind and none meets another's.
mkdir -p "$job.tmp"
(
    sed -n 2p "$job.job" >"$job.sh"
    TMPDIR=$job.tmp CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 "${SO_TEST_SECONDS:-900}" sh "$job.sh" >"$job.tap" 2>"$job.log" </dev/null
    echo $? >"$job.status"
    times >"$job.times"
)
rm -rf "$job.tmp"
status=$(cat "$job.status")
seconds=$(date +%s.%N | awk -v s="$started" '{ printf "%.1f", $1 - s }')
spent=$(tr 'm' ' ' <"$job.times" | tr -d 's' | awk 'NR == 2 { printf "%.1f", 60 * ($1 + $3) + $2 + $4 }')

# A program that died, or that lost tests, is one failure more.
plan=$(sed -n 's/^1\.\.\([0-9][0-9]*\).*/\1/p' "$job.tap" | awk '{ n += $1 } END { print n + 0 }')
s=$(grep -c -E '^(not )?ok [0-9]+.*# SKIP' "$job.tap")
p=$(grep -E '^ok [0-9]+' "$job.tap" | grep -c -v '# SKIP')
f=$(grep -E '^not ok [0-9]+' "$job.tap" | grep -c -v '# SKIP')
note=
if [ $((p + f + s)) -lt "$plan" ]; then
    note=" ($((plan - p - f - s)) of $plan tests never ended, exit status $status)"
    f=$((f + 1))
elif [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    note=" (exit status $status)"
    f=1
elif [ "$plan" -eq 0 ]; then
    note=" (no tests in it)"
    f=$((f + 1))
fi
result=ok
[ "$f" -eq 0 ] || result=FAILED
echo "$p $f $s $seconds $spent $name" >"$job.sum"
printf '%-6s %-36s %4d passed %3d failed %3d skipped %7.1f s%s\n' "$result" "$name" "$p" "$f" "$s" "$seconds" "$note" |
    tee "$job.line"
