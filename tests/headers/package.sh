#!/bin/sh
# Makes the packages and runs the program out of them; holds the service's units against systemd where it is. Writes TAP.
# Usage: tests/headers/package.sh BUILD
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(pwd)
build=${1:-build}
case $build in /*) ;; *) build=$root/$build ;; esac
echo 1..6
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
if ! command -v cpack >/dev/null || ! command -v dpkg-shlibdeps >/dev/null; then
    echo "# SKIP: no cpack or no dpkg-shlibdeps (dpkg-dev)" >&2
    for i in 1 2 3 4 5 6; do echo "not ok $i # SKIP packages"; done
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

# served PROGRAM: from an empty folder it serves its page, and answers with the model that came with it
served() {
    (cd "$place/empty" && exec "$1" serve --port 0 --threads 1) >"$place/address" 2>"$place/log" &
    server=$!
    tries=0
    until grep -qs ^http "$place/address" || [ $tries -ge 6000 ] || ! kill -0 $server 2>/dev/null; do
        tries=$((tries + 1))
        sleep 0.05
    done
    url=$(grep -m 1 ^http "$place/address")
    page=$(curl -s "$url/" | head -c 15)
    answer=$("$1" ask --server "$url" --quiet "$root/examples/table.png" "$asked" 2>&1)
    kill $server
    wait $server
    case "$page $answer" in "<!doctype html>"*red*) return 0 ;; esac
    echo "page: '$page'; answer: $answer" >&2
    cat "$place/log" >&2
    return 1
}
if ! command -v curl >/dev/null; then
    echo "# SKIP: curl is absent" >&2
    for i in 5 6; do echo "not ok $i # SKIP packages serve"; done
    exit 0
fi
if served "$place/tar/bin/stream-omni"; then echo "ok 5 - the archive serves its page and model"; else echo "not ok 5 - the archive serves its page and model"; fi

# Installed by dpkg into a root of its own, whose libraries are this machine's: dpkg's own work, and no chroot.
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$place/root/var/lib/dpkg/info" "$place/root/var/lib/dpkg/updates" "$place/root/var/lib/dpkg/triggers"
    : >"$place/root/var/lib/dpkg/status"
    if dpkg --root="$place/root" --force-depends --force-script-chrootless --log="$place/dpkg.log" -i "$place"/out/*.deb >"$place/log" 2>&1 &&
        dpkg --root="$place/root" -s stream-omni | grep -q 'install ok installed' && served "$place/root/usr/bin/stream-omni"; then
        echo "ok 6 - dpkg -i, then stream-omni serve"
    else
        cat "$place/log" >&2
        echo "not ok 6 - dpkg -i, then stream-omni serve"
    fi
else
    echo "# SKIP: dpkg -i wants root's right" >&2
    echo "not ok 6 # SKIP dpkg -i, then stream-omni serve"
fi
