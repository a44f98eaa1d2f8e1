"""/v1/realtime with raw frames: who may open it, the subprotocol, wrong messages, floods, many idle ones, going down.
Needs nothing but Python. Usage: websocket_raw.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import json
import os
import resource
import struct
import sys
import time

from raw_socket import Socket
from serving import Server, until

PROGRAM = sys.argv[1]


def opening():
    s = Server(PROGRAM, "--api-key", "sk-1", "--cors", "https://page.example")
    key = "Authorization: Bearer sk-1\r\n"
    assert Socket(s.port).status == 401
    assert Socket(s.port, key + "Origin: https://evil.example\r\n").status == 403
    w = Socket(s.port, key + "Origin: https://page.example\r\n")
    assert w.status == 101 and "Sec-WebSocket-Protocol" not in w.head and w.event()["type"] == "session.created"
    w = Socket(s.port, "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1\r\n")
    assert w.status == 101 and "Sec-WebSocket-Protocol: realtime\r\n" in w.head + "\r\n", w.head
    assert Socket(s.port, "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-2\r\n").status == 401
    assert s.ask("GET", "/v1/realtime", headers={"Authorization": "Bearer sk-1"})[0] == 426
    # a secret for a page: made with a key, good for a session and for nothing else
    since = time.time()
    asked = {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": {"type": "realtime", "instructions": "Be brief."}}
    assert s.ask("POST", "/v1/realtime/client_secrets", asked)[0] == 401
    status, _, body = s.ask("POST", "/v1/realtime/client_secrets", asked, {"Authorization": "Bearer sk-1"})
    secret = json.loads(body)
    assert status == 200 and secret["value"].startswith("ek_") and since + 59 <= secret["expires_at"] <= time.time() + 61, body
    w = Socket(s.port, f"Authorization: Bearer {secret['value']}\r\n")
    assert w.status == 101 and w.event()["type"] == "session.created"
    assert w.event()["session"]["instructions"] == "Be brief."
    assert s.ask("GET", "/v1/models", headers={"Authorization": "Bearer " + secret["value"]})[0] == 401
    assert Socket(s.port, "Authorization: Bearer ek_0\r\n").status == 401
    asked["expires_after"]["seconds"] = 9
    assert s.ask("POST", "/v1/realtime/client_secrets", asked, {"Authorization": "Bearer sk-1"})[0] == 400
    s.end()


def wrong_messages(s):
    w = Socket(s.port, path="/v1/realtime?model=mine")
    assert w.event()["session"]["model"] == "mine"
    for text in ("", "{", "[]", "5", "{}", '{"type": 7}', '{"type": "no.such"}', '{"type": "session.update"}', "[" * 100000,
                 '{"type": "input_audio_buffer.append", "audio": "?"}', '{"type": "conversation.item.delete", "item_id": "x"}'):
        w.send(text)
        event = w.event()
        assert event["type"] == "error" and event["error"]["message"], (text[:50], event)
    w.send({"type": "response.cancel", "event_id": "mine"})
    assert w.event()["error"]["event_id"] == "mine"
    w.send(b"\0\1", opcode=2)  # binary
    assert w.closed() == 1003
    w = Socket(s.port)
    w.send(b"\xff\xfe")
    assert w.closed() == 1007
    w = Socket(s.port)
    w.socket.sendall(b"\x81\xff" + struct.pack(">Q", (20 << 20) + (64 << 10) + 1) + b"\0\0\0\0x")
    assert w.closed() == 1009
    w = Socket(s.port)
    try:
        for _ in range(5000):
            w.send(b"a", opcode=1 if _ == 0 else 0, fin=False)
    except OSError:
        pass
    assert w.closed() == 1009
    w = Socket(s.port)
    w.send(struct.pack(">H", 1000) + b"bye", opcode=8)
    assert w.closed() == 1000


def answered(s):
    """A whole turn by text, over fragments."""
    w = Socket(s.port)
    w.event()
    w.send({"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}})
    text = json.dumps({"type": "conversation.item.create", "item": {
        "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Good morning."}]}}).encode()
    for i in range(0, len(text), 7):
        w.send(text[i:i + 7], opcode=0 if i else 1, fin=i + 7 >= len(text))
        if i == 70:
            w.send(b"ping", opcode=9)
    w.send({"type": "response.create"})
    kinds = []
    while not kinds or kinds[-1] != "response.done":
        kinds.append(w.event()["type"])
    assert kinds[0] == "session.updated" and "response.output_text.delta" in kinds, kinds
    return w


def processor(s):
    with open(f"/proc/{s.process.pid}/stat") as f:
        return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def many_idle(s, n):
    """More idle sessions than the engine holds: none of them costs one, requests are served beside them, all stay connected."""
    idle, last = [], time.monotonic()
    for _ in range(n):
        idle.append(Socket(s.port))
        if time.monotonic() - last > 5:  # as pongs: the server gives up whom it has not heard for a minute
            for w in idle:
                w.send(b"", opcode=10)
            last = time.monotonic()
    assert all(w.status == 101 and w.event()["type"] == "session.created" for w in idle)
    assert s.metric("sessions", state="open") <= 1
    body = {"messages": [{"role": "user", "content": "Good morning."}]}
    assert s.ask("POST", "/v1/chat/completions", body)[0] == 200
    before = processor(s)
    time.sleep(1)
    print(f"{n} idle sessions: {processor(s) - before:.2f} s of processor time in a second", file=sys.stderr)
    for w in idle:
        w.send({"type": "response.cancel"})
    assert all(w.event()["type"] == "error" for w in idle)
    for w in idle:
        w.socket.close()


most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
opening()
server = Server(PROGRAM, "--sessions", "2", "--connections", "1100")
wrong_messages(server)
last = answered(server)
many_idle(server, 64)
many_idle(server, min(1000, most // 2 - 100))
descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
for _ in range(100):
    Socket(server.port).socket.close()
until(lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) <= descriptors, "descriptors are not given back")
status, told = server.end()
assert last.closed() == 1001 and status == 143 and not told, (status, told)
