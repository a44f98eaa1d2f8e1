#!/usr/bin/env python3
"""A stand-in for a judge: answers POST /v1/chat/completions as OpenAI's API does, sometimes badly.

Prints its port, and at the end of standard input how often it was asked. The first request is refused with 429, the second with
500. What it says depends on the answer to be judged: {"score": 4}, nonsense, nonsense first and a score then, nothing.
SPDX-License-Identifier: Apache-2.0"""
import http.server, json, sys, threading

asked, seen = [0], {}

class Judge(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked[0] += 1
        if asked[0] <= 2:
            self.send_response(429 if asked[0] == 1 else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        prompt = body["messages"][0]["content"]
        n = seen[prompt] = seen.get(prompt, 0) + 1
        text = ("I cannot say." if "nonsense" in prompt or ("later" in prompt and n == 1) else
                "" if "nothing" in prompt else "{score: 2}" if "poor" in prompt else "```json\n{\"score\": 4}\n```")
        reply = b"<html>" if "broken" in prompt else json.dumps({"choices": [{"message": {"content": text}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)
    def log_message(self, *a): pass

server = http.server.HTTPServer(("127.0.0.1", 0), Judge)
threading.Thread(target=server.serve_forever, daemon=True).start()
open(sys.argv[1] + ".tmp", "w").write(str(server.server_port))
import os
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
sys.stdin.read()
print("asked", asked[0])
