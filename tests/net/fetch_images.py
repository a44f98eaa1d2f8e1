"""Pictures named by https: addresses (serve --fetch-images), in a network of its own whose only hosts are here: one that
counts as public, and this machine. Usage: fetch_images.py PROGRAM CHECKOUT, below unshare -mn
SPDX-License-Identifier: Apache-2.0"""
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

from serving import Server, until

PUBLIC = "93.184.216.34"
with open(sys.argv[2] + "/examples/table.png", "rb") as f:
    PICTURE = f.read()
SLOW = []  # requests for the picture that takes too long
REACHED = []  # at addresses that nothing may be fetched from


def check(good, what):
    if not good:
        sys.exit("not so: " + what)


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def network():
    """A folder in memory with names and an authority, laid over the system's."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "addr", "add", PUBLIC + "/32", "dev", "lo")
    run("ip", "addr", "add", "169.254.169.254/32", "dev", "lo")
    run("mount", "-t", "tmpfs", "none", "/mnt")
    with open("/mnt/hosts", "w", encoding="ascii") as f:
        f.write(f"127.0.0.1 localhost inside.example\n{PUBLIC} pictures.example\n169.254.169.254 metadata.example\n")
    names = "DNS:pictures.example,DNS:inside.example,DNS:metadata.example,DNS:localhost,IP:127.0.0.1"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pictures.example",
        "-addext", "subjectAltName=" + names, "-keyout", "/mnt/key", "-out", "/mnt/cert")
    run("mount", "--bind", "/mnt/hosts", "/etc/hosts")
    run("mount", "--bind", "/mnt/cert", "/etc/ssl/certs/ca-certificates.crt")


class Pictures(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def give(self, status, body=b"", **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        to = {"/in": "https://inside.example/", "/plain": "http://pictures.example/table.png", "/round": "/round",
              "/number": "https://127.0.0.1/", "/metadata": "https://metadata.example/latest/", "/moved": "/table.png"}
        if self.path in to:
            self.give(302, Location=to[self.path])
        elif self.path == "/table.png":
            self.give(200, PICTURE)
        elif self.path == "/page":
            self.give(200, b"<html>no picture</html>")
        elif self.path == "/large":
            self.give(200, PICTURE + bytes(11 << 20))
        elif self.path == "/slow":
            SLOW.append(self.client_address)
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(300):
                    self.wfile.write(b"x")
                    time.sleep(0.1)
            except OSError:
                pass
        else:
            self.give(404)


def serve_pictures():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/mnt/cert", "/mnt/key")
    server = http.server.ThreadingHTTPServer((PUBLIC, 443), Pictures)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()


def count_inside():
    def accept(listener):
        while True:
            REACHED.append(listener.accept()[1])
    for address in "127.0.0.1", "169.254.169.254":
        listener = socket.create_server((address, 443))
        threading.Thread(target=accept, args=(listener,), daemon=True).start()


def ask(server, url):
    status, _, body = server.ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "How many things are there?"}]}]})
    return status, json.loads(body)


def main():
    network()
    serve_pictures()
    count_inside()
    server = Server(sys.argv[1], "--fetch-images", "--drain-seconds", "1", env={**os.environ, "https_proxy": "http://127.0.0.1:443"})
    right = ask(server, "data:image/png;base64," + __import__("base64").b64encode(PICTURE).decode())
    for url in "https://pictures.example/table.png", "HTTPS://pictures.example/moved":
        status, answer = ask(server, url)
        check(status == 200, f"{url} is fetched: {status} {answer}")
        check(answer["choices"][0]["message"]["content"] == right[1]["choices"][0]["message"]["content"],
              "it is seen as the same bytes sent by the client are")
    refused = {"https://inside.example/": "public network", "https://127.0.0.1/": "public network",
               "https://2130706433/": "public network", "https://0x7f.1/": "public network",
               "https://[::1]/": "public network", "https://[::ffff:127.0.0.1]/": "public network",
               "https://metadata.example/latest/": "public network", "https://pictures.example/in": "public network",
               "https://pictures.example/number": "public network", "https://pictures.example/metadata": "public network",
               "https://pictures.example/plain": "", "https://pictures.example/round": "", "https://none.example/": "",
               "https://pictures.example/page": "cannot be read", "https://pictures.example/large": "above",
               "https://pictures.example/none": "404", "http://pictures.example/table.png": "https:",
               "file:///etc/hostname": "https:", "ftp://pictures.example/": "https:"}
    for url, why in refused.items():
        status, answer = ask(server, url)
        check(status == 400 and answer["error"]["param"] and why in answer["error"]["message"],
              f"{url} is refused ({why}): {status} {answer}")
    check(not REACHED, f"nothing was fetched from inside: {REACHED}")

    # The pictures are given up after ten seconds: a machine that takes longer than that for one word is given another try.
    for tries in range(5):
        SLOW.clear()
        late = []
        slow = [threading.Thread(target=lambda: late.append(ask(server, "https://pictures.example/slow"))) for _ in range(4)]
        for t in slow:
            t.start()
        until(lambda: len(SLOW) == 4, lambda: f"{len(SLOW)} of 4 pictures are asked for")
        status, _, _ = server.ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello."}]})
        others = status == 200 and not late
        for t in slow:
            t.join()
        if others:
            break
    check(others, "others are answered while pictures are waited for")
    check([s for s, _ in late] == [400] * 4, f"a picture that takes too long is given up: {late}")

    SLOW.clear()

    def lost():
        try:
            ask(server, "https://pictures.example/slow")
        except (OSError, http.client.HTTPException, ValueError):
            pass
    threading.Thread(target=lost, daemon=True).start()
    until(lambda: len(SLOW) == 1, "the last picture is not asked for")
    code, told = server.end()
    check(code in (0, 143), f"the server ends while one is fetched: {code} {told}")


main()
