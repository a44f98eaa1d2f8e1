"""The page in headless Firefox, by WebDriver BiDi: it loads without an error, is connected, asks in writing and shows the answer,
takes a picture, is told in Chinese. Where the machine has no sound, Firefox plays none: what is heard is left to Chromium's test.
Usage: firefox.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from serving import PATIENCE, Server
from websockets.sync.client import connect

PREFERENCES = {"media.navigator.permission.disabled": True, "media.navigator.streams.fake": True, "media.autoplay.default": 0,
               "datareporting.policy.dataSubmissionEnabled": False, "browser.shell.checkDefaultBrowser": False,
               "app.update.enabled": False, "browser.startup.homepage": "about:blank", "network.captive-portal-service.enabled": False,
               "app.normandy.enabled": False, "services.settings.server": "data:,#remote-settings-dummy/v1", "network.connectivity-service.enabled": False}


class Browser:
    def __init__(self, place):
        (pathlib.Path(place) / "user.js").write_text("".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items()))
        told = pathlib.Path(place) / "told"
        with open(told, "w") as out:
            self.process = subprocess.Popen(["firefox-esr", "--headless", "--no-remote", "--profile", place, "--remote-debugging-port", "0"],
                                            stdout=out, stderr=out)
        end = time.monotonic() + PATIENCE
        while not (found := re.search("ws://[0-9.:]+", told.read_text(errors="replace"))):
            assert self.process.poll() is None and time.monotonic() < end, "firefox does not start: " + told.read_text(errors="replace")
            time.sleep(0.05)
        self.line, self.n, self.log = connect(found[0] + "/session", max_size=None), 0, []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self.context = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method, **params):
        self.n += 1
        self.line.send(json.dumps({"id": self.n, "method": method, "params": params}))
        while True:
            told = json.loads(self.line.recv(PATIENCE))
            if told.get("id") == self.n:
                assert told["type"] == "success", told
                return told["result"]
            if told.get("method") == "log.entryAdded" and told["params"]["level"] == "error":
                self.log.append(told["params"]["text"])
            if told.get("method") == "network.beforeRequestSent":
                self.log.append("REQUEST " + told["params"]["request"]["url"])

    def go(self, url):
        self.ask("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def run(self, script):
        """The value of an expression, as JSON."""
        told = self.ask("script.evaluate", expression=f"Promise.resolve({script}).then(x => JSON.stringify(x))", awaitPromise=True,
                        target={"context": self.context}, userActivation=True)
        assert told["type"] == "success", told
        return json.loads(told["result"].get("value", "null"))

    def until(self, what, limit=PATIENCE):
        end = time.monotonic() + limit
        while not self.run(what):
            assert time.monotonic() < end, f"never true: {what}; {self.log[-5:]}"
            time.sleep(0.05)

    def end(self):
        self.line.close()
        self.process.terminate()
        self.process.wait(PATIENCE)


def page(s, b):
    b.go(s.url + "/")
    b.until("window.stats?.state === 'open'")
    b.run("document.getElementById('example').click()")
    b.until("document.querySelector('.thumb') !== null")
    b.run("document.getElementById('send').click()")
    b.until("stats.client.turns.length === 2 && stats.client.turns[1].final")
    turns = b.run("stats.client.turns.map(t => [t.role, t.text, t.audio.length > 0, t.pictures.length, t.status ?? '', t.ms, t.heard, stats.links])")
    print(turns, file=sys.stderr)
    assert turns[0][1] == "What color is the star?" and turns[0][3] == 1 and "red" in turns[1][1] and turns[1][2], turns
    assert b.run("[...document.querySelectorAll('.assistant .card p span')].map(x => x.textContent).join('')") == turns[1][1]
    b.run("document.querySelector('.assistant .tools button:nth-child(3)').click()")
    assert b.run("document.querySelectorAll('.assistant canvas').length") == 1
    b.run("document.getElementById('talk').click()")  # the microphone is a tone
    b.until("document.getElementById('talk').getAttribute('aria-pressed') === 'true' || !document.getElementById('notice').hidden")
    said = b.run("document.getElementById('notice').hidden ? '' : document.getElementById('notice').textContent")
    assert said == "", said
    if b.run("new Promise(yes => setTimeout(() => yes(stats.sent > 0), 3000))"):
        print("the microphone's samples are sent", file=sys.stderr)
    else:
        print("# no sound on this machine: Firefox's AudioContext stands still", file=sys.stderr)
    b.run("document.getElementById('talk').click()")
    b.run("document.getElementById('settings').click()")
    b.run("(document.getElementById('o-language').value = 'zh', document.getElementById('o-keep').value = 'browser')")
    b.run("document.querySelector('#options button[type=submit]').click()")
    b.until("document.documentElement.lang === 'zh'")
    b.until("stats.keeper.next() === null && !stats.keeper.busy")
    b.run("document.getElementById('history').click()")
    b.until("document.querySelectorAll('#pastlist .entry').length === 1")
    foreign = [x for x in b.log if x.startswith("REQUEST ") and not re.match(f"REQUEST (https?|wss?)://127.0.0.1:{s.port}/|REQUEST (data|blob):", x)]
    errors = [x for x in b.log if not x.startswith("REQUEST ")]
    assert not errors and not foreign, (errors, foreign)


server = Server(sys.argv[1])
with tempfile.TemporaryDirectory() as profile:
    browser = Browser(profile)
    try:
        page(server, browser)
    finally:
        browser.end()
server.end()
