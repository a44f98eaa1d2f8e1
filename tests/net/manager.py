"""A service manager's side: the socket is open already, readiness, life signs and the end are told.
Usage: manager.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

with tempfile.TemporaryDirectory() as place:
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(place + "/notify")
    told.settimeout(20)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    environment = {**os.environ, "NOTIFY_SOCKET": place + "/notify", "LISTEN_FDS": "1", "WATCHDOG_USEC": "400000"}
    environment.pop("WATCHDOG_PID", None)
    fd = listener.fileno()
    process = subprocess.Popen(["sh", "-c", f'exec 3<&{fd}; LISTEN_PID=$$ exec "$0" serve --threads 1', sys.argv[1]],
                               env=environment, pass_fds=[fd], stdout=subprocess.PIPE, text=True)
    listener.close()
    got = []
    while not any("READY=1" in x for x in got):
        got.append(told.recv(4096).decode())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20) as answer:
        assert answer.status == 200
    since = time.time()
    while sum(x == "WATCHDOG=1" for x in got) < 4:
        got.append(told.recv(4096).decode())
    assert time.time() - since < 5
    process.send_signal(signal.SIGTERM)
    while "STOPPING=1" not in got:
        got.append(told.recv(4096).decode())
    assert process.wait(20) == 143
    assert process.stdout.read() == ""  # it opened no address of its own
