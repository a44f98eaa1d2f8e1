"""Kept conversations: what is put is found, told, exported, deleted; each key sees its own; limits; nothing that a client was
told is kept is lost when the server is killed. Needs nothing but Python. Usage: history.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import base64
import json
import os
import random
import signal
import stat
import sys
import tempfile
import threading
import time

from serving import Server, until

PROGRAM, ROOT = sys.argv[1:3]
with open(ROOT + "/examples/question.wav", "rb") as f:
    WAV = f.read()
with open(ROOT + "/examples/table.png", "rb") as f:
    PICTURE = f.read()
HISTORY = "/v1/history"


def expect(answer, status, *words):
    assert answer[0] == status and all(w in answer[2].decode() for w in words), (answer, status, words)
    return answer


def blob(kind, data):
    return {"type": kind, "data": base64.b64encode(data).decode()}


def asked(s, path, status=200, headers=None):
    return json.loads(expect(s.ask("GET", HISTORY + path, headers=headers), status)[2])


def keep(s, conversation, item, fields, status=200, headers=None):
    return expect(s.ask("PUT", f"{HISTORY}/{conversation}/{item}", fields, headers), status)


def kept_and_found(s):
    keep(s, "talk-1", "item_1", {"role": "user", "text": "What shape is the red object?", "made_ms": 1000,
                                 "blobs": [blob("audio/wav", WAV), blob("image/png", PICTURE)]})
    told = json.loads(keep(s, "talk-1", "item_2", {"role": "assistant", "text": "It is a star.", "made_ms": 2000})[2])
    assert told == {"conversation": "talk-1", "id": "item_2", "kept": True}, told
    keep(s, "talk-2", "item_1", {"role": "user", "text": "早上好", "made_ms": 3000})
    listed = asked(s, "")["data"]
    assert [(c["id"], c["items"], c["title"]) for c in listed] == [
        ("talk-2", 1, "早上好"), ("talk-1", 2, "What shape is the red object?")], listed
    assert [c["id"] for c in asked(s, "?limit=1")["data"]] == ["talk-2"]
    assert [c["id"] for c in asked(s, "?before=3000")["data"]] == ["talk-1"]
    for words, found in (("star", ["item_2"]), ("red%20shape", ["item_1"]), ("%E6%97%A9%E4%B8%8A", ["item_1"]), ("moon", [])):
        assert [i["id"] for i in asked(s, "?q=" + words)["data"]] == found, words
    # with its pictures and sounds, one by one and all in one
    talk = asked(s, "/talk-1")
    first = talk["items"][0]
    assert [b["type"] for b in first["blobs"]] == ["audio/wav", "image/png"] and "data" not in first["blobs"][0]
    status, fields, data = s.ask("GET", f"{HISTORY}/talk-1/blobs/{first['blobs'][0]['number']}")
    assert status == 200 and data == WAV and fields["Content-Type"] == "audio/wav"
    assert "sandbox" in fields["Content-Security-Policy"] and fields["X-Content-Type-Options"] == "nosniff"
    exported = asked(s, "/talk-1?whole=1")
    assert base64.b64decode(exported["items"][0]["blobs"][1]["data"]) == PICTURE
    # an interruption: fewer words, heard so far; the sound stays
    keep(s, "talk-1", "item_2", {"role": "assistant", "text": "It is", "made_ms": 2000, "heard_ms": 300})
    assert asked(s, "/talk-1")["items"][1]["heard_ms"] == 300
    expect(s.ask("DELETE", HISTORY + "/talk-1/item_1"), 200, '"deleted":true')
    assert [i["id"] for i in asked(s, "/talk-1")["items"]] == ["item_2"]
    expect(s.ask("DELETE", HISTORY + "/talk-1"), 200)
    asked(s, "/talk-1", 404)
    expect(s.ask("DELETE", HISTORY + "/talk-1"), 404, "not_found")
    expect(s.ask("DELETE", HISTORY), 200)
    assert asked(s, "")["data"] == []
    assert "PUT" in s.ask("POST", HISTORY + "/a/b", {})[1]["Allow"]


def refused(s):
    good = {"role": "user", "text": "x"}
    for fields, why in (({"text": "x"}, "role"), ({"role": "robot", "text": "x"}, "role"), ({"role": "user"}, "text"),
                        ({**good, "made_ms": "now"}, "made_ms"), ({**good, "heard_ms": 1.5}, "heard_ms"),
                        ({**good, "colour": 1}, "colour"), ({**good, "text": "x" * ((1 << 20) + 1)}, "text"),
                        ({**good, "blobs": 3}, "blobs"), ({**good, "blobs": [blob("audio/wav", b"")] * 17}, "blobs"),
                        ({**good, "blobs": [blob("text/html", b"<script>")]}, "blobs"),
                        ({**good, "blobs": [{"type": "audio/wav", "data": "?"}]}, "blobs")):
        assert json.loads(keep(s, "a", "b", fields, 400)[2])["error"]["param"] == why, fields
    for path in ("/a%2fb/c", "/" + "a" * 64 + "/c", "/a/" + "c" * 64, "/a/b/c", "/a/blobs/x", "/a/b%20c"):
        assert s.ask("PUT", HISTORY + path, good)[0] in (400, 404), path
    expect(s.ask("GET", HISTORY + "/a/blobs/77"), 404)
    expect(s.ask("GET", HISTORY + "?limit=many"), 400, "limit")
    expect(s.ask("GET", HISTORY + "?q=" + "a" * 300), 400, '"q"')
    expect(s.ask("PUT", HISTORY + "/a/b", json.dumps(good)), 415)
    expect(s.ask("PUT", HISTORY + "/a/b", good, {"Origin": "https://evil.example"}), 403)
    expect(s.ask("DELETE", HISTORY, headers={"Origin": "https://evil.example"}), 403)
    assert asked(s, "")["data"] == []


def everybody_his_own(place):
    keys = place + "/keys"
    with open(keys, "w") as f:
        f.write("ann:sk-ann\nbob:sk-bob\n")
    s = Server(PROGRAM, "--history", place + "/two.db", "--api-key-file", keys)
    ann, bob = ({"Authorization": "Bearer sk-" + name} for name in ("ann", "bob"))
    expect(s.ask("GET", HISTORY), 401)
    keep(s, "c", "1", {"role": "user", "text": "Of ann alone.", "blobs": [blob("audio/wav", b"RIFF")]}, headers=ann)
    number = asked(s, "/c", headers=ann)["items"][0]["blobs"][0]["number"]
    for path in ("", "?q=alone"):
        assert asked(s, path, headers=bob)["data"] == []
    asked(s, "/c", 404, bob)
    expect(s.ask("GET", f"{HISTORY}/c/blobs/{number}", headers=bob), 404)
    expect(s.ask("DELETE", HISTORY + "/c", headers=bob), 404)
    keep(s, "c", "1", {"role": "user", "text": "Of bob."}, headers=bob)
    expect(s.ask("DELETE", HISTORY, headers=bob), 200)
    assert asked(s, "/c", headers=ann)["items"][0]["text"] == "Of ann alone."
    s.end()


def full(place):
    s = Server(PROGRAM, "--history", place + "/small.db", "--history-megabytes", "1")
    sound = {"role": "user", "text": "x", "blobs": [blob("audio/wav", bytes(600_000))]}
    keep(s, "c", "1", sound)
    expect(s.ask("PUT", HISTORY + "/c/2", sound), 507, "history_full")
    expect(s.ask("DELETE", HISTORY), 200)
    keep(s, "c", "3", sound)
    s.end()


def killed(place):
    """Items are put by several clients; at some moment the server is killed. What it said is kept is there."""
    file, told, r = place + "/killed.db", set(), random.Random(1)

    def put(s, run, k):
        try:
            for i in range(10_000):
                name = f"{run}-{k}-{i}"
                if s.ask("PUT", f"{HISTORY}/c{k}/{name}", {"role": "user", "text": name, "blobs": [blob("audio/wav", WAV[:9000])]})[0] == 200:
                    told.add((f"c{k}", name))
        except (OSError, EOFError, __import__("http").client.HTTPException):
            pass

    for run in range(4):
        s = Server(PROGRAM, "--history", file)
        for conversation in {c for c, _ in told}:
            here = {i["id"] for i in asked(s, "/" + conversation)["items"] if len(i["blobs"]) == 1}
            lost = {name for c, name in told if c == conversation} - here
            assert not lost, lost
        threads = [threading.Thread(target=put, args=(s, run, k)) for k in range(3)]
        for t in threads:
            t.start()
        before = len(told)
        until(lambda: len(told) >= before + 5, lambda: f"{len(told)} items are kept")
        time.sleep(r.random() * 0.1)
        s.process.kill()
        s.process.communicate()
        for t in threads:
            t.join()
    print(f"{len(told)} items told as kept, 4 kills, none lost", file=sys.stderr)


with tempfile.TemporaryDirectory() as place:
    file = place + "/history.db"
    server = Server(PROGRAM, "--history", file, "--log", place + "/log")
    assert json.loads(server.ask("GET", "/props")[2])["history"] is True
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    kept_and_found(server)
    refused(server)
    status, told = server.end(signal.SIGTERM)
    assert status == 143 and not told, (status, told)
    with open(place + "/log") as f:
        assert "star" not in f.read()
    everybody_his_own(place)
    full(place)
    killed(place)
    server = Server(PROGRAM)
    expect(server.ask("GET", HISTORY), 404, "history_off")
    assert json.loads(server.ask("GET", "/props")[2])["history"] is False
    server.end()
