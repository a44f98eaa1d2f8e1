#!/bin/sh
# Installs a copy, finds it with pkg-config, and compiles and runs every example against it. Writes TAP.
# Usage: tests/headers/install.sh BUILD
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(pwd)
build=${1:-build}
set -- examples/*.c
[ -f "$1" ] || set --
echo "1..$(($# + 3))"
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT

if cmake --install "$build" --prefix "$place/usr" >&2 && "$place/usr/bin/stream-omni" --version >&2; then
    echo "ok 1 - installs"
else
    echo "not ok 1 - installs"
fi
PKG_CONFIG_PATH=$(dirname "$(find "$place/usr" -name stream-omni.pc | head -1)"):${PKG_CONFIG_PATH:-}
export PKG_CONFIG_PATH
if flags=$(pkg-config --cflags --libs stream-omni); then echo "ok 2 - pkg-config finds it"; else
    echo "not ok 2 - pkg-config finds it"
    flags=
fi
sanitize=$(sed -n 's/^SO_SANITIZE:[A-Z]*=//p' "$build/CMakeCache.txt")
n=2
for example; do
    n=$((n + 1))
    program=$place/$(basename "$example" .c)
    # shellcheck disable=SC2086
    if "${CC:-cc}" -std=c11 -Wall -Wextra -Werror ${sanitize:+-fsanitize=$sanitize} "$example" -o "$program" $flags >&2; then
        # Without arguments an example says how it is used and gives back 2.
        "$program" >/dev/null 2>"$place/usage"
        if [ $? -eq 2 ] && grep -q usage "$place/usage"; then echo "ok $n - $example"; else
            cat "$place/usage" >&2
            echo "not ok $n - $example says how it is used"
        fi
    else
        echo "not ok $n - $example compiles against the installed header"
    fi
done
# The smallest one at work.
n=$((n + 1))
if [ ! -f models/tabletop.gguf ]; then
    echo "# SKIP: the tabletop model is absent" >&2
    echo "not ok $n # SKIP hello answers"
elif said=$("$place/hello" models/tabletop.gguf "How much is two plus three?" "And four plus one?" 2>&1) && [ "$(printf '%s\n' "$said" | grep -c '[a-z]')" = 2 ]; then
    echo "ok $n - hello answers"
else
    printf '%s\n' "$said" >&2
    echo "not ok $n - hello answers"
fi
cd "$root" || exit 2
