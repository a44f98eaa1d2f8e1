"""Holds the HTTP parsers against h11: what they accept, h11 must accept, with the same method, target, body and rest.
They may refuse more. Usage: h11_compare.py VERDICT_PROGRAM [REQUESTS]
SPDX-License-Identifier: Apache-2.0"""
import random
import struct
import subprocess
import sys

import h11

SEEDS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/models?x=%20 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /",
    b"POST /a HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nX-Y: z w\r\n\r\nhelloGET",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nrest",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
]
PIECES = [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"\x7f", b"\xc3\xa9", b"0", b"1", b"Host: b\r\n",
          b"Content-Length: 3\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
          b"Transfer-Encoding: identity\r\n", b"transfer-encoding: Chunked\r\n", b" folded\r\n", b";ext=1", b"+5", b"0x5",
          b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"/", b"//", b"#", b"?", b"GET ", b"\r\n\r\n", b",", b"-"]


def mutate(random_, text):
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(len(text) + 1)
        kind = random_.randrange(4)
        if kind == 0:
            text = text[:at] + random_.choice(PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + random_.randint(1, 4):]
        elif kind == 2:
            text = text[:at] + bytes([random_.randrange(256)]) + text[at + 1:]
        else:
            lines = text.split(b"\r\n")
            lines.insert(random_.randrange(len(lines)), random_.choice(lines))
            text = b"\r\n".join(lines)
    return text


def verdict(text):
    """(method, target, body length, rest) of h11, or None when it refuses or wants more."""
    connection = h11.Connection(h11.SERVER)
    body = 0
    try:
        connection.receive_data(text)
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            return None
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                body += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return request.method, request.target, body, len(connection.trailing_data[0])
            elif event is h11.PAUSED:
                return None
            else:
                return None
    except h11.RemoteProtocolError:
        return None


def main():
    random_ = random.Random(1)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    texts = SEEDS + [mutate(random_, random_.choice(SEEDS)) for _ in range(count)]
    told = subprocess.run([sys.argv[1]], input=b"".join(struct.pack(">I", len(t)) + t for t in texts),
                          stdout=subprocess.PIPE, check=True).stdout.split(b"\n")
    accepted = more = 0
    for text, line in zip(texts, told):
        theirs = verdict(text)
        if line.startswith(b"accept "):
            _, method, target, body, rest = line.split(b" ")
            accepted += 1
            if theirs != (method, target, int(body), int(rest)):
                sys.exit(f"accepted here, not by h11 ({theirs}): {text!r}: {line!r}")
        elif theirs:
            more += 1
    if accepted < count // 20:
        sys.exit(f"only {accepted} of {count} accepted: this compares nothing")
    print(f"{len(texts)} requests: {accepted} accepted by both, {more} by h11 alone")


main()
