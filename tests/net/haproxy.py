"""Two servers behind HAProxy, with packaging/haproxy.cfg: a client stays with its server, for requests and for its WebSocket; when
that one goes down, the other takes over without an error, and clients return to it when it is back.
Usage: haproxy.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

from raw_socket import Socket
from serving import PATIENCE, Server, reserve, until

PROGRAM, ROOT = sys.argv[1:3]
CHAT = json.dumps({"messages": [{"role": "user", "content": "Good morning."}]}).encode()


def ask(port, source, path="/v1/models", body=b""):
    """From one of the loopback's addresses; gives status and body."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0)) as c:
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        c.sendall(f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{kind}Connection: close\r\n\r\n".encode() + body)
        data = b""
        while piece := c.recv(65536):
            data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    return int(head.split()[1]), body


def server_of(port, source):
    status, body = ask(port, source)
    assert status == 200, (status, body)
    return "one" if b'"id":"one"' in body else "two"


def comes_to(port, source, name):
    """Whether it is answered by that server now."""
    status, body = ask(port, source)
    return status == 200 and f'"id":"{name}"'.encode() in body


def main(place):
    held, (port, one, two) = zip(*(reserve() for _ in range(3)))
    ports = {"one": one, "two": two}
    start = lambda name: Server(PROGRAM, "--port", str(ports[name]), "--model-name", name)
    servers = {name: start(name) for name in ports}
    env = {**os.environ, "SO_BIND": f"127.0.0.1:{port}", **{f"SO_{n.upper()}": f"127.0.0.1:{p}" for n, p in ports.items()}}
    proxy = subprocess.Popen(["haproxy", "-db", "-f", ROOT + "/packaging/haproxy.cfg"], env=env, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    try:
        def answers():
            assert proxy.poll() is None, "haproxy ended: " + proxy.stdout.read()
            try:
                return ask(port, "127.0.0.1")[0] == 200
            except OSError:
                return False

        until(answers, "the proxy does not answer")
        clients = [f"127.0.0.{i}" for i in range(2, 26)]
        first = {c: server_of(port, c) for c in clients}
        assert set(first.values()) == {"one", "two"}, "every client came to one server"
        assert first == {c: server_of(port, c) for c in clients for _ in range(2)}, "a client changed its server"
        # the conversation of a client costs its new part only, because it comes to the same server again
        client, talk, reused = clients[0], [], []
        for question in ("Good evening, dear friend.", "What is two plus two?", "How are you?"):
            talk.append({"role": "user", "content": question})
            told = json.loads(ask(port, client, "/v1/chat/completions", json.dumps({"messages": talk}).encode())[1])
            talk.append({"role": "assistant", "content": told["choices"][0]["message"]["content"]})
            reused.append(told["usage"]["prompt_tokens_details"]["cached_tokens"])
        assert reused[-1] > 30, reused
        # a WebSocket through the proxy
        w = Socket(port, source=client)
        assert w.status == 101 and w.event()["type"] == "session.created"
        w.send({"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}})
        assert w.event()["type"] == "session.updated"
        # its server goes down: what it is in the middle of ends, new requests go to the other
        home = first[client]
        other = "two" if home == "one" else "one"
        status, told = servers[home].end(signal.SIGTERM)
        assert status == 143 and not told and w.closed() == 1001
        until(lambda: comes_to(port, client, other), "nobody took over")
        assert all(server_of(port, c) == other for c in clients)
        assert ask(port, client, "/v1/chat/completions", CHAT)[0] == 200
        servers[home] = start(home)
        until(lambda: comes_to(port, client, home), "it is back, and its client does not return")
        assert first == {c: server_of(port, c) for c in clients}
        print("24 clients on two servers, each stayed with its own", file=sys.stderr)
    finally:
        proxy.terminate()
        proxy.wait(PATIENCE)
        for s in held:
            s.close()
        for s in servers.values():
            s.process.poll() is None and s.end()


with tempfile.TemporaryDirectory() as folder:
    main(folder)
