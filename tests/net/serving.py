"""A server of ours for a test: started on a free port, ended with it.
SPDX-License-Identifier: Apache-2.0"""
import http.client
import json
import signal
import subprocess
import sys
import time


class Server:
    def __init__(self, program, *options, env=None):
        self.process = subprocess.Popen([program, "serve", "--port", "0", "--threads", "1", *options], env=env,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        while True:
            line = self.process.stdout.readline().strip()
            if not line:
                sys.exit("the server did not start: " + self.process.stderr.read())
            self.lines.append(line)
            if line.startswith(("http://", "https://")):
                break
        self.url = line
        self.port = int(line.rsplit(":", 1)[1])
        for _ in range(200):
            if self.ask("GET", "/health")[0] == 200:
                return
            time.sleep(0.05)
        sys.exit("the model was not loaded in ten seconds")

    def ask(self, method, path, body=None, headers=None):
        """Status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), data

    def metric(self, name, headers=None, **labels):
        if labels:
            name += "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}"
        for line in self.ask("GET", "/metrics", headers=headers)[2].decode().split("\n"):
            if line.startswith(f"streamomni_{name} "):
                return float(line.split()[1])
        sys.exit("no metric " + name)

    def end(self, number=signal.SIGTERM):
        """Ends it; gives the exit status and what it wrote to stderr."""
        self.process.send_signal(number)
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, told
