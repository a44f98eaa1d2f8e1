"""The wyoming package, unmodified: describe, ping, speech to text, text to speech (whole and in pieces), answers.
Usage: wyoming_client.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import asyncio
import sys
import wave

from serving import PATIENCE, Server
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.handle import Handled
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped


async def until(client, kind, others=()):
    got = []
    while True:
        event = await asyncio.wait_for(client.read_event(), PATIENCE)
        assert event is not None, "closed"
        assert not Error.is_type(event.type) or kind is Error, event.data
        if kind.is_type(event.type):
            return kind.from_event(event), got
        assert any(o.is_type(event.type) for o in others), event.type
        got.append(event)


async def spoken(client, end):
    _, got = await until(client, end, (AudioStart, AudioChunk, AudioStop))
    assert AudioStart.from_event(got[0]).rate == 22050 and (end is AudioStop or AudioStop.is_type(got[-1].type))
    return sum(len(AudioChunk.from_event(e).audio) for e in got if AudioChunk.is_type(e.type)) // 2


async def main(uri):
    client = AsyncClient.from_uri(uri)
    await client.connect()
    await client.write_event(Describe().event())
    info, _ = await until(client, Info)
    assert info.asr[0].models[0].languages == ["en"] and info.tts[0].voices and info.handle[0].name == "stream-omni"
    await client.write_event(Ping(text="x").event())
    assert (await until(client, Pong))[0].text == "x"
    with wave.open(sys.argv[2] + "/examples/question.wav") as w:
        rate, pcm = w.getframerate(), w.readframes(w.getnframes())
    for _ in range(2):  # a connection is used again
        await client.write_event(Transcribe(language="en").event())
        await client.write_event(AudioStart(rate, 2, 1).event())
        for i in range(0, len(pcm), 2047):  # cuts samples in two
            await client.write_event(AudioChunk(rate, 2, 1, pcm[i:i + 2047]).event())
        await client.write_event(AudioStop().event())
        assert (await until(client, Transcript))[0].text == "What shape is the red object?"
    await client.write_event(Synthesize(text="The cup is red.").event())
    whole = await spoken(client, AudioStop)
    await client.write_event(SynthesizeStart().event())
    await client.write_event(SynthesizeChunk("The cup ").event())
    await client.write_event(SynthesizeChunk("is red.").event())
    await client.write_event(Synthesize(text="The cup is red.").event())
    await client.write_event(SynthesizeStop().event())
    assert await spoken(client, SynthesizeStopped) == whole > 5000
    await client.write_event(Transcript(text="Good morning.", context={"conversation_id": "1"}).event())
    handled = (await until(client, Handled))[0]
    assert handled.text and handled.context == {"conversation_id": "1"}, handled
    await client.write_event(Event("no-such-event"))
    await client.write_event(Event("synthesize", {"text": 5}))
    await until(client, Error)
    assert await client.read_event() is None
    await client.disconnect()


server = Server(sys.argv[1], "--wyoming", "127.0.0.1:0")
asyncio.run(main(server.lines[0].split(" at ")[1]))
server.end()
