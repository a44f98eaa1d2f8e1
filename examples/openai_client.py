"""openai-python with `stream-omni serve`: a picture and a spoken question answered aloud, then the same by the Realtime API.

    pip install "openai[realtime]" && stream-omni serve &
    python openai_client.py http://127.0.0.1:8080 table.png question.wav answer.wav

SPDX-License-Identifier: Apache-2.0"""
import asyncio
import base64
import sys

import openai

url, picture, question, answer = sys.argv[1:]

def data(path):
    return base64.b64encode(open(path, "rb").read()).decode()

def chat():
    client = openai.OpenAI(base_url=url + "/v1", api_key="none")
    spoken = client.chat.completions.create(
        model="any", modalities=["text", "audio"], audio={"voice": "any", "format": "wav"},
        messages=[{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data(picture)}},
            {"type": "input_audio", "input_audio": {"data": data(question), "format": "wav"}}]}])
    open(answer, "wb").write(base64.b64decode(spoken.choices[0].message.audio.data))
    print("chat:", spoken.choices[0].message.audio.transcript)

async def realtime():
    client = openai.AsyncOpenAI(base_url=url + "/v1", websocket_base_url=url.replace("http", "ws", 1) + "/v1", api_key="none")
    async with client.realtime.connect(model="any") as connection:
        await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
        await connection.conversation.item.create(item={"type": "message", "role": "user", "content": [
            {"type": "input_image", "image_url": "data:image/png;base64," + data(picture)},
            {"type": "input_text", "text": "What color is the star?"}]})
        await connection.response.create()
        async for event in connection:
            if event.type == "response.output_audio_transcript.delta":
                print(event.delta, end="", flush=True)  # the sound, PCM of 24 kHz, is in response.output_audio.delta
            if event.type == "response.done":
                return print()

chat()
asyncio.run(realtime())
