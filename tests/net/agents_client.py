"""openai-agents: a RealtimeRunner asks in words, then aloud, and is answered in speech. Usage: agents_client.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import asyncio
import os
import sys
import wave

from serving import Server

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
from agents.realtime import RealtimeAgent, RealtimeRunner  # pylint: disable=wrong-import-position


def recording():
    """examples/question.wav at 24 kHz, every sample twice and every third left out: good enough for words."""
    with wave.open(sys.argv[2] + "/examples/question.wav") as sound:
        rate, data = sound.getframerate(), sound.readframes(sound.getnframes())
    n = len(data) // 2
    return b"".join(data[2 * (i * rate // 24000):][:2] for i in range(n * 24000 // rate))


async def main(url):
    settings = {"model_name": "tabletop", "voice": "alloy", "output_modalities": ["audio"],
                "input_audio_format": "pcm16", "output_audio_format": "pcm16",
                "input_audio_transcription": {"model": "tabletop"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 300, "interrupt_response": True}}
    runner = RealtimeRunner(RealtimeAgent(name="a"), config={"model_settings": settings})
    session = await runner.run(model_config={"url": url + "?model=tabletop", "api_key": "sk-test"})
    samples, kinds, turn = [0, 0], set(), 0
    speech = recording() + bytes(48000)

    async def feed():
        for i in range(0, len(speech), 960):
            await session.send_audio(speech[i:i + 960])
            await asyncio.sleep(.01)

    async with session:
        await session.send_message("What is the opposite of wet?")
        fed = None
        async with asyncio.timeout(300):
            async for event in session:
                kinds.add(event.type)
                if event.type == "error":
                    sys.exit(f"error: {event.error}")
                if event.type == "audio":
                    samples[turn] += len(event.audio.data) // 2
                if event.type == "audio_end":
                    if turn == 1:
                        break
                    turn, fed = 1, asyncio.create_task(feed())
                if event.type == "history_updated":
                    history = event.history
        await fed
    told = " | ".join(str(part) for item in history for part in item.content)
    for words in "opposite of wet is dry", "What shape is the red object":
        if words not in told:
            sys.exit(f"'{words}' is not in what the library tells of the conversation: {told}")
    if min(samples) < 12000 or not {"agent_start", "audio", "audio_end", "agent_end"} <= kinds:
        sys.exit(f"not spoken: {samples} samples, {sorted(kinds)}")


server = Server(sys.argv[1])
asyncio.run(main(server.url.replace("http", "ws", 1) + "/v1/realtime"))
server.end()
