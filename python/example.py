"""A notebook's worth of stream-omni: a picture, a spoken question, the answer in text and speech.

    python3 example.py [MODEL] [PICTURE.png] [QUESTION.wav]

SPDX-License-Identifier: Apache-2.0
"""
# %% what is there
import os, sys, wave
import numpy as np
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream_omni

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
given = sys.argv[1:] + [None] * 3
model = stream_omni.Model(given[0] or os.path.join(root, "models/tabletop.gguf"), threads=2)
print(model.about["name"], f"{model.about['parameters'] / 1e6:.1f} M parameters")

# %% a recording (16 bits, mono)
with wave.open(given[2] or os.path.join(root, "examples/question.wav")) as f:
    rate, samples = f.getframerate(), np.frombuffer(f.readframes(f.getnframes()), np.int16)[:: f.getnchannels()]
heard = model.transcribe(samples, rate)
print("heard:", heard.text)
for word in heard.words:
    print(f"  {word.begin:5.2f} {word.end:5.2f}  {word.text}")

# %% speech units, and speech out of them
units = model.units(samples, rate)
print(len(units), "units for", f"{len(samples) / rate:.2f} s")

# %% seeing, hearing, answering: any array of pixels will do, here a drawing
picture = np.full((112, 112, 3), 240, np.uint8)
picture[30:80, 30:80] = (220, 30, 40)
talk = model.session(seed=1)
talk.see(picture)
talk.say("What color is the square?")
answer = talk.reply(voice=True, logprobs=True, likeliest=3)
print("answer:", answer.text)
for token in answer.tokens[:4]:
    print(f"  {token.text!r} {token.logprob:.3f}  else", [(t.text, round(t.logprob, 2)) for t in token.likeliest[1:]])
print(f"{len(answer.pcm) / stream_omni.RATE:.2f} s of voice")
