"""Holds the WebSocket reader against the websockets package: messages that it accepts, that one must accept; it may refuse more.
Usage: ws_compare.py VERDICT_PROGRAM [STREAMS]
SPDX-License-Identifier: Apache-2.0"""
import logging
import random
import struct
import subprocess
import sys

from websockets.frames import OP_BINARY, OP_CLOSE, OP_CONT, OP_TEXT
from websockets.protocol import SERVER, Protocol

MOST = 4096
logging.disable(logging.CRITICAL)


def frame(r, opcode, payload, fin=True):
    n = len(payload)
    if n < 126 and r.random() < 0.97:
        size = bytes([0x80 | n])
    elif n < 65536 and r.random() < 0.97:
        size = b"\xfe" + struct.pack(">H", n)
    else:
        size = b"\xff" + struct.pack(">Q", n)
    mask = r.randbytes(4)
    return bytes([opcode | (0x80 if fin else 0)]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def payload(r, text):
    if not text:
        return r.randbytes(r.choice([0, 1, 5, 125, 126, 130, 1000]))
    return "".join(r.choice("ab é漢\U0001f600") for _ in range(r.choice([0, 1, 5, 40, 125]))).encode()


def stream(r):
    data = b""
    for _ in range(r.randint(1, 6)):
        kind = r.randrange(10)
        text = r.random() < 0.5
        if kind < 5:
            data += frame(r, OP_TEXT if text else OP_BINARY, payload(r, text))
        elif kind < 8:
            whole = payload(r, text)
            cuts = sorted(r.randrange(len(whole) + 1) for _ in range(r.randint(0, 3)))
            pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)])]
            for i, p in enumerate(pieces):
                data += frame(r, OP_CONT if i else (OP_TEXT if text else OP_BINARY), p, i == len(pieces) - 1)
                if r.random() < 0.2:
                    data += frame(r, r.choice([9, 10]), r.randbytes(r.randrange(126)))
        elif kind == 8:
            data += frame(r, OP_CLOSE, r.choice([b"", struct.pack(">H", r.choice([999, 1000, 1001, 1004, 1005, 1006, 1011, 2999, 3000, 4999, 5000])) + b"bye"]))
        else:
            data += frame(r, r.randrange(16), payload(r, False)[:126])
    for _ in range(r.choice([0, 0, 1, 2])):  # damage
        at = r.randrange(len(data))
        data = r.choice([data[:at] + r.randbytes(1) + data[at + 1:], data[:at] + data[at + r.randint(1, 3):], data[:at] + r.randbytes(2) + data[at:],
                         data[:at]])
        if not data:
            break
    return data


def verdict(data):
    """Messages, and how it ended: refused, closed, open."""
    p = Protocol(SERVER, max_size=MOST)
    told, parts, kind = [], b"", None
    p.receive_data(data)
    for f in p.events_received():
        if f.opcode in (OP_TEXT, OP_BINARY):
            kind, parts = f.opcode, bytes(f.data)
        elif f.opcode == OP_CONT:
            parts += bytes(f.data)
        else:
            continue
        if len(parts) > MOST:
            return told, "refused"
        if f.fin:
            if kind == OP_TEXT:
                try:
                    parts.decode()
                except UnicodeDecodeError:
                    return told, "refused"
            told.append(f"{'t' if kind == OP_TEXT else 'b'}{len(parts)}:{sum(parts)}")
    if isinstance(p.parser_exc, UnicodeDecodeError):
        return told, "closed"  # by a close whose reason is no text; here nobody reads reasons
    if p.parser_exc is not None:
        return told, "refused"
    return told, "closed" if p.close_rcvd is not None else "open"


def main():
    r = random.Random(2)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    streams = [stream(r) for _ in range(count)]
    # Once as they are, once with what is no frame behind: theirs refuses a frame by its first two bytes, ours when its head is whole.
    lines, ended = (subprocess.run([sys.argv[1]], input=b"".join(struct.pack(">I", len(s) + len(tail)) + s + tail for s in streams),
                                   stdout=subprocess.PIPE, check=True).stdout.decode().splitlines() for tail in (b"", bytes(14)))
    assert len(lines) == len(ended) == count
    same = less = 0
    for data, line, later in zip(streams, lines, ended):
        *messages, end = line.split()
        if end == "open" and verdict(data)[1] == "refused" and later.split() == [*messages, "refused"]:
            end = "refused"
        theirs, their_end = verdict(data)
        if (messages, end) == (theirs, their_end):
            same += 1
        elif end == "refused" and messages == theirs[:len(messages)]:
            less += 1
        else:
            sys.exit(f"here {messages} {end}, there {theirs} {their_end}: {data!r}")
    if same < count // 2:
        sys.exit(f"only {same} of {count} the same: this compares nothing")
    print(f"{count} streams: {same} read alike, {less} refused here earlier")


main()
