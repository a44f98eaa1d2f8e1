#!/bin/sh
# Makes the packages and runs the program out of them; holds the service's units against systemd where it is. Writes TAP.
# Usage: tests/headers/package.sh BUILD
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(pwd)
build=${1:-build}
case $build in /*) ;; *) build=$root/$build ;; esac
echo 1..4
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
if ! command -v cpack >/dev/null || ! command -v dpkg-shlibdeps >/dev/null; then
    echo "# SKIP: no cpack or no dpkg-shlibdeps (dpkg-dev)" >&2
    for i in 1 2 3 4; do echo "not ok $i # SKIP packages"; done
    exit 0
fi

if (cd "$build" && cpack -B "$place/out" -G DEB -D CPACK_PACKAGING_INSTALL_PREFIX=/usr &&
    cpack -B "$place/out" -G TGZ -D CPACK_PACKAGING_INSTALL_PREFIX=) >"$place/log" 2>&1; then echo "ok 1 - packages are made"; else
    cat "$place/log" >&2
    echo "not ok 1 - packages are made"
fi

# Unpacked anywhere, asked from anywhere, it finds its model.
asked='What color is the star?'
mkdir "$place/tar" "$place/deb" "$place/empty"
tar -xzf "$place"/out/*.tar.gz -C "$place/tar" --strip-components=1
answer=$(cd "$place/empty" && "$place/tar/bin/stream-omni" ask --json "$root/examples/table.png" "$asked" 2>&1)
case $answer in *red*) echo "ok 2 - the archive runs where it is unpacked" ;; *)
    echo "$answer" >&2
    echo "not ok 2 - the archive runs where it is unpacked"
    ;;
esac
dpkg-deb -x "$place"/out/*.deb "$place/deb"
answer=$(cd "$place/empty" && "$place/deb/usr/bin/stream-omni" ask --json "$root/examples/table.png" "$asked" 2>&1)
depends=$(dpkg-deb -f "$place"/out/*.deb Depends)
case "$answer $depends" in *red*libsndfile1*) echo "ok 3 - so does what the Debian package holds" ;; *)
    echo "$answer; depends: $depends" >&2
    echo "not ok 3 - so does what the Debian package holds"
    ;;
esac

if command -v systemd-analyze >/dev/null; then
    for unit in service socket; do
        sed "s|/usr/bin/stream-omni|$place/deb/usr/bin/stream-omni|" packaging/stream-omni.$unit >"$place/stream-omni.$unit"
    done
    if systemd-analyze verify "$place/stream-omni.service" "$place/stream-omni.socket" >"$place/units" 2>&1 && ! grep -q "stream-omni" "$place/units"; then
        echo "ok 4 - systemd takes the units"
    else
        cat "$place/units" >&2
        echo "not ok 4 - systemd takes the units"
    fi
else
    echo "# SKIP: no systemd-analyze" >&2
    echo "not ok 4 # SKIP systemd takes the units"
fi
