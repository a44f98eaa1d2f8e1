#!/bin/sh
# Runs in namespaces of its own (tests/net/check.sh): a network that is a dummy, a bus, Avahi's daemon; serve announces
# Wyoming, avahi-browse finds it, and does not when it must not. Usage: zeroconf.sh PROGRAM
# SPDX-License-Identifier: Apache-2.0
set -u
so=$1
mount -t tmpfs none /run || exit 77
mkdir -p /run/dbus /run/avahi-daemon
ip link set lo up
if ! ip link add d0 type dummy 2>/dev/null && ! ip link add d0 type veth peer name d1 2>/dev/null; then
    echo "# SKIP: no network device can be made here"
    exit 77
fi
ip addr add 10.77.0.1/24 dev d0
ip link set d0 up
ip link set d1 up 2>/dev/null
cat >/run/bus.conf <<END
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>
END
printf '[server]\nhost-name=test\nuse-ipv6=no\n' >/run/avahi.conf
avahi() { avahi-daemon --no-drop-root --no-chroot --no-rlimits -f /run/avahi.conf -D 2>/dev/null; }
dbus-daemon --config-file=/run/bus.conf --fork || exit 1
# until COMMAND
until_so() {
    tries=0
    until "$@" || [ $tries -ge 1200 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
}
found() { timeout 10 avahi-browse -tpr _wyoming._tcp 2>/dev/null >/run/found; grep -q ';test.local;10.77.0.1;'"$1;" /run/found; }
served() { grep -qs '^http' /run/told; }

# The daemon comes after the server.
"$so" serve --port 0 --threads 1 --no-key --wyoming 0.0.0.0:10377 >/run/told 2>/run/err &
server=$!
until_so served
avahi
until_so found 10377
grep 'd0.*stream-omni' /run/found || { cat /run/told /run/err; exit 1; }
kill $server
wait $server
gone() { ! found 10377; }
until_so gone # its good-bye takes a second
gone || { echo "still announced"; exit 1; }

# Neither an address of this machine alone nor a server that is told not to is announced.
"$so" serve --port 0 --threads 1 --no-key --wyoming 127.0.0.1:10378 >/run/told 2>/run/err &
one=$!
"$so" serve --port 0 --threads 1 --no-key --wyoming 0.0.0.0:10379 --no-zeroconf >/run/quiet 2>/run/err &
two=$!
"$so" serve --port 0 --threads 1 --no-key --wyoming 0.0.0.0:10380 >/run/loud 2>/run/err &
until_so found 10380 # a third one is: what the others would say is here by now
found 10380 || exit 1
if grep -E ';1037[89];' /run/found; then exit 1; fi
until_so grep -q "announced as 'stream-omni" /run/loud # said behind what the network hears of it
grep -q "announced as 'stream-omni" /run/loud && ! grep -q announced /run/told /run/quiet || exit 1
kill $one $two $!
wait
avahi-daemon -k 2>/dev/null
exit 0
