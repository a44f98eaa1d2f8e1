"""Clients of every kind at random, good and bad, for a while: the server lives, its memory and descriptors are flat, no
session stays taken. Usage: soak.py PROGRAM CHECKOUT [SECONDS]
SPDX-License-Identifier: Apache-2.0"""
import base64
import json
import os
import random
import socket
import struct
import sys
import threading
import time

from serving import Server, until

SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 20
with open(sys.argv[2] + "/examples/question.wav", "rb") as f:
    WAV = f.read()
with open(sys.argv[2] + "/examples/table.png", "rb") as f:
    PICTURE = "data:image/png;base64," + base64.b64encode(f.read()).decode()
DONE = {}


def post(path, body, kind="application/json"):
    if isinstance(body, dict):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def form():
    return (b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"q.wav\"\r\n\r\n" + WAV + b"\r\n--b--\r\n")


CHAT = {"messages": [{"role": "user", "content": "Good morning."}]}
SOUND = {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {
    "data": base64.b64encode(WAV).decode(), "format": "wav"}}]}], "stream": True, "modalities": ["text", "audio"],
    "audio": {"voice": "a", "format": "pcm16"}}
REQUESTS = [post("/v1/chat/completions", CHAT), post("/v1/chat/completions", {**CHAT, "stream": True}),
            post("/v1/chat/completions", SOUND), post("/v1/audio/speech", {"input": "The cup is red.", "response_format": "opus"}),
            post("/v1/audio/transcriptions", form(), "multipart/form-data; boundary=b"), b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            post("/v1/chat/completions", "{" * 1000)]
UPGRADE = (b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


def frame(data, opcode=1):
    data = json.dumps(data).encode() if isinstance(data, dict) else data
    n = len(data)
    size = bytes([0x80 | n]) if n < 126 else bytes([0xfe]) + struct.pack(">H", n)
    return bytes([0x80 | opcode]) + size + b"\0\0\0\0" + data


def events(r):
    """A realtime client's life: speech, text, cancels, nonsense, in any order."""
    for _ in range(r.randint(1, 12)):
        kind = r.randrange(8)
        if kind == 0:
            at = r.randrange(len(WAV) - 2000) // 2 * 2
            yield frame({"type": "input_audio_buffer.append", "audio": base64.b64encode(WAV[at:at + 1920]).decode()})
        elif kind == 1:
            yield frame({"type": "input_audio_buffer.commit"})
        elif kind == 2:
            yield frame({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Good morning."}]}})
        elif kind == 3:
            yield frame({"type": "response.create"})
        elif kind == 4:
            yield frame({"type": "response.cancel"})
        elif kind == 5:
            yield frame({"type": "session.update", "session": {"output_modalities": [r.choice(["text", "audio"])]}})
        elif kind == 6:
            yield frame({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [
                {"type": "input_image", "image_url": r.choice([PICTURE, PICTURE[:400], "data:image/png;base64,AAAA"])}]}})
        else:
            yield frame(r.randbytes(r.randrange(100)), r.choice([1, 2, 9, 10]))


def one(port, r):
    c = socket.create_connection(("127.0.0.1", port), 20)
    c.settimeout(20)
    kind = r.randrange(6)
    try:
        if kind == 0:
            c.sendall(r.randbytes(r.randrange(1, 3000)))
        elif kind == 1:
            c.sendall(UPGRADE)
            for data in events(r):
                c.sendall(data)
                if r.random() < 0.3:
                    time.sleep(r.random() * 0.1)
        else:
            request = r.choice(REQUESTS)
            if r.random() < 0.3:  # damaged
                at = r.randrange(len(request))
                request = request[:at] + r.randbytes(1) + request[at + 1:]
            if r.random() < 0.3:  # broken off
                request = request[:r.randrange(len(request))]
            c.sendall(request)
        end = r.randrange(4)
        if end == 1:
            time.sleep(r.random() * 0.3)
        elif end == 2:
            c.recv(r.randrange(1, 5000))
        elif end == 3:
            c.settimeout(1)
            while c.recv(65536):
                pass
    except OSError:
        pass
    if r.random() < 0.3:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not closed
    c.close()
    DONE[kind] = DONE.get(kind, 0) + 1


def clients(port, until, seed):
    r = random.Random(seed)
    while time.time() < until:
        one(port, r)


def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        return int([line for line in f if line.startswith("VmRSS")][0].split()[1]) / 1024


def run(server, seconds, seed):
    threads = [threading.Thread(target=clients, args=(server.port, time.time() + seconds, seed + i)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    until(lambda: server.metric("sessions", state="open") == 0 and server.metric("connections", kind="http") <= 1,
          lambda: f"{server.metric('sessions', state='open')} sessions and {server.metric('connections', kind='http')} connections stay")


server = Server(sys.argv[1], "--sessions", "4", "--waiting", "16")
run(server, SECONDS / 2, 1)  # all that is ever taken is taken
before, files = memory(server.process.pid), len(os.listdir(f"/proc/{server.process.pid}/fd"))
run(server, SECONDS / 2, 100)
after = memory(server.process.pid)
print(f"{sum(DONE.values())} clients; {before:.0f} MB, then {after:.0f} MB", file=sys.stderr)
# Five in a hundred is what a long run must keep; a short one has not taken all that it ever takes when its half is over.
assert after < before * (1.05 if SECONDS >= 300 else 1.15) + (0 if SECONDS >= 300 else 8), (before, after)
assert len(os.listdir(f"/proc/{server.process.pid}/fd")) <= files + 1
assert server.ask("POST", "/v1/chat/completions", CHAT)[0] == 200
status, told = server.end()
assert status == 143 and not told, (status, told)
