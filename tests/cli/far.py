"""A server of the Realtime protocol that goes wrong as it is told, for the client's tests; no packages.

usage: far.py KIND: nothing (it answers, and no more comes), words (what is no JSON), drop (the connection ends within an answer),
close (a good-bye within it), failed (the answer fails), beta (no settings of ours are known), masked (a frame that no server sends)

Prints its address, serves one connection, and then what it was asked, one event a line.
SPDX-License-Identifier: Apache-2.0"""
import base64
import hashlib
import json
import socket
import struct
import sys

KIND = sys.argv[1]
listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
wire, _ = listener.accept()
head = b""
while b"\r\n\r\n" not in head:
    head += wire.recv(4096)
key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
proof = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
wire.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n")


def frame(first, data):
    length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
    wire.sendall(bytes([first]) + length + data)


def send(kind, **fields):
    frame(0x81, json.dumps({"type": kind, "event_id": "e", **fields}).encode())


def take(n):
    data = b""
    while len(data) < n:
        more = wire.recv(n - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data


def receive():
    """The next event of the client; its good-bye ends the program."""
    while True:
        first, length = take(2)
        length &= 127
        if length == 126:
            length = struct.unpack(">H", take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", take(8))[0]
        mask = take(4)
        data = bytes(c ^ mask[i % 4] for i, c in enumerate(take(length)))
        if first == 0x88:
            sys.exit(0)
        if first == 0x81:
            event = json.loads(data)
            print(event["type"], flush=True)
            return event


if KIND == "masked":
    wire.sendall(b"\x81\x85\x01\x02\x03\x04hello")
elif KIND == "words":
    frame(0x81, b"welcome")
elif KIND != "nothing":
    send("session.created", session={})
while True:
    event = receive()
    if event["type"] == "session.update":
        if KIND == "beta" and "stream_omni" in event["session"]:
            send("error", error={"type": "invalid_request_error", "code": "unknown_parameter", "message": "Unknown parameter.",
                                 "param": "session.stream_omni"})
        else:
            send("session.updated", session={})
    if event["type"] != "response.create":
        continue
    ids = {"response_id": "r1", "item_id": "i1", "output_index": 0, "content_index": 0}
    item = "conversation.item.input_audio_transcription."
    for delta in ("What ", "is it?"):
        send(item + "delta", item_id="u1", content_index=0, delta=delta)
    send(item + "completed", item_id="u1", content_index=0, transcript="What is it?")
    send("response.created", response={"id": "r1", "status": "in_progress"})
    send("response.output_audio_transcript.delta", **ids, delta="It is ")
    send("response.output_audio.delta", **{**ids, "response_id": "r0"}, delta=base64.b64encode(bytes(4800)).decode())
    send("response.output_audio.delta", **ids, delta=base64.b64encode(bytes(9600)).decode())
    if KIND == "drop":
        wire.close()
        break
    if KIND == "close":
        frame(0x88, struct.pack(">H", 1001) + b"the server goes down")
        break
    send("response.output_audio_transcript.delta", **ids, delta="a star.")
    if KIND == "failed":
        send("error", error={"type": "server_error", "code": "server_error", "message": "the engine failed", "param": None})
    send("response.done", response={"id": "r1", "status": "failed" if KIND == "failed" else "completed",
                                    "usage": {"input_tokens": 9, "output_token_details": {"text_tokens": 5, "audio_tokens": 5}}})
