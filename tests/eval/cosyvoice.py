#!/usr/bin/env python3
"""A stand-in for CosyVoice's FastAPI server: /inference_sft with form fields tts_text and spk_id, raw 16-bit samples as the answer.

Writes its port to a file, and at the end of standard input tells what it was asked. What it does depends on the speaker: a tone of
44,100 samples, or one of the mistakes below. Under /old it knows GET only.
SPDX-License-Identifier: Apache-2.0"""
import http.server, math, os, struct, sys, threading, urllib.parse

tone = b"".join(struct.pack("<h", int(9000 * math.sin(i / 20))) for i in range(44100))
seen, lock = [], threading.Lock()

class Server(http.server.BaseHTTPRequestHandler):
    def answer(self, code, body, length=None):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
    def ask(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = urllib.parse.parse_qs(body.decode(), strict_parsing=True)
        if self.command == "POST" and self.path.startswith("/old"):
            return self.answer(405, b"")
        if not self.path.endswith("/inference_sft") or self.headers["Content-Type"] != "application/x-www-form-urlencoded":
            return self.answer(404, b"")
        who = form["spk_id"][0]
        with lock:
            seen.append((self.command, who, form["tts_text"][0]))
            again = sum(s[1] == who for s in seen) > 1
        if who == "html": return self.answer(200, b"<!DOCTYPE html><html>Bad gateway</html>")
        if who == "odd": return self.answer(200, tone[:-1])
        if who == "empty": return self.answer(200, b"")
        if who == "file": return self.answer(200, b"RIFF" + tone)
        if who == "refused": return self.answer(422, b"{}")
        if who == "cut": return self.answer(200, tone[:1000], 2000)
        if who == "long": return self.answer(200, tone * 40)
        if who == "silent": return self.answer(200, bytes(2000))
        if who == "once" and not again: return self.answer(500, b"")
        self.send_response(200)  # as a stream: no length
        self.end_headers()
        for i in range(0, len(tone), 8001): self.wfile.write(tone[i:i + 8001])
    do_GET = do_POST = ask
    def log_message(self, *a): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
open(sys.argv[1] + ".tmp", "w").write(str(server.server_port))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
sys.stdin.read()
for command, who, text in seen: print(command, who, text)
