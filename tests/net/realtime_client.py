"""openai-python's realtime client, unmodified: a spoken turn, an interruption, a picture and text, errors that keep the
session. The client itself is lenient: every event is held against the SDK's own types here.
Usage: realtime_client.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import asyncio
import base64
import json
import sys
import wave

import openai
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from serving import PATIENCE, Server
from serving import until as waits

PROGRAM, ROOT = sys.argv[1], sys.argv[2]
CHECK = TypeAdapter(RealtimeServerEvent)
SEEN = []


def question():
    """The shipped question at 24 kHz."""
    with wave.open(ROOT + "/examples/question.wav") as w:
        rate, n = w.getframerate(), w.getnframes()
        pcm = memoryview(w.readframes(n)).cast("h")
    out = []
    for i in range(int(n * 24000 / rate)):
        x = i * rate / 24000
        k = int(x)
        out.append(int(pcm[k] * (1 - x + k) + pcm[min(k + 1, n - 1)] * (x - k)))
    return b"".join(v.to_bytes(2, "little", signed=True) for v in out)


async def say(connection, pcm, quiet):
    """In 20 ms pieces, twice as fast as speech."""
    pcm += b"\0" * int(48000 * quiet)
    for i in range(0, len(pcm), 960):
        await connection.input_audio_buffer.append(audio=base64.b64encode(pcm[i:i + 960]).decode())
        await asyncio.sleep(0.01)


async def until(connection, *kinds):
    got = []
    async with asyncio.timeout(PATIENCE):
        while True:
            event = json.loads(await connection.recv_bytes())
            if event["type"].startswith("stream_omni."):
                sys.exit("an event of our own that nobody asked for: " + event["type"])
            CHECK.validate_python(event)
            SEEN.append(event["type"])
            got.append(event)
            if event["type"] in kinds:
                return got


def texts(events, kind, field="delta"):
    return "".join(e[field] for e in events if e["type"] == kind)


async def spoken_turn(c):
    await c.session.update(session={"type": "realtime", "output_modalities": ["audio"], "tracing": None, "audio": {
        "input": {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": {"model": "any"}, "noise_reduction": None,
                  "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 300}},
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy"}}})
    await until(c, "session.updated")
    talk = asyncio.create_task(say(c, question(), 1.2))
    got = await until(c, "response.done")
    await talk
    order = ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
             "conversation.item.added", "response.created", "response.output_item.added", "response.content_part.added",
             "response.output_audio.delta", "response.output_audio.done", "response.content_part.done",
             "response.output_item.done", "response.done"]
    at = [SEEN.index(k) for k in order]
    assert at == sorted(at), SEEN
    heard = [e["transcript"] for e in got if e["type"] == "conversation.item.input_audio_transcription.completed"]
    assert heard == ["What shape is the red object?"], heard
    deltas = texts(got, "conversation.item.input_audio_transcription.delta")
    assert deltas.strip() == heard[0], deltas
    pcm = base64.b64decode("".join(e["delta"] for e in got if e["type"] == "response.output_audio.delta")[:8])
    response = got[-1]["response"]
    assert response["status"] == "completed" and pcm and response["usage"]["output_tokens"] > 0
    said = texts(got, "response.output_audio_transcript.delta")
    assert said == response["output"][0]["content"][0]["transcript"], (said, response)


async def interruption(c):
    talk = asyncio.create_task(say(c, question(), 1.2))
    got = await until(c, "response.output_audio.delta")
    item = got[-1]["item_id"]
    await talk
    talk = asyncio.create_task(say(c, question(), 0))
    got = await until(c, "response.done")
    await talk
    response = got[-1]["response"]
    if response["status"] != "completed":  # on a fast machine the answer may be whole before
        assert response["status"] == "cancelled" and response["status_details"]["reason"] == "turn_detected", response
        assert "response.output_audio.delta" not in [e["type"] for e in got[-3:]]
    await c.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=200)
    got = await until(c, "conversation.item.truncated", "error")
    assert got[-1]["type"] == "conversation.item.truncated", got[-1]
    talk = asyncio.create_task(say(c, b"", 1.2))
    await until(c, "response.done")
    await talk


async def text_and_errors(c):
    with open(ROOT + "/examples/table.png", "rb") as f:
        picture = "data:image/png;base64," + base64.b64encode(f.read()).decode()
    await c.session.update(session={"type": "realtime", "output_modalities": ["text"],
                                    "audio": {"input": {"turn_detection": None}}})
    await until(c, "session.updated")
    await c.conversation.item.create(item={"type": "message", "role": "user", "content": [
        {"type": "input_image", "image_url": picture}, {"type": "input_text", "text": "What color is the star?"}]})
    item = (await until(c, "conversation.item.done"))[-1]["item"]["id"]
    await c.response.create()
    got = await until(c, "response.done")
    assert got[-1]["response"]["status"] == "completed", got[-1]
    assert texts(got, "response.output_text.delta"), got
    await c.conversation.item.retrieve(item_id=item)
    assert (await until(c, "conversation.item.retrieved", "error"))[-1]["item"]["id"] == item
    await c.response.cancel()
    assert (await until(c, "error"))[-1]["error"]["code"] == "response_cancel_not_active"
    await c.input_audio_buffer.clear()
    await until(c, "input_audio_buffer.cleared")
    await c.input_audio_buffer.commit()
    await until(c, "error")
    await c.conversation.item.delete(item_id=item)
    await until(c, "conversation.item.deleted")


async def main(url):
    client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="sk-test")
    async with client.realtime.connect(model="any") as c:
        await until(c, "session.created")
        await spoken_turn(c)
        await interruption(c)
    async with client.realtime.connect(model="any") as c:
        await until(c, "session.created")
        await text_and_errors(c)
    assert SEEN.count("response.created") == SEEN.count("response.done"), SEEN


server = Server(PROGRAM)
asyncio.run(main(server.url))
waits(lambda: server.metric("sessions", state="open") == 0, "a session is not free")
server.end()
