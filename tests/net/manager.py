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
    told.settimeout(120)
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
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=120) as answer:
        assert answer.status == 200
    # A life sign within every 0.4 s: where the machine is late with some, two of a hundred still come that close to each other.
    times = []
    while not any(b - a < 0.4 for a, b in zip(times[1:], times[2:])):
        got.append(told.recv(4096).decode())
        if got[-1] == "WATCHDOG=1":
            times.append(time.monotonic())
        assert len(times) < 100, f"life signs come too seldom: {times}"
    process.send_signal(signal.SIGTERM)
    while "STOPPING=1" not in got:
        got.append(told.recv(4096).decode())
    assert process.wait(120) == 143
    assert process.stdout.read() == ""  # it opened no address of its own
