#!/bin/sh
# The law of the house: which floor may include which (docs/design.md, "Floors"), how long a function and its list of
# parameters may be, that a name means one thing, how large the engine may be, and what no library file may call.
# Writes TAP. Usage: tests/floors/check.sh BUILD
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
library=${1:-build}/libstreamomni.a
echo 1..10

# A row: a folder of src/, then the folders whose headers it may include besides its own and include/. The longest row that fits
# counts, so that a folder in a folder may have laws of its own; what is named opens everything below it.
laws='
base
backend base
formats base
media base
text base
net base
nn backend formats base
models nn backend formats base
checkpoint models nn backend formats media text base
speech checkpoint models nn backend formats media base
engine speech checkpoint models nn backend formats media text base
plan engine speech checkpoint models nn backend formats media text base
dataset media text net base
train models nn backend formats text media base
eval dataset media text base
eval/scoring eval net media text base
eval/golden plan engine checkpoint train models nn backend formats media text base
eval/quant engine checkpoint eval/golden dataset models nn formats media text base
eval/speed models nn backend base
recipes dataset eval train checkpoint models nn backend formats text media base
client net media base
server net media base
apps server client recipes dataset eval net formats media base
'

# Reads "file:floor/header" and prints what no row allows. models/stream_omni.c composes its siblings; other networks of
# models/ include none but their own header.
broken=$(grep -rnoE '^ *# *include +"[^"]+"' src --include='*.c' --include='*.h' |
    sed -E 's/^src\///; s/:([0-9]+): *# *include +"([^"]+)"/ \1 \2/' |
    awk -v laws="$laws" '
    BEGIN {
        n = split(laws, row, "\n")
        for (i = 1; i <= n; i++) {
            m = split(row[i], word, " ")
            for (k = 1; k <= m; k++) may[word[1], word[k]] = 1
            if (m) known[word[1]] = 1
        }
    }
    function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
    function row_of(path) { while (!known[path] && path ~ /\//) path = folder(path); return path }
    function opens(from, to) {
        for (;;) {
            if (may[from, to]) return 1
            if (to !~ /\//) return 0
            to = folder(to)
        }
    }
    {
        from = row_of(folder($1))
        if (!known[from]) { print $1 ":" $2 ": folder src/" from " has no row in tests/floors/check.sh"; next }
        if ($3 !~ /\//) {
            if ($3 !~ /^so(_[a-z]+)?\.h$/) print $1 ":" $2 ": includes \"" $3 "\", which names no floor"
            next
        }
        if (!opens(from, folder($3))) print $1 ":" $2 ": " from "/ may not include \"" $3 "\""
        if (from == "models" && $3 ~ /^models\// && $1 !~ /stream_omni\.[ch]$/) {
            own = $1; sub(/(_[a-z]+)?\.[a-z]+$/, "", own); other = $3; sub(/(_[a-z]+)?\.[a-z]+$/, "", other)
            if (index(own, other) != 1 && index(other, own) != 1) print $1 ":" $2 ": networks do not see each other: \"" $3 "\""
        }
    }')
if [ -z "$broken" ]; then echo "ok 1 - every include stands on a lower floor"; else
    printf '%s\n' "$broken" >&2
    echo "not ok 1 - every include stands on a lower floor"
fi

# Public headers include nothing but each other and the standard library.
strange=$(grep -nE '^ *# *include' include/*.h | grep -vE 'include +("so[a-z_]*\.h"|<(stddef|stdint|stdbool|signal)\.h>)')
if [ -z "$strange" ]; then echo "ok 2 - public headers stand alone"; else
    printf '%s\n' "$strange" >&2
    echo "not ok 2 - public headers stand alone"
fi

# CUDA and instruction sets stay inside backend/.
leaks=$(grep -rnE '(<immintrin\.h>|<arm_neon\.h>|cuda_runtime|__AVX)' src --include='*.c' --include='*.h' | grep -v '^src/backend/')
if [ -z "$leaks" ]; then echo "ok 3 - instruction sets stay in backend/"; else
    printf '%s\n' "$leaks" >&2
    echo "not ok 3 - instruction sets stay in backend/"
fi

# Every file of sources and headers, once for each rule below.
sources() { find "$@" -name '*.[ch]' | LC_ALL=C sort; }
rule() { # NUMBER TITLE FINDINGS
    if [ -z "$3" ]; then echo "ok $1 - $2"; else
        printf '%s\n' "$3" >&2
        echo "not ok $1 - $2"
    fi
}
here=tests/floors
rule 4 'no function has over 80 lines or 8 parameters' \
    "$(sources src include tests tools examples | xargs awk -v LINES=80 -v PARAMETERS=8 -f $here/shape.awk)"
rule 5 'no two files of src/ and include/ have one name' "$(sources src include | sed 's/.*\///' | LC_ALL=C sort | uniq -d)"
rule 6 'no type has two definitions' "$(sources src include | xargs awk -f $here/names.awk)"
rule 7 'no file includes itself by way of others' "$(grep -rnoE '^ *# *include +"[^"]+"' src --include='*.c' --include='*.h' |
    sed -E 's/^src\///; s/:[0-9]+: *# *include +"([^"]+)"/ \1/' | awk -f $here/circles.awk)"
rule 8 'src/engine/ has under 5000 lines' \
    "$(sources src/engine | xargs cat | awk 'END { if (NR >= 5000) print "src/engine/ has " NR " lines, expected under 5000: what is not conversation has a floor of its own" }')"

if [ ! -f "$library" ]; then
    echo "# SKIP: $library is absent" >&2
    echo "not ok 9 # SKIP the library neither exits nor prints"
    echo "not ok 10 # SKIP every external symbol begins so_"
    exit 0
fi
calls=$(nm -A -u "$library" 2>/dev/null | awk '
    $NF ~ /^(exit|abort|printf|vprintf|puts|putchar|perror|__printf_chk|__vprintf_chk)$/ { print $1 " calls " $NF }')
if [ -z "$calls" ]; then echo "ok 9 - the library neither exits nor prints"; else
    printf '%s\n' "$calls" >&2
    echo "not ok 9 - the library neither exits nor prints"
fi
alien=$(nm -A --defined-only -g "$library" 2>/dev/null | awk '
    NF >= 3 && $(NF - 1) ~ /^[A-Z]$/ && $NF !~ /^(so_|__asan|__odr_asan|__ubsan|_?_start)/ { print $1 " defines " $NF }')
if [ -z "$alien" ]; then echo "ok 10 - every external symbol begins so_"; else
    printf '%s\n' "$alien" >&2
    echo "not ok 10 - every external symbol begins so_"
fi
