"""A server of ours for a test: started on a free port, ended with it; and waiting for what must come.
SPDX-License-Identifier: Apache-2.0"""
import atexit
import http.client
import json
import signal
import socket
import subprocess
import sys
import time


# Seconds after which a test says that something never came: so many that a machine with ten times too much to do still brings it.
PATIENCE = 300


def until(what, why, limit=PATIENCE):
    """Waits until what() is true; `why` says what it never was, and may be a function that looks at the state then."""
    end = time.monotonic() + limit
    while not (found := what()):
        if time.monotonic() > end:
            sys.exit(f"after {limit} s: {why() if callable(why) else why}")
        time.sleep(0.02)
    return found


def reserve():
    """A port that nobody else gets as long as what is returned first is kept: bound, not listened at. For programs that must be told
    their port, or that come back to it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]


class Server:
    def __init__(self, program, *options, env=None):
        self.process = subprocess.Popen([program, "serve", "--port", "0", "--threads", "1", *options], env=env,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)  # whatever becomes of the test
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
        until(lambda: self.ask("GET", "/health")[0] == 200, "the model is not loaded")

    def ask(self, method, path, body=None, headers=None):
        """Status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
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
        _, told = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, told
