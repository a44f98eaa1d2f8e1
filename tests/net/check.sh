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
[ $# -gt 0 ] || set -- h11 ws raw websocket manager history metrics limits tls fetch_images conformance haproxy openai openai_2 realtime agents example node wyoming zeroconf page firefox ${SO_THOROUGH:+soak}
echo "1..$#"

# wants PACKAGE...: has them in the virtual environment, or says why not; one at a time, since jobs of a suite share it
wants() {
    (
        flock 9
        has "$@"
    ) 9>"$build/clients.lock"
}
has() {
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

# there PROGRAM: also where a function here has its name
there() { (unset -f "$1" && command -v "$1" >/dev/null 2>&1); }

# The example of openai-python, as it stands.
example() {
    wants openai==3.57.0 websockets==15.0.1 || return 77
    PYTHONDONTWRITEBYTECODE=1 "$build/clients/bin/python" tests/net/example.py "$build/stream-omni" . >&2
}

# Wyoming is found by another program: in a network of its own, with a bus and a daemon of its own.
zeroconf() {
    for program in avahi-daemon avahi-browse dbus-daemon ip; do
        command -v $program >/dev/null 2>&1 || {
            echo "# SKIP: $program is absent" >&2
            return 77
        }
    done
    unshare -mnp --fork --kill-child true 2>/dev/null || {
        echo "# SKIP: no network of its own can be made here (root's right)" >&2
        return 77
    }
    timeout -k 5 800 unshare -mnp --fork --kill-child sh tests/net/zeroconf.sh "$build/stream-omni" >&2
}

# In a network of its own, with names and an authority of its own.
fetch_images() {
    for program in ip openssl python3; do
        command -v $program >/dev/null 2>&1 || {
            echo "# SKIP: $program is absent" >&2
            return 77
        }
    done
    unshare -mn sh -c 'ip link set lo up && mount -t tmpfs none /mnt' 2>/dev/null && [ -f /etc/ssl/certs/ca-certificates.crt ] || {
        echo "# SKIP: no network of its own can be made here (root's right), or no ca-certificates" >&2
        return 77
    }
    PYTHONDONTWRITEBYTECODE=1 timeout -k 5 800 unshare -mn python3 tests/net/fetch_images.py "$build/stream-omni" . >&2
}

h11() {
    wants h11==0.16.0 || return 77
    ninja -C "$build" net_verdict >&2 && "$build/clients/bin/python" tests/net/h11_compare.py "$build/tests/net_verdict" >&2
}

ws() {
    wants websockets==15.0.1 || return 77
    ninja -C "$build" net_ws_verdict >&2 && "$build/clients/bin/python" tests/net/ws_compare.py "$build/tests/net_ws_verdict" >&2
}

# plain SCRIPT: with Python alone
plain() {
    command -v python3 >/dev/null 2>&1 || {
        echo "# SKIP: python3 is absent" >&2
        return 77
    }
    PYTHONDONTWRITEBYTECODE=1 python3 "tests/net/$1" "$build/stream-omni" . >&2
}
raw() { plain server_raw.py; }
websocket() { plain websocket_raw.py; }
manager() { plain manager.py; }
history() { plain history.py; }
metrics() { plain metrics.py; }
limits() { plain limits.py; }
tls() { plain tls.py; }
conformance() { plain conformance.py; }

# Two servers behind Debian's proxy.
haproxy() {
    there haproxy || {
        echo "# SKIP: haproxy is absent" >&2
        return 77
    }
    plain haproxy.py
}

realtime() {
    wants 'openai==3.57.0' 'websockets==15.0.1' || return 77
    PYTHONDONTWRITEBYTECODE=1 "$build/clients/bin/python" tests/net/realtime_client.py "$build/stream-omni" . >&2
}

# In an environment of its own, since it chooses its own websockets.
agents() {
    own=$build
    build=$build/clients_agents
    mkdir -p "$build"
    wants openai==3.57.0 openai-agents==0.24.0 || return 77
    PYTHONDONTWRITEBYTECODE=1 "$build/clients/bin/python" tests/net/agents_client.py "$own/stream-omni" . >&2
    result=$?
    build=$own
    return $result
}

wyoming() {
    wants wyoming==1.10.2 || return 77
    PYTHONDONTWRITEBYTECODE=1 "$build/clients/bin/python" tests/net/wyoming_client.py "$build/stream-omni" . >&2
}

soak() {
    command -v python3 >/dev/null 2>&1 || {
        echo "# SKIP: python3 is absent" >&2
        return 77
    }
    PYTHONDONTWRITEBYTECODE=1 python3 tests/net/soak.py "$build/stream-omni" . "${SO_SOAK_SECONDS:-600}" >&2
}

node() {
    there node || {
        echo "# SKIP: node is absent" >&2
        return 77
    }
    plain node_clients.py
}

openai() {
    wants openai==3.57.0 || return 77
    PYTHONDONTWRITEBYTECODE=1 "$build/clients/bin/python" tests/net/openai_client.py "$build/stream-omni" . >&2
}

# The version before it told delta.audio in another form: in an environment of its own.
openai_2() {
    own=$build
    build=$build/clients_2
    mkdir -p "$build"
    wants openai==2.8.0 || return 77
    PYTHONDONTWRITEBYTECODE=1 "$build/clients/bin/python" tests/net/openai_client.py "$own/stream-omni" . >&2
    result=$?
    build=$own
    return $result
}

# In headless Chromium, with a fake microphone and camera.
page() {
    command -v chromium >/dev/null 2>&1 || {
        echo "# SKIP: chromium is absent" >&2
        return 77
    }
    wants playwright==1.65.2 axe-playwright-python==0.1.8 || return 77
    rm -f "$build"/page.db*
    PYTHONDONTWRITEBYTECODE=1 timeout -k 5 800 "$build/clients/bin/python" -u tests/net/page.py "$build/stream-omni" "$build/page.db" \
        >"$build/page.log" 2>&1 && return 0
    tail -40 "$build/page.log" >&2
    return 1
}

# The same in Firefox, as far as that goes without a sound card.
firefox() {
    command -v firefox-esr >/dev/null 2>&1 || {
        echo "# SKIP: firefox-esr is absent" >&2
        return 77
    }
    wants websockets==15.0.1 || return 77
    PYTHONDONTWRITEBYTECODE=1 timeout -k 5 800 "$build/clients/bin/python" tests/net/firefox.py "$build/stream-omni" . >&2
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
