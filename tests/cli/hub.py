"""A hub for tests on the loopback device: serves folders the way Hugging Face and ModelScope serve repositories.

usage: hub.py LOG FAULTS OWNER/NAME=FOLDER...

Prints the address of the hub. Large files (more than 64 KiB) are "LFS" files and come by redirect from a second address, as
the real hubs' do. FAULTS is a list of words joined by commas:
  drop        connections to large files break after a third of what is left, while that is more than 20000 bytes
  no-range    ranges are not known: every answer is the whole file
  wrong       large files come with one bit turned
  busy        every second request is answered 503
  pages       the tree comes in pages of three files
  token=T     requests without "Authorization: Bearer T" are answered 401
  short       sizes in the list are one byte larger than the files
  climb       the list holds "../../outside"
  bare        the lists hold no hashes
Every request is a line of LOG: address, method, path, range, whether a token came along.

SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import http.server
import json
import os
import re
import sys
import threading
import urllib.parse

LOG, FAULTS = sys.argv[1], set(sys.argv[2].split(","))
REPOS = dict(pair.split("=", 1) for pair in sys.argv[3:])
TOKEN = next((f[6:] for f in FAULTS if f.startswith("token=")), None)
COMMIT = "c0ffee" + "0" * 34
lock = threading.Lock()
requests = 0


def files(repo):
    top = REPOS[repo]
    for folder, _, names in os.walk(top):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), top)


def content(repo, path):
    with open(os.path.join(REPOS[repo], path), "rb") as f:
        return f.read()


def listed(repo, path):
    data = content(repo, path)
    size = len(data) + ("short" in FAULTS)
    entry = {"type": "file", "path": path, "size": size,
             "oid": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
    if "bare" in FAULTS:
        del entry["oid"]
    elif len(data) > 65536:
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 130}
    return entry


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self):
        global requests
        with lock:
            requests += 1
            with open(LOG, "a") as log:
                token = "token" if self.headers.get("Authorization") else "-"
                print(self.server.name, self.command, self.path, self.headers.get("Range", "-"), token, file=log)
            return requests

    def answer(self, code, body=b"", headers=()):
        self.send_response(code)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def json(self, value, headers=()):
        self.answer(200, json.dumps(value).encode(), [("Content-Type", "application/json"), *headers])

    def file(self, data, large):
        asked = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        begin = int(asked[1]) if asked and "no-range" not in FAULTS else 0
        if large and "wrong" in FAULTS:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if begin >= len(data) and begin:
            return self.answer(416)
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        left = len(data) - begin
        if large and "drop" in FAULTS and left > 20000:
            self.wfile.write(data[begin:begin + left // 3])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(data[begin:])

    def tree(self, repo, query):
        entries = [listed(repo, p) for p in sorted(files(repo))]
        if "climb" in FAULTS:
            entries.append({"type": "file", "path": "../../outside", "size": 1, "oid": "0" * 40})
        if "pages" not in FAULTS:
            return self.json(entries)
        at = int(query.get("cursor", ["0"])[0])
        headers = []
        if at + 3 < len(entries):
            here = f"/api/models/{repo}/tree/{COMMIT}?recursive=true&cursor={at + 3}"
            headers = [("Link", f'<{here}>; rel="next"')]
        self.json(entries[at:at + 3], headers)

    def do_GET(self):
        number = self.note()
        url = urllib.parse.urlsplit(self.path)
        query, path = urllib.parse.parse_qs(url.query), urllib.parse.unquote(url.path)
        if self.server.name == "cdn":
            repo, _, name = path[1:].partition("@")
            return self.file(content(repo, name), True)
        if TOKEN and self.headers.get("Authorization") != "Bearer " + TOKEN:
            return self.answer(401, b"no token")
        if "busy" in FAULTS and number % 2:
            return self.answer(503, b"busy")
        for repo in REPOS:
            if path.startswith(f"/api/models/{repo}/revision/"):
                return self.json({"id": repo, "sha": COMMIT})
            if path == f"/api/models/{repo}/tree/{COMMIT}":
                return self.tree(repo, query)
            if path == f"/api/v1/models/{repo}/repo/files":
                return self.json({"Code": 200, "Data": {"Files": [
                    {"Path": p, "Name": os.path.basename(p), "Type": "blob", "Size": len(content(repo, p)),
                     **({} if "bare" in FAULTS else {"Sha256": hashlib.sha256(content(repo, p)).hexdigest()})}
                    for p in sorted(files(repo))]}})
            name = query.get("FilePath", [""])[0]
            prefix = f"/{repo}/resolve/{COMMIT}/"
            if path.startswith(prefix):
                name = path[len(prefix):]
            elif path != f"/api/v1/models/{repo}/repo":
                continue
            if name not in files(repo):
                break
            data = content(repo, name)
            if len(data) <= 65536:
                return self.file(data, False)
            place = f"http://localhost:{cdn.server_port}/{repo}@{urllib.parse.quote(name)}"
            return self.answer(302, b"", [("Location", place), ("X-Linked-Size", str(len(data)))])
        self.answer(404, b"not found")


def serve(name):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.name, server.daemon_threads = name, True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


cdn = serve("cdn")
hub = serve("hub")
print(f"http://127.0.0.1:{hub.server_port}", flush=True)
threading.Event().wait()
