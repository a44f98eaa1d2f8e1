"""Runs examples/openai_client.py with a server, and looks at what it prints and writes. Usage: example.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import os
import subprocess
import sys
import tempfile
import wave

from serving import Server

PROGRAM, ROOT = sys.argv[1], sys.argv[2]
server = Server(PROGRAM)
with tempfile.TemporaryDirectory() as folder:
    answer = os.path.join(folder, "answer.wav")
    said = subprocess.run([sys.executable, ROOT + "/examples/openai_client.py", server.url, ROOT + "/examples/table.png",
                           ROOT + "/examples/question.wav", answer], capture_output=True, text=True, timeout=600)
    lines = said.stdout.split("\n")
    if said.returncode or len(lines) != 3 or "star" not in lines[0] or "red" not in lines[1]:
        sys.exit(f"{said.stdout}{said.stderr}")
    with wave.open(answer) as sound:
        assert sound.getframerate() == 24000 and sound.getnframes() > 24000
server.end()
