"""openai-python, unmodified: chat with text, picture and speech, whole and streamed; transcripts and speech in every
format. Usage: openai_client.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import base64
import io
import sys
import wave

import openai
from serving import Server

PROGRAM, ROOT = sys.argv[1], sys.argv[2]
server = Server(PROGRAM)
client = openai.OpenAI(base_url=server.url + "/v1", api_key="sk-test", max_retries=0, timeout=300)
SAID = "What shape is the red object?"


def data(name):
    with open(f"{ROOT}/examples/{name}", "rb") as f:
        return base64.b64encode(f.read()).decode()


question = [{"role": "user", "content": [
    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data("table.png"), "detail": "auto"}},
    {"type": "input_audio", "input_audio": {"data": data("question.wav"), "format": "wav"}}]}]


def chat():
    r = client.chat.completions.create(model="any", messages=[{"role": "user", "content": "hello"}], seed=1, stop=["\n"],
                                       max_completion_tokens=64)
    assert r.choices[0].message.content and r.usage.total_tokens == r.usage.prompt_tokens + r.usage.completion_tokens
    r = client.chat.completions.create(model="any", messages=question, modalities=["text", "audio"],
                                       audio={"voice": "alloy", "format": "wav"})
    audio = r.choices[0].message.audio
    with wave.open(io.BytesIO(base64.b64decode(audio.data))) as w:
        frames = w.getnframes()
        assert w.getframerate() == 24000 and frames > 4800
    said = audio.transcript
    for voice in (False, True):
        extra = dict(modalities=["text", "audio"], audio={"voice": "alloy", "format": "pcm16"}) if voice else {}
        text, pcm, finish, usage, ident = "", b"", None, None, None
        for chunk in client.chat.completions.create(model="any", messages=question, stream=True,
                                                    stream_options={"include_usage": True}, **extra):
            usage = chunk.usage or usage
            if not chunk.choices:
                continue
            delta = chunk.choices[0].delta
            finish = chunk.choices[0].finish_reason or finish
            text += delta.content or ""
            sound = getattr(delta, "audio", None) or {}
            sound = sound if isinstance(sound, dict) else sound.model_dump(exclude_none=True)
            text += sound.get("transcript", "")
            pcm += base64.b64decode(sound.get("data", ""))
            ident = sound.get("id", ident)
        assert finish == "stop" and usage.total_tokens > 0 and bool(ident) == voice
        assert text == said, (text, said)
        assert len(pcm) == (2 * frames if voice else 0), (len(pcm), frames)
    try:
        client.chat.completions.create(model="any", messages=[{"role": "user", "content": [
            {"type": "file", "file": {"file_id": "x"}}]}])
        raise SystemExit("a file was left out in silence")
    except openai.BadRequestError as e:
        assert e.param == "messages[0].content[0].type"
    with client.chat.completions.stream(model="any", messages=question) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == said
    assert [m.id for m in client.models.list()] == ["tabletop"]
    assert client.models.retrieve("tabletop").id == "tabletop"


def transcripts():
    path = ROOT + "/examples/question.wav"
    for form in ("json", "text", "srt", "vtt", "verbose_json"):
        extra = {"timestamp_granularities": ["word", "segment"]} if form == "verbose_json" else {}
        with open(path, "rb") as f:
            r = client.audio.transcriptions.create(model="any", file=f, response_format=form, **extra)
        assert SAID in (r if isinstance(r, str) else r.text), r
        if form == "verbose_json":
            assert [w.word for w in r.words] == SAID.split() and r.segments[0].text == SAID
            assert all(0 <= w.start <= w.end <= r.duration + 0.2 for w in r.words), r.words
    with open(path, "rb") as f:
        events = list(client.audio.transcriptions.create(model="any", file=f, stream=True))
    assert events[-1].type == "transcript.text.done" and events[-1].text == SAID
    assert "".join(e.delta for e in events[:-1]) == SAID


def speech():
    ask = dict(model="any", voice="nova", input="The cup is red.")
    starts = {"wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS", "mp3": b"\xff\xf3"}
    for form, start in starts.items():
        assert client.audio.speech.create(response_format=form, **ask).read()[:len(start)] == start, form
    with client.audio.speech.with_streaming_response.create(response_format="pcm", **ask) as r:
        pieces = list(r.iter_bytes(1024))
        assert r.headers["content-type"] == "audio/pcm"
    pcm = b"".join(pieces)
    assert len(pcm) % 2 == 0 and len(pcm) > 9600
    with client.audio.speech.with_streaming_response.create(response_format="pcm", stream_format="sse", **ask) as r:
        lines = [line for line in r.iter_lines() if line.startswith("data: ")]
    import json
    events = [json.loads(line[6:]) for line in lines]
    assert events[-1]["type"] == "speech.audio.done"
    assert b"".join(base64.b64decode(e["audio"]) for e in events[:-1]) == pcm


chat()
transcripts()
speech()
server.end()
print("openai", openai.__version__)
