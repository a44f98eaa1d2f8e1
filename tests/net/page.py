"""The page in headless Chromium, with a fake microphone and camera, against a server that it starts and starts again.

    page.py PROGRAM DATABASE [--shots DIR]

It asks the shipped question aloud about the shipped picture, sees words before the end of the utterance, hears and reads the
answer (samples counted in the page), interrupts one, loses the server and finds it again, takes a photograph, and is held
against axe-core in ten states. The server is plain http on the loopback. Sounds and the camera's film are made here.

What an action brings comes an event or an answer later, and much later on a busy machine: nothing is asserted at once, `until` waits.
SPDX-License-Identifier: Apache-2.0"""
import array, atexit, base64, json, pathlib, struct, subprocess, sys, tempfile, time, wave

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from serving import PATIENCE, reserve

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HELD, PORT = reserve()
URL = f"http://127.0.0.1:{PORT}/"
SHOTS = pathlib.Path(sys.argv[sys.argv.index("--shots") + 1]) if "--shots" in sys.argv else None
SERVER = [sys.argv[1], "serve", "--port", str(PORT), "--allow-host", "so.test", "--history", sys.argv[2]]
folder = tempfile.TemporaryDirectory()
place = pathlib.Path(folder.name)
STATS = "(({client, log, keeper, ...rest}) => ({...rest, notice: document.getElementById('notice').textContent, log: log.slice(-12).map(x => x.direction + ' ' + x.short.slice(0, 300))}))(window.stats)"


def question():
    """The shipped question at 48 kHz."""
    with wave.open(str(ROOT / "examples/question.wav")) as w:
        rate, n = w.getframerate(), w.getnframes()
        x = struct.unpack(f"<{n}h", w.readframes(n))
    at = [i * rate / 48000 for i in range(int(n * 48000 / rate) - 1)]
    return [int(x[int(t)] + (x[int(t) + 1] - x[int(t)]) * (t - int(t))) for t in at if t < n - 1]


def microphone():
    """The question with quiet before and behind it: playback begins when the page asks for the microphone."""
    y = [0] * 48000 + question() + [0] * 48000 * 40
    with wave.open(str(place / "mic.wav"), "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(48000), w.writeframes(struct.pack(f"<{len(y)}h", *y))
    return place / "mic.wav"


def camera():
    """A film of one colour: Y4M, 4:2:0."""
    w, h = 320, 240
    with open(place / "film.y4m", "wb") as f:
        f.write(f"YUV4MPEG2 W{w} H{h} F5:1 Ip A1:1 C420jpeg\n".encode())
        for _ in range(10):
            f.write(b"FRAME\n" + bytes([81]) * (w * h) + bytes([90]) * (w * h // 4) + bytes([240]) * (w * h // 4))
    return place / "film.y4m"


def until(page, what, limit=PATIENCE):
    end = time.monotonic() + limit
    while not page.evaluate(what):
        assert time.monotonic() < end, f"never true: {what}\n{json.dumps(page.evaluate(STATS), indent=1)}\n{page.log[-5:]}"
        time.sleep(0.02)


def axe(page, name):
    found = [(v["id"], [n["html"][:100] for n in v["nodes"][:3]]) for v in Axe().run(page).response["violations"]]
    assert not found, f"axe-core in state '{name}': {found}"
    if SHOTS:
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(SHOTS / f"{name}.png"))


def open_page(browser, url, **context):
    page = browser.new_context(permissions=["microphone", "camera"], **context).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.log = []
    page.on("console", lambda m: page.log.append(m.text))
    page.on("pageerror", lambda e: page.log.append("ERROR " + str(e)))
    page.on("request", lambda r: page.log.append("ELSEWHERE " + r.url) if not r.url.startswith((url, url.replace("http", "ws"), "data:", "blob:")) else None)
    page.goto(url)
    until(page, "stats.state === 'open'")
    return page


def spoken(samples, rate):
    """Where speech begins and ends, and the longest silence within it: seconds."""
    least = 0.05 * max(map(abs, samples))
    loud = [i for i, v in enumerate(samples) if abs(v) > least]
    return loud[0] / rate, loud[-1] / rate, max(b - a for a, b in zip(loud, loud[1:])) / rate


def microphone_held(page):
    """Switches the microphone on and keeps its pieces in the page instead of sending them, until the question is among them, whole: a
    browser that gets no processor for a while loses sound, and then the question is said again. Gives the pieces up to its middle."""
    page.evaluate("() => { window.held = []; stats.client.piece = pcm => { held.push(pcm); }; }")
    begin, end, pause = spoken(question(), 48000)
    for _ in range(20):
        page.evaluate("() => { held.length = 0; stats.sent = 0; }")
        page.click("#talk")
        until(page, "stats.sent > 24000")
        axe(page, "talking")
        until(page, f"held.length > {50 * int(1 + end + 2)}")
        data = page.evaluate("btoa(held.map(p => String.fromCharCode(...new Uint8Array(p.buffer))).join(''))")
        found = spoken(array.array("h", base64.b64decode(data)), 24000)
        if abs(found[1] - found[0] - (end - begin)) < 0.1 and found[2] < pause + 0.05:
            return int(50 * (found[0] + found[1]) / 2)
        print("# sound was lost on its way through the browser: the question is said again", found)
        page.click("#talk")
    raise SystemExit("the browser never gave the question whole")


def talk(page):
    """Aloud, about the picture."""
    page.click("#example")
    until(page, "document.querySelector('.thumb')")
    page.fill("#text", "")
    axe(page, "picture")
    middle = microphone_held(page)
    # Words are seen while they are spoken: the second half of the question is sent when something of the first stands there.
    let = "const c = stats.client, send = Object.getPrototypeOf(c).piece; for (const pcm of held.splice(0, {})) send.call(c, pcm);"
    page.evaluate("() => {" + let.format(middle) + "}")
    until(page, "stats.early > 0")
    page.evaluate("() => {" + let.format("held.length") + "delete c.piece; }")
    until(page, "stats.client.turns.some(t => t.role === 'assistant' && t.final && t.audio.length)")
    until(page, "stats.played > 12000")
    page.click("#talk")
    turns = page.evaluate("stats.client.turns.map(t => [t.role, t.text])")
    print("heard and answered:", turns)
    heard, answer = turns[-2][1], turns[-1][1]
    assert heard == "What shape is the red object?", heard
    assert "star" in answer, answer
    until(page, "document.querySelectorAll('.assistant .said').length > 2")
    samples = page.evaluate("stats.client.turns.at(-1).audio.reduce((n, p) => n + p.length, 0)")
    until(page, f"stats.now === 'ready' && Math.abs(stats.played - {samples}) < 2400")
    played = page.evaluate("stats.played")
    print("samples made", samples, "played", played, "facts", page.evaluate("document.querySelector('.assistant .facts').textContent"))
    page.click(".assistant .tools button:nth-child(3)")
    axe(page, "answer")


def interrupt(page):
    page.fill("#text", "What shape is the red object?")
    # The key is pressed by the page itself, in the moment that it speaks: from here it might come behind the end of a short answer.
    page.evaluate("""() => { window.pressing = setInterval(() => {
        if (stats.now !== 'speaking') return;
        clearInterval(pressing);
        document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}));
    }, 5); }""")
    page.click("#send")
    until(page, "stats.cuts >= 1")
    until(page, "stats.client.turns.at(-1).heard !== null")
    until(page, "document.querySelectorAll('.unheard').length > 0")


def kept(page):
    """What was said is in the history: found, opened again with its picture and sound, played, branched, deleted."""
    until(page, "stats.keeper.next() === null && !stats.keeper.busy")
    old = page.evaluate("stats.client.talk")
    page.click("#newtalk")
    until(page, "stats.client.turns.length === 0 && stats.state === 'open'")
    page.click("#history")
    until(page, "document.querySelectorAll('#pastlist .entry').length === 1")
    axe(page, "history")
    page.fill("#pastsearch", "no such words")
    until(page, "document.querySelectorAll('#pastlist .entry').length === 0")
    page.fill("#pastsearch", "star")
    until(page, "document.querySelectorAll('#pastlist .entry').length > 0")
    page.click("#pastlist li:last-child .entry")
    until(page, f"stats.client.talk === '{old}' && stats.state === 'open'")
    turns = page.evaluate("stats.client.turns.map(t => [t.role, t.text, t.pictures.length, t.audio.reduce((n, p) => n + p.length, 0)])")
    print("from the history:", turns)
    assert turns[0][2] == 1 and any(t[3] > 12000 for t in turns if t[0] == "assistant"), turns
    assert page.evaluate("document.querySelectorAll('.turn img').length") == 1
    assert page.evaluate("document.querySelectorAll('.unheard').length") > 0, "where it was interrupted is forgotten"
    played = page.evaluate("stats.energy")
    page.click(".turn.assistant .tools button")
    until(page, f"stats.energy > {played}")
    page.keyboard.press("Escape")
    # another question in place of the last: another conversation with the same beginning
    n = page.evaluate("stats.answers")
    page.click(".turn.user:nth-last-child(2) .tools button")
    page.fill("#text", "What color is the star?")
    page.click("#send")
    until(page, f"stats.answers > {n} && stats.client.talk !== '{old}'")
    assert "red" in page.evaluate("stats.client.turns.at(-1).text"), page.evaluate("stats.client.turns.at(-1).text")
    until(page, "stats.keeper.next() === null && !stats.keeper.busy")
    page.click("#history")
    until(page, "document.querySelectorAll('#pastlist .entry').length === 2")
    with page.expect_download() as saved:
        page.click("#pastlist li:first-child .row button:nth-child(2)")
    told = json.loads(pathlib.Path(saved.value.path()).read_text())
    assert len(told["items"]) == len(turns) and any(b["type"] == "image/png" for b in told["items"][0]["blobs"]), told["items"][0]
    with page.expect_download() as saved:
        page.click("#pastlist li:first-child .row button:nth-child(1)")
    assert pathlib.Path(saved.value.path()).read_bytes()[:4] == b"RIFF"
    for _ in range(2):
        page.click("#pastlist li:first-child .row button:nth-child(3)")
    until(page, "document.querySelectorAll('#pastlist .entry').length === 1")
    for _ in range(2):
        page.click("#pastclear")
    until(page, "document.querySelectorAll('#pastlist .entry').length === 0")
    page.click("#pastclose")


def choose(page, name, value):
    """In the settings, which take effect in an event behind the click that closes them."""
    page.click("#settings")
    page.select_option("#o-" + name, value)
    page.click("#options button[type=submit]")
    until(page, f"JSON.parse(localStorage.getItem('stream-omni') || '{{}}').{name} === '{value}'")


def kept_here(page):
    """The same in the browser, for a server that keeps nothing."""
    choose(page, "keep", "browser")
    page.fill("#text", "Good morning.")
    page.click("#send")
    until(page, "stats.client.turns.length === 2 && stats.client.turns[1].final && stats.keeper.next() === null && !stats.keeper.busy")
    said = page.evaluate("stats.client.turns[1].text")
    page.reload()
    until(page, "stats.state === 'open'")
    page.click("#history")
    until(page, "document.querySelectorAll('#pastlist .entry').length === 1")
    page.click("#pastlist .entry")
    until(page, "stats.client.turns.length === 2")
    assert page.evaluate("stats.client.turns[1].text") == said
    page.click("#history")
    for _ in range(2):
        page.click("#pastclear")
    until(page, "document.querySelectorAll('#pastlist .entry').length === 0")
    page.click("#pastclose")


def come_back(page, server):
    before = page.evaluate("stats.links")
    server.terminate()
    server.wait(PATIENCE)
    until(page, "stats.state === 'lost'")
    server = start()
    until(page, f"stats.links > {before} && stats.state === 'open'")
    n = page.evaluate("stats.answers")
    page.fill("#text", "What color is the star?")
    page.click("#send")
    until(page, f"stats.answers > {n}")
    answer = page.evaluate("stats.client.turns.at(-1).text")
    print("after the restart:", answer)
    assert "red" in answer, answer
    return server


def photograph(page):
    page.click("#newtalk")
    page.click("#camera")
    until(page, "document.getElementById('video').videoWidth > 0 && document.getElementById('camerabox').open")
    axe(page, "camera")
    page.click("#snap")
    until(page, "document.querySelector('.thumb img')")
    assert page.evaluate("document.getElementById('video').srcObject === null"), "the camera stays on"
    page.click(".thumb button")


def settings(page):
    page.click("#events")
    axe(page, "events")
    page.keyboard.press("Escape")
    until(page, "document.getElementById('drawer').hidden")
    page.click("#settings")
    axe(page, "settings")
    page.keyboard.press("Escape")
    choose(page, "language", "zh")
    until(page, "document.documentElement.lang === 'zh'")


def start():
    server = subprocess.Popen(SERVER, stdout=subprocess.DEVNULL)
    atexit.register(server.kill)  # whatever becomes of the test
    return server


def main():
    server = start()
    try:
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path="/usr/bin/chromium", headless=True, timeout=1000 * PATIENCE, args=[
                "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--disable-gpu",
                f"--use-file-for-fake-audio-capture={microphone()}%noloop", f"--use-file-for-fake-video-capture={camera()}",
                "--autoplay-policy=user-gesture-required", "--host-resolver-rules=MAP so.test 127.0.0.1"])
            wait_for_server(browser, server)
            page = open_page(browser, URL, viewport={"width": 1280, "height": 860})
            axe(page, "idle")
            talk(page)
            interrupt(page)
            server = come_back(page, server)
            kept(page)
            kept_here(page)
            photograph(page)
            settings(page)
            phone = open_page(browser, URL, viewport={"width": 390, "height": 844}, color_scheme="dark", locale="zh-CN")
            phone.click("#example")
            until(phone, "document.querySelector('.thumb')")
            phone.click("#send")
            until(phone, "stats.answers >= 1")
            axe(phone, "phone")
            insecure = open_page(browser, URL.replace("127.0.0.1", "so.test"), viewport={"width": 390, "height": 844})
            insecure.click("#talk")
            until(insecure, "!document.getElementById('notice').hidden")
            axe(insecure, "insecure")
            for one in (page, phone, insecure):
                bad = [m for m in one.log if m.startswith(("ERROR", "ELSEWHERE")) or "Content Security" in m]
                assert not bad, bad
            browser.close()
    finally:
        server.terminate()
        server.wait(PATIENCE)
    print("PASS")


def wait_for_server(browser, server):
    page, end = browser.new_page(), time.monotonic() + PATIENCE
    while True:
        assert server.poll() is None, f"the server ended with {server.returncode}"
        try:
            page.goto(URL)
            return page.close()
        except Exception:
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.1)


main()
