#!/bin/sh
# The server and its parsers against programs of others. Writes TAP. Usage: tests/net/check.sh BUILD [NAME...]
#
# What comes from PyPI goes into BUILD/clients, a virtual environment that is made once; where that is not possible, the
# tests that want it are skipped.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- h11
echo "1..$#"

# wants PACKAGE...: has them in the virtual environment, or says why not
wants() {
    [ -x "$build/clients/bin/python" ] || python3 -m venv "$build/clients" >/dev/null 2>&1 || {
        echo "# SKIP: no virtual environment can be made (python3-venv)" >&2
        return 1
    }
    for package; do
        "$build/clients/bin/python" -c "import importlib.metadata as m, sys; sys.exit(m.version(sys.argv[1].split('==')[0]) != sys.argv[1].split('==')[1])" \
            "$package" 2>/dev/null && continue
        "$build/clients/bin/pip" install -q --disable-pip-version-check "$package" >/dev/null 2>&1 || {
            echo "# SKIP: $package cannot be installed" >&2
            return 1
        }
    done
}

h11() {
    wants h11==0.16.0 || return 77
    ninja -C "$build" net_verdict >&2 && "$build/clients/bin/python" tests/net/h11_compare.py "$build/tests/net_verdict" >&2
}

n=0
for name; do
    n=$((n + 1))
    "$name"
    case $? in
    0) echo "ok $n - $name" ;;
    77) echo "not ok $n # SKIP $name" ;;
    *) echo "not ok $n - $name" ;;
    esac
done
