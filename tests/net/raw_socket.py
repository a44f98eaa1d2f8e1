"""A WebSocket frame by frame, for tests.
SPDX-License-Identifier: Apache-2.0"""
import json
import socket
import struct

from serving import PATIENCE


class Socket:
    def __init__(self, port, headers="", path="/v1/realtime", source="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n").encode())
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.fill()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        self.status = int(self.head.split()[1])

    def fill(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError(self.data)
        self.data += piece

    def send(self, data, opcode=1, fin=True):
        if isinstance(data, (dict, list)):
            data = json.dumps(data)
        if isinstance(data, str):
            data = data.encode()
        n = len(data)
        head = bytes([opcode | (0x80 if fin else 0)])
        head += bytes([0x80 | n]) if n < 126 else (bytes([0xfe]) + struct.pack(">H", n) if n < 65536 else
                                                   bytes([0xff]) + struct.pack(">Q", n))
        self.socket.sendall(head + b"\0\0\0\0" + data)

    def frame(self):
        """Opcode and payload."""
        while True:
            if len(self.data) >= 2:
                n, at = self.data[1] & 127, 2
                if n == 126 and len(self.data) >= 4:
                    n, at = struct.unpack(">H", self.data[2:4])[0], 4
                elif n == 127 and len(self.data) >= 10:
                    n, at = struct.unpack(">Q", self.data[2:10])[0], 10
                elif n > 125:
                    n = 1 << 62
                if len(self.data) >= at + n:
                    opcode, payload = self.data[0] & 15, self.data[at:at + n]
                    self.data = self.data[at + n:]
                    return opcode, payload
            self.fill()

    def event(self):
        while True:
            opcode, payload = self.frame()
            if opcode == 8:
                raise EOFError(struct.unpack(">H", payload[:2])[0])
            if opcode == 1:
                return json.loads(payload)

    def closed(self):
        """The code it is closed with."""
        try:
            while True:
                self.event()
        except EOFError as e:
            return e.args[0]
