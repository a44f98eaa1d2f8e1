"""Every limit that docs/server.md names and that a whole server has, crossed: what is just below is answered, what is above is
refused as the table says, and the server goes on. (Those of the parsers are crossed in tests/unit/net_*.c.)
Usage: limits.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import base64
import concurrent.futures
import io
import json
import socket
import struct
import sys
import tempfile
import wave
import zlib

from raw_socket import Socket
from serving import PATIENCE, Server, until

PROGRAM, ROOT = sys.argv[1:3]
CHAT, SPEECH, HISTORY = "/v1/chat/completions", "/v1/audio/speech", "/v1/history"
HI = {"messages": [{"role": "user", "content": "Good morning."}]}


def status_of(s, raw, then=b""):
    """Of the answer to raw bytes."""
    with socket.create_connection(("127.0.0.1", s.port), PATIENCE) as c:
        try:
            c.sendall(raw)
            c.sendall(then)
        except OSError:
            pass  # it was refused in the middle
        data = b""
        while b"\r\n" not in data:
            piece = c.recv(4096)
            if not piece:
                return 0
            data += piece
        return int(data.split()[1])


def expect(got, wanted, what):
    assert got == wanted, f"{what}: {got}, expected {wanted}"


def heads(s):
    get = lambda target="/health", fields="": f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode()
    expect(status_of(s, get("/health?" + "a" * (4096 - 8))), 200, "a target of 4096 bytes")
    expect(status_of(s, get("/health?" + "a" * 4096)), 414, "a target above 4096 bytes")
    expect(status_of(s, get(fields="".join(f"X-{i}: a\r\n" for i in range(63)))), 200, "64 fields")
    expect(status_of(s, get(fields="".join(f"X-{i}: a\r\n" for i in range(64)))), 431, "65 fields")
    expect(status_of(s, get(fields=f"X: {'a' * 15000}\r\n")), 200, "a head of 15 kB")
    expect(status_of(s, get(fields="".join(f"X-{i}: {'a' * 1000}\r\n" for i in range(17)))), 431, "a head above 16 kB")


def bodies(s):
    head = lambda path, n, kind="application/json": (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
                                                      f"Content-Length: {n}\r\n\r\n").encode()
    expect(status_of(s, head(CHAT, (48 << 20) + 1)), 413, "a body above 48 MB")
    expect(status_of(s, head(SPEECH, (1 << 20) + 1)), 413, "a body above 1 MB")
    expect(status_of(s, head(CHAT, 10 ** 15)), 413, "a body without end")
    expect(status_of(s, head(CHAT, 10 ** 30)), 400, "a length that is no number")
    chunk = b"%x\r\n" % (1 << 20) + b" " * (1 << 20) + b"\r\n"
    chunked = f"POST {SPEECH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    expect(status_of(s, chunked + chunk, chunk), 413, "chunks above 1 MB")
    deep = lambda n: '{"messages":' + "[" * n + "]" * n + "}"
    post = lambda body: s.ask("POST", CHAT, body, {"Content-Type": "application/json"})
    assert b"nested" not in post(deep(63))[2] and b"nested" in post(deep(64))[2], "64 levels of JSON"
    expect(post('{"messages":1,"messages":2}')[0], 400, "a key twice")
    expect(post(b'{"messages":"\xff"}')[0], 400, "no UTF-8")
    expect(post('{"messages":"\\ud800"}')[0], 400, "half a character")
    part = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n'
    form = lambda n: s.ask("POST", "/v1/audio/transcriptions", part * n + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"})
    assert b"without a file" in form(64)[2] and b"without a file" not in form(65)[2], "64 parts of a form"


def sound(seconds, rate=8000):
    out = io.BytesIO()
    with wave.open(out, "wb") as w:
        w.setnchannels(1), w.setsampwidth(1), w.setframerate(rate)
        w.writeframes(b"\x80" * int(seconds * rate))
    return out.getvalue()


def picture(width, height):
    """A PNG file that says so; its pixels are not there."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def media(s):
    def ask(part):
        status, _, body = s.ask("POST", CHAT, {"messages": [{"role": "user", "content": [part]}]})
        return status, json.loads(body).get("error", {})

    audio = lambda data: {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}
    image = lambda data: {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(data).decode()}}
    status, error = ask(audio(sound(601)))
    assert status == 400 and "600" in error["message"], (status, error)
    status, error = ask(audio(sound(121)))
    assert status == 400 and "120" in error["message"], (status, error)
    status, error = ask(image(picture(60000, 60000)))
    assert status == 400 and "pixels" in error["message"], (status, error)
    status, error = ask({"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}})
    assert status == 400 and error["param"].endswith("url"), (status, error)
    status, error = ask({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}})
    assert status == 400, (status, error)
    content = [image(open(ROOT + "/examples/table.png", "rb").read())] * 9
    expect(s.ask("POST", CHAT, {"messages": [{"role": "user", "content": content}]})[0], 400, "nine pictures")


def sockets(s):
    w = Socket(s.port)
    w.event()
    w.send({"type": "session.update", "session": {"turn_detection": None}})
    w.event()
    most = 15 * (1 << 20) // 3 * 4
    w.send({"type": "input_audio_buffer.append", "audio": "A" * most})
    w.send({"type": "input_audio_buffer.clear"})
    assert w.event()["type"] == "input_audio_buffer.cleared", "15 MiB"
    w.send({"type": "input_audio_buffer.append", "audio": "A" * (most + 400)})
    assert w.event()["error"]["param"] == "audio", "an append above 15 MiB"
    w.send({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}] * 33}})
    assert w.event()["error"]["param"] == "item.content", "33 parts of an item"
    for i in range(1000):
        w.send({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}})
    for i in range(2000):
        assert w.event()["type"] in ("conversation.item.added", "conversation.item.done")
    w.send({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}})
    assert w.event()["type"] == "error", "1001 items"
    w.socket.close()


def too_many(s):
    """One session, one that waits: the third is sent away, told why and for how long."""
    body = {"input": "The red star is left of the blue circle. " * 8, "response_format": "pcm"}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: s.ask("POST", SPEECH, body), range(8)))
    codes = sorted(a[0] for a in got)
    assert codes[0] == 200 and codes[-1] == 503, codes
    away = [a for a in got if a[0] == 503][0]
    assert int(away[1]["Retry-After"]) >= 1 and json.loads(away[2])["error"]["code"] == "server_busy", away
    assert b"wait" in away[2]


def full():
    """More connections than there may be: the one that was idle longest is given up."""
    s = Server(PROGRAM, "--connections", "8")
    first = socket.create_connection(("127.0.0.1", s.port), PATIENCE)
    first.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200" in first.recv(4096)
    rest = [socket.create_connection(("127.0.0.1", s.port), PATIENCE) for _ in range(7)]
    for c in rest:
        c.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in c.recv(4096)
    expect(s.ask("GET", "/health")[0], 200, "a ninth connection")
    assert first.recv(4096) == b"", "the first is still there"
    for c in rest[1:]:
        c.close()
    s.end()


def of_one_machine():
    """Connections of one address that is not this machine's loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            own = probe.getsockname()[0]
        except OSError:
            own = "127.0.0.1"
    if own.startswith("127."):
        print("# SKIP: this machine has no address but the loopback: --per-address is not crossed", file=sys.stderr)
        return
    s = Server(PROGRAM, "--host", "0.0.0.0", "--no-key", "--per-address", "3")
    held = [socket.create_connection((own, s.port), PATIENCE) for _ in range(3)]
    for c in held:
        c.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in c.recv(4096)
    extra = socket.create_connection((own, s.port), PATIENCE)
    try:
        extra.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = extra.recv(4096)
    except ConnectionError:
        got = b""
    assert got == b"", got
    assert s.ask("GET", "/health")[0] == 200  # the loopback's do not count
    s.end()


def of_one_key():
    """Requests, conversations and sound of one key; another one is not touched by it."""
    with tempfile.NamedTemporaryFile("w+") as keys:
        keys.write("ann:sk-ann\nbob:sk-bob\n")
        keys.flush()
        s = Server(PROGRAM, "--api-key-file", keys.name, "--sessions-per-key", "2", "--audio-per-minute", "3")
        ann, bob = ({"Authorization": "Bearer sk-" + n} for n in ("ann", "bob"))
        held = [Socket(s.port, "Authorization: Bearer sk-ann\r\n") for _ in range(2)]
        assert all(w.status == 101 for w in held)
        status, fields, body = s.ask("POST", CHAT, HI, ann)
        assert status == 429 and "Retry-After" in fields and b"too_many_sessions" in body, (status, body)
        expect(Socket(s.port, "Authorization: Bearer sk-ann\r\n").status, 429, "a third session")
        expect(s.ask("POST", CHAT, HI, bob)[0], 200, "another key")
        held[0].socket.close()
        until(lambda: s.ask("POST", CHAT, HI, ann)[0] == 200, "a session that ended still counts")
        said = {"input": "The red star is left of the blue circle. The red star is left of the blue circle.", "response_format": "pcm"}
        expect(s.ask("POST", SPEECH, said, ann)[0], 200, "sound within the limit")
        status, fields, body = s.ask("POST", SPEECH, said, ann)
        assert status == 429 and int(fields["Retry-After"]) >= 1 and b"audio_limit_exceeded" in body, (status, body)
        expect(s.ask("GET", "/v1/models", headers=ann)[0], 200, "what is no conversation")
        expect(s.ask("POST", SPEECH, said, bob)[0], 200, "another key")
        assert s.metric("rejected_total", bob, reason="rate") >= 3
        s.end()


server = Server(PROGRAM, "--sessions", "1", "--waiting", "1")
heads(server)
bodies(server)
media(server)
sockets(server)
too_many(server)
assert server.ask("POST", CHAT, HI)[0] == 200
status, told = server.end()
assert status == 143 and not told, (status, told)
full()
of_one_machine()
of_one_key()
