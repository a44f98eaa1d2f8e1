"""TLS: a certificate of the server's own making, versions, files that are exchanged while it serves.
Usage: tls.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import os
import pathlib
import shutil
import signal
import socket
import ssl
import stat
import sys
import tempfile
import time

from serving import PATIENCE, Server, until

PROGRAM = sys.argv[1]


def connect(port, authority, name="localhost", **limits):
    context = ssl.create_default_context(cafile=authority)
    for k, v in limits.items():
        setattr(context, k, v)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), PATIENCE), server_hostname=name)


def ask(c):
    c.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    data = b""
    while b'"ok"' not in data:
        piece = c.recv(4096)
        assert piece, data
        data += piece


def refused(port, authority, *names, **limits):
    try:
        connect(port, authority, *names, **limits).close()
    except ssl.SSLError:
        return True
    return False


class Secure(Server):
    """Its address is printed as https; plain requests at the same port stay possible."""


def made(place):
    """A folder with a certificate; gives its files: chain, key, authority."""
    s = Secure(PROGRAM, "--tls-self-signed", "--tls-folder", place)
    assert s.url.startswith("https://")
    trust = [line for line in s.lines if "trust this server" in line][0]
    authority = [w for w in trust.split() if w.startswith(place)][0]
    keys = [p for p in pathlib.Path(place).iterdir() if b"PRIVATE KEY" in p.read_bytes()]
    assert len(keys) == 1 and stat.S_IMODE(keys[0].stat().st_mode) == 0o600, keys
    chain = [p for p in pathlib.Path(place).iterdir() if str(p) != authority and p != keys[0] and b"CERTIFICATE" in p.read_bytes()]
    for name in ("localhost", "127.0.0.1", socket.gethostname()):
        c = connect(s.port, authority, name)
        assert c.version() in ("TLSv1.2", "TLSv1.3")
        ask(c)
        c.close()
    assert refused(s.port, authority, "elsewhere.example"), "a name that the certificate does not hold"
    connect(s.port, authority, maximum_version=ssl.TLSVersion.TLSv1_2).close()
    s.end()
    return str(chain[0]), str(keys[0]), authority


def exchanged(place, first, second):
    """On SIGHUP new connections get the new certificate, old ones live on; files that are broken change nothing."""
    chain, key = place + "/chain.pem", place + "/key.pem"
    put = lambda which: (shutil.copy(which[0], chain), shutil.copy(which[1], key))
    put(first)
    s = Secure(PROGRAM, "--tls-cert", chain, "--tls-key", key)
    old = connect(s.port, first[2])
    ask(old)
    assert refused(s.port, second[2])
    put(second)
    s.process.send_signal(signal.SIGHUP)
    until(lambda: not refused(s.port, second[2]), "the new certificate is not served")
    ask(old)
    with open(chain, "w") as f:
        f.write("no certificate")
    s.process.send_signal(signal.SIGHUP)
    for _ in range(10):
        time.sleep(0.03)
        c = connect(s.port, second[2])
        ask(c)
        c.close()
    assert refused(s.port, first[2])
    ask(old)
    status, told = s.end()
    assert status == 143 and not told, (status, told)


with tempfile.TemporaryDirectory() as place:
    folders = [place + "/one", place + "/two"]
    for f in folders:
        os.mkdir(f)
    exchanged(place, *(made(f) for f in folders))
