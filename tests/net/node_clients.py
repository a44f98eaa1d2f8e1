"""Runs node_clients.mjs against a server. Usage: node_clients.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import subprocess
import sys

from serving import Server

server = Server(sys.argv[1])
version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
flag = ["--experimental-websocket"] if int(version[1:].split(".")[0]) < 22 else []
subprocess.run(["node", *flag, sys.argv[2] + "/tests/net/node_clients.mjs", server.url], check=True, timeout=600)
server.end()
