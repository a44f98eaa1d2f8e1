"""The server with raw requests: who may ask, what is refused, clients that leave, many at once, going down.
Needs nothing but Python. Usage: server_raw.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import base64
import concurrent.futures
import gzip
import hashlib
import io
import json
import os
import signal
import socket
import sys
import tempfile
import time
import wave

from serving import Server, until

PROGRAM, ROOT = sys.argv[1], sys.argv[2]
CHAT = "/v1/chat/completions"
HI = {"messages": [{"role": "user", "content": "Good morning."}]}


def expect(answer, status, *parts):
    text = answer[2].decode(errors="replace")
    if answer[0] != status or any(p not in text for p in parts):
        raise SystemExit(f"expected {status} with {parts}, found {answer[0]}: {text[:400]}")
    if status >= 400:
        error = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
    return answer


def who_may_ask():
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
        keys.write("# of this test\nann:" + hashlib.sha256(b"sk-ann").hexdigest() + "\nbob:sk-bob\n")
        keys.flush()
        s = Server(PROGRAM, "--api-key-file", keys.name, "--cors", "https://page.example", "--allow-host", "box.example")
        bearer = {"Authorization": "Bearer sk-ann"}
        expect(s.ask("GET", "/health"), 200, '"ok"')
        expect(s.ask("GET", "/v1/models"), 401, "invalid_api_key", "Authorization")
        expect(s.ask("POST", CHAT, HI, {"Authorization": "Bearer sk-eve"}), 401, "invalid_api_key")
        expect(s.ask("GET", "/v1/models?api_key=sk-bob"), 401)
        expect(s.ask("GET", "/metrics"), 401)
        expect(s.ask("GET", "/v1/models", headers={"Authorization": "bearer sk-bob"}), 200, "tabletop")
        # names that lead here from elsewhere
        expect(s.ask("GET", "/health", headers={"Host": "evil.example"}), 421, "host_not_allowed")
        expect(s.ask("GET", "/health", headers={"Host": "box.example:99"}), 200)
        # pages of others
        expect(s.ask("POST", CHAT, HI, {**bearer, "Origin": "https://evil.example"}), 403, "origin_not_allowed")
        expect(s.ask("POST", CHAT, HI, {**bearer, "Origin": "null"}), 403)
        expect(s.ask("POST", CHAT, HI, {**bearer, "Origin": s.url}), 200)
        answer = expect(s.ask("POST", CHAT, HI, {**bearer, "Origin": "https://page.example"}), 200)
        assert answer[1]["Access-Control-Allow-Origin"] == "https://page.example"
        answer = s.ask("OPTIONS", CHAT, headers={"Origin": "https://page.example"})
        assert answer[0] == 204 and "POST" in answer[1]["Access-Control-Allow-Methods"], answer
        assert "Access-Control-Allow-Methods" not in s.ask("OPTIONS", CHAT, headers={"Origin": "https://evil.example"})[1]
        # what a form of a foreign page can send is not taken
        expect(s.ask("POST", CHAT, json.dumps(HI), {**bearer, "Content-Type": "text/plain"}), 415)
        expect(s.ask("POST", CHAT, json.dumps(HI), bearer), 415)
        assert s.metric('rejected_total{reason="key"}', bearer) == 4
        # new keys are read on SIGHUP; a file that is wrong changes nothing
        for text, status in (("bob:sk-new\n", 200), ("no key\n", 200), ("bob:sk-bob\n", 401)):
            keys.seek(0)
            keys.truncate()
            keys.write(text)
            keys.flush()
            s.process.send_signal(signal.SIGHUP)
            until(lambda: s.ask("GET", "/v1/models", headers={"Authorization": "Bearer sk-new"})[0] == status,
                  f"after SIGHUP with {text!r}: not {status}")
        status, told = s.end()
        assert status == 143, (status, told)
    s = Server(PROGRAM, "--api-key", "sk-1", "--allow-query-key")
    expect(s.ask("GET", "/v1/models?api_key=sk-1"), 200)
    s.end()
    s = Server(PROGRAM, "--api-key", "sk-1", "--per-minute", "3")
    models = lambda: s.ask("GET", "/v1/models", headers={"Authorization": "Bearer sk-1"})
    began, got = time.monotonic(), [models() for _ in range(4)]
    while got[-1][0] == 200:  # another one is allowed every 20 s
        got.append(models())
    most = 3 + (time.monotonic() - began) / 20
    assert 4 <= len(got) <= most + 1 and all(a[0] == 200 for a in got[:-1]), (got, most)
    assert 1 <= int(expect(got[-1], 429, "rate_limit_error")[1]["Retry-After"]) <= 20, got[-1][1]
    s.end()
    # the environment's twin of an option
    s = Server(PROGRAM, env={**os.environ, "STREAM_OMNI_API_KEY": "sk-env", "STREAM_OMNI_MODEL_NAME": "mine"})
    expect(s.ask("GET", "/v1/models"), 401)
    expect(s.ask("GET", "/v1/models/mine", headers={"Authorization": "Bearer sk-env"}), 200, '"mine"')
    s.end()


def what_is_refused(s):
    expect(s.ask("GET", "/nothing"), 404, "not_found")
    answer = expect(s.ask("GET", CHAT), 405)
    assert "POST" in answer[1]["Allow"]
    expect(s.ask("GET", "/v1/models/../props"), 400)
    expect(s.ask("GET", "/%2e%2e/etc/passwd"), 400)
    expect(s.ask("GET", "/v1/models/other"), 404, "model_not_found")
    expect(s.ask("POST", CHAT, "{", {"Content-Type": "application/json"}), 400, "no JSON")
    expect(s.ask("POST", CHAT, "[" * 100000, {"Content-Type": "application/json"}), 400, "nested")
    expect(s.ask("POST", CHAT, HI, {"Content-Encoding": "gzip"}), 415, "Content-Encoding")
    expect(s.ask("POST", CHAT, {"messages": [{"role": "user", "content": "x" * 10000}]}), 400, "10000 tokens")
    expect(s.ask("POST", "/v1/audio/speech", b'{"input":"' + b"x" * (1 << 20) + b'"}', {"Content-Type": "application/json"}),
           413)
    expect(s.ask("POST", "/v1/audio/speech", {"input": "a", "response_format": "aac"}), 400, "response_format")
    expect(s.ask("POST", "/v1/audio/speech", {"input": "a" * 4097}), 400, "4097 characters")
    expect(s.ask("POST", "/v1/audio/speech", {"input": "a", "speed": 2}), 400, "speed")
    form = "--b\r\nContent-Disposition: form-data; name=\"{}\"{}\r\n\r\n{}\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    expect(s.ask("POST", "/v1/audio/transcriptions", form.format("model", "", "x"), kind), 400, '"file"')
    expect(s.ask("POST", "/v1/audio/transcriptions", form.format("no_such", "", "x"), kind), 400, "no_such")
    expect(s.ask("POST", "/v1/audio/transcriptions", form.format("file", "; filename=\"a.wav\"", "RIFFnothing"), kind), 400,
           '"file"')
    expect(s.ask("POST", "/v1/audio/transcriptions", form.format("file", "", "x")[:-10], kind), 400, "form")
    answer = s.ask("HEAD", "/health")
    assert answer[0] == 200 and answer[2] == b""
    assert s.ask("GET", "/health")[1]["x-request-id"].startswith("req_")


def answers(s):
    with open(ROOT + "/examples/table.png", "rb") as f:
        picture = base64.b64encode(f.read()).decode()
    with open(ROOT + "/examples/question.wav", "rb") as f:
        wav = f.read()
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + picture}},
               {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}]
    asked = {"messages": [{"role": "user", "content": content}], "logprobs": True, "top_logprobs": 2}
    answer = json.loads(expect(s.ask("POST", CHAT, asked), 200)[2])
    choice = answer["choices"][0]
    text = choice["message"]["content"]
    assert answer["stream_omni"]["input_transcript"] == "What shape is the red object?", answer
    tokens = choice["logprobs"]["content"]
    assert "".join(t["token"] for t in tokens).strip() == text.strip(), (text, tokens)
    assert all(len(t["top_logprobs"]) == 2 and t["logprob"] <= 0 for t in tokens), tokens
    usage = answer["usage"]
    details = usage["prompt_tokens_details"]
    assert details["image_tokens"] > 0 and details["audio_tokens"] > 0, usage
    assert sum(details[k] for k in ("image_tokens", "audio_tokens", "text_tokens")) == usage["prompt_tokens"], usage
    # the same seed, the same answer; a stop string is not told; a limit is kept
    warm = {**HI, "temperature": 1.5, "seed": 5}
    first, second = [json.loads(s.ask("POST", CHAT, warm)[2])["choices"][0]["message"]["content"] for _ in range(2)]
    assert first == second, (first, second)
    plain = json.loads(s.ask("POST", CHAT, HI)[2])["choices"][0]
    assert plain["finish_reason"] == "stop"
    cut = json.loads(s.ask("POST", CHAT, {**HI, "stop": plain["message"]["content"][4:8]})[2])["choices"][0]
    assert cut["message"]["content"] == plain["message"]["content"][:4] and cut["finish_reason"] == "stop", cut
    short = json.loads(s.ask("POST", CHAT, {**HI, "max_tokens": 2})[2])["choices"][0]
    assert short["finish_reason"] == "length" and plain["message"]["content"].startswith(short["message"]["content"]), short
    # streamed: the same words, the order of chunks, usage at the end
    raw = s.ask("POST", CHAT, {**HI, "stream": True, "stream_options": {"include_usage": True}})
    assert raw[1]["Content-Type"] == "text/event-stream" and raw[2].endswith(b"data: [DONE]\n\n")
    chunks = [json.loads(x[6:]) for x in raw[2].decode().split("\n\n") if x.startswith("data: {")]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]) == plain["message"]["content"]
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] > 0
    assert all(c["usage"] is None for c in chunks[:-1])
    # a conversation that is sent whole again costs its new part only
    def cached(messages):
        got = json.loads(expect(s.ask("POST", CHAT, {"messages": messages}), 200)[2])
        return got["choices"][0]["message"]["content"], got["usage"]["prompt_tokens_details"]["cached_tokens"], got["usage"]

    talk = [{"role": "system", "content": "Answer in a sentence."}, {"role": "user", "content": "Good evening, dear friend."}]
    first, before, used = cached(talk)
    talk += [{"role": "assistant", "content": first}, {"role": "user", "content": "What is two plus two?"}]
    second, _, used = cached(talk)
    longer = talk + [{"role": "assistant", "content": second}, {"role": "user", "content": "How are you?"}]
    third, again, more = cached(longer)
    assert before == 0 and 30 < again <= used["total_tokens"] < more["prompt_tokens"], (before, again, used, more)
    other = [{**longer[0], "content": "Say something else."}, *longer[1:]]  # another conversation
    assert cached(other)[1] == 0
    assert cached(longer)[0] == third and cached(talk)[0] == second  # the same answers with it as without
    # an earlier question in speech goes in words: known from when it was heard, or written down now
    spoken = [{"role": "user", "content": [content[1]]}, {"role": "assistant", "content": "A star."},
              {"role": "user", "content": "What is two plus two?"}]
    known = cached(spoken)
    words = [{**spoken[0], "content": "What shape is the red object?"}, *spoken[1:]]
    assert known[0] == cached(words)[0]
    wav2 = wav[:44] + bytes(200) + wav[244:]  # another recording of the same words
    new = json.loads(json.dumps(spoken))
    new[0]["content"][0]["input_audio"]["data"] = base64.b64encode(wav2).decode()
    assert cached(new)[0] == known[0]
    # HTTP/1.0: no chunks, the end is the connection's; a health check of a proxy has no Host
    with socket.create_connection(("127.0.0.1", s.port)) as c:
        c.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert b" 200 " in read_all(c)
    with socket.create_connection(("127.0.0.1", s.port)) as c:
        body = json.dumps({**HI, "stream": True}).encode()
        c.sendall(b"POST %s HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(body)))
        expect((421, {}, read_all(c).split(b"\r\n\r\n", 1)[1]), 421)  # without a Host it is for nobody
    with socket.create_connection(("127.0.0.1", s.port)) as c:
        c.sendall(b"POST %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" %
                  (CHAT.encode(), len(body), body))
        head, body = read_all(c).split(b"\r\n\r\n", 1)
        assert b"chunked" not in head and body.startswith(b"data: {") and body.endswith(b"data: [DONE]\n\n"), body


def tokens(s):
    """Text as tokens, and back."""
    for text in ("What shape is the red object?", "早上好 \U0001f600", "", "<|eot_id|>"):
        told = json.loads(expect(s.ask("POST", "/tokenize", {"content": text}), 200)[2])
        assert told["count"] == len(told["tokens"]) and (text == "") == (told["count"] == 0), told
        back = json.loads(expect(s.ask("POST", "/detokenize", {"tokens": told["tokens"]}), 200)[2])
        assert back["content"] == text, (text, back)
    special, plain = ([json.loads(s.ask("POST", "/tokenize", {"prompt": "<|eot_id|>", "parse_special": p})[2])["count"]] for p in (True, False))
    assert special == [1] and plain > special
    for path, body, param in (("/tokenize", {}, "content"), ("/tokenize", {"content": 5}, "content"), ("/tokenize", {"content": "a", "x": 1}, "x"),
                              ("/detokenize", {}, "tokens"), ("/detokenize", {"tokens": [-1]}, "tokens"),
                              ("/detokenize", {"tokens": [1 << 30]}, "tokens"), ("/detokenize", {"tokens": ["a"]}, "tokens")):
        assert json.loads(expect(s.ask("POST", path, body), 400)[2])["error"]["param"] == param, (path, body)
    props = json.loads(s.ask("GET", "/props")[2])
    assert props["total_slots"] == 3 and props["modalities"] == {"vision": True, "audio": True}, props
    assert props["version"] == json.loads(s.ask("GET", "/version")[2])["version"] and props["default_generation_settings"]["max_tokens"] > 0


def transcribe(s, wav, **fields):
    parts = "".join(f"--b\r\nContent-Disposition: form-data; name=\"{k}\"\r\n\r\n{v}\r\n" for k, v in fields.items())
    body = parts.encode() + b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" + wav + b"\r\n--b--\r\n"
    return expect(s.ask("POST", "/v1/audio/transcriptions", body, {"Content-Type": "multipart/form-data; boundary=b"}), 200)[2].decode()


def long_recordings(s):
    """More than two minutes of sound: cut where nobody speaks, words with the times of the recording, told as they are settled."""
    with wave.open(ROOT + "/examples/question.wav") as w:
        rate, samples = w.getframerate(), w.readframes(w.getnframes())
    gap, times = 10 * rate * 2, 12
    sound = io.BytesIO()
    with wave.open(sound, "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(rate)
        w.writeframes(b"".join(samples + bytes(gap) for _ in range(times)))
    wav, each = sound.getvalue(), len(samples) / 2 / rate + 10
    assert each * times > 130
    text = " ".join(["What shape is the red object?"] * times)
    assert transcribe(s, wav, response_format="text") == text + "\n"
    told = json.loads(transcribe(s, wav, response_format="verbose_json", **{"timestamp_granularities[]": "word"}))
    assert told["text"] == text and abs(told["duration"] - each * times) < 0.1 and told["language"] == "english", told
    assert len(told["words"]) == 6 * times
    for k in range(times):
        word = told["words"][6 * k]
        assert word["word"] == "What" and abs(word["start"] - k * each) < 0.4, (k, word)
    events = [json.loads(x.split("data: ", 1)[1]) for x in transcribe(s, wav, stream="true").split("\n\n") if "data: " in x]
    deltas = [e["delta"] for e in events if e["type"] == "transcript.text.delta"]
    assert "".join(deltas) == text == events[-1]["text"] and len(deltas) >= times, deltas
    assert events[-1]["type"] == "transcript.text.done" and events[-1]["usage"]["input_tokens"] > 0
    # silence is no words, and costs no conversation
    sound = io.BytesIO()
    with wave.open(sound, "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(8000)
        w.writeframes(bytes(16000))
    assert json.loads(transcribe(s, sound.getvalue()))["text"] == ""
    assert transcribe(s, sound.getvalue(), response_format="srt") == ""


def read_all(connection):
    data = b""
    while True:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece


def the_page(s):
    status, fields, body = s.ask("GET", "/", headers={"Accept-Encoding": "gzip"})
    assert status == 200 and fields["Content-Encoding"] == "gzip" and "'unsafe" not in fields["Content-Security-Policy"]
    assert gzip.decompress(body).startswith(b"<!") and fields["X-Content-Type-Options"] == "nosniff"
    again = s.ask("GET", "/", headers={"Accept-Encoding": "gzip", "If-None-Match": fields["ETag"]})
    assert again[0] == 304 and again[2] == b"" and "Content-Length" not in again[1]
    plain = s.ask("GET", "/page.js")
    assert plain[0] == 200 and "Content-Encoding" not in plain[1] and plain[1]["ETag"] != fields["ETag"]
    expect(s.ask("POST", "/page.js", "x"), 405)
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/page.js", "w") as f:
            f.write("// changed")
        other = Server(PROGRAM, "--web", folder)
        assert other.ask("GET", "/page.js")[2] == b"// changed"
        expect(other.ask("GET", "/page.css"), 404)
        other.end()


def clients_that_leave(s):
    """A client that leaves in the middle costs its answer, and its session is free again."""
    before = s.metric("lost_total")
    for wait in (0, 0.01, 0.05, 0.2):
        c = socket.create_connection(("127.0.0.1", s.port))
        # four minutes of sound: nobody makes them before a client that waits for 0.2 s and a while is gone
        body = json.dumps({"model": "x", "input": "The red star is left of the blue circle. " * 90, "response_format": "pcm"}).encode()
        c.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        time.sleep(wait)
        c.close()
    until(lambda: s.metric("sessions", state="open") == 0 and s.metric("lost_total") == before + 4,
          lambda: f"{s.metric('sessions', state='open')} sessions are not free, {s.metric('lost_total') - before} of 4 were noticed")


def many_at_once(s):
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        got = list(pool.map(lambda _: s.ask("POST", CHAT, HI), range(24)))
    texts = {json.loads(expect(a, 200)[2])["choices"][0]["message"]["content"] for a in got}
    assert len(texts) == 1, texts


def going_down(s):
    """What is being answered is answered; nothing new is taken."""
    c = socket.create_connection(("127.0.0.1", s.port))
    body = json.dumps({"input": "The red star is left of the blue circle.", "response_format": "wav"}).encode()
    c.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
              b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    idle = socket.create_connection(("127.0.0.1", s.port))
    first = c.recv(1)  # it is being answered
    until(lambda: s.metric("connections", kind="http") >= 3, "the idle connection is not taken")  # the third is this question's own
    started = time.time()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        ended = pool.submit(s.end)
        data = first + read_all(c)
        assert b"200 OK" in data and data.endswith(b"0\r\n\r\n") and len(data) > 20000, data[-200:]
        assert read_all(idle) == b""
        status, told = ended.result()
    assert status == 143 and not told, (status, told)
    try:
        socket.create_connection(("127.0.0.1", s.port), 1).close()
        raise SystemExit("still listening")
    except OSError:
        print(f"down {time.time() - started:.2f} s after the signal", file=sys.stderr)


who_may_ask()
with tempfile.TemporaryDirectory() as place:
    log = place + "/log"
    server = Server(PROGRAM, "--sessions", "3", "--log", log, "--drain-seconds", "120")
    what_is_refused(server)
    answers(server)
    tokens(server)
    long_recordings(server)
    the_page(server)
    clients_that_leave(server)
    many_at_once(server)
    going_down(server)
    with open(log) as f:
        lines = [json.loads(line) for line in f]
    assert len(lines) > 50 and all(set(x) >= {"time", "id", "path", "status", "ms"} for x in lines)
    with open(log) as f:
        whole = f.read()
    assert "Good morning" not in whole and "star" not in whole and "sk-" not in whole  # nothing of what was said
