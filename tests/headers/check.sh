#!/bin/sh
# Each public header compiles alone, as C11 and as C++11. Writes TAP.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
set -- include/*.h
echo "1..$(($# * 2))"
n=0
try() {
    n=$((n + 1))
    name=$1
    shift
    if "$@" >&2; then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
}
for header; do
    try "$header in C11" "${CC:-cc}" -std=c11 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c -include "$header" /dev/null
    try "$header in C++11" "${CXX:-c++}" -std=c++11 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c++ -include "$header" /dev/null
done
