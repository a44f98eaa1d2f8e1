#!/usr/bin/env python3
"""How a model hears single words of a person. The only recordings of a person that Debian has with words of the
tabletop world are the telephone prompts of asterisk-core-sounds-en-g722 (days, months, letters, numbers; one woman,
16 kHz). A question is spoken by flite up to its last word, which the person says, and it is counted how often the
transcript ends with that word. The same with last words of other speakers tells what the cut itself costs.

    apt-get install asterisk-core-sounds-en-g722 flite ffmpeg
    tools/spliced_words.py models/tabletop.gguf [--program build/stream-omni] [--speakers person slt rms]
        [--questions slt awb kal16]

The recordings are under a share-alike licence: they are read in place and nothing of them is kept.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import array
import math
import os
import re
import subprocess
import sys
import tempfile
import wave

RATE = 16000
PROMPTS = "/usr/share/asterisk/sounds/en_US_f_Allison"
NUMBERS = """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen""".split()
DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split()
MONTHS = """January February March April May June July August September October November December""".split()


def items():
    """(beginning of the question, last word, the prompt's file)"""
    for i, day in enumerate(DAYS):
        yield "What day comes after", day, f"digits/day-{i}.g722"
    for i, month in enumerate(MONTHS):
        yield "What month comes after", month, f"digits/mon-{i}.g722"
    for letter in "BCDFGHIJKLMOPQRT":
        yield "What letter comes after", letter, f"letters/{letter.lower()}.g722"
    for i, number in enumerate(NUMBERS, 1):
        yield "What is one plus", number, f"digits/{i}.g722"


def person(prompt):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "g722", "-i", os.path.join(PROMPTS, prompt)]
    raw = subprocess.run(command + ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-"], check=True, capture_output=True)
    return array.array("h", raw.stdout)


def flite(text, voice, folder):
    path = os.path.join(folder, "said.wav")
    subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True)
    with wave.open(path, "rb") as f:
        assert f.getframerate() == RATE and f.getsampwidth() == 2 and f.getnchannels() == 1, f"{voice} is not 16 kHz mono"
        return array.array("h", f.readframes(f.getnframes()))


def level(samples):
    """Silence off both ends (-46 dB below the peak), the peak at -3 dB, 20 ms of silence behind."""
    peak = max(map(abs, samples))
    loud = [i for i, s in enumerate(samples) if abs(s) > peak * 0.005]
    gain = 32767 * math.sqrt(0.5) / peak
    return array.array("h", [int(s * gain) for s in samples[loud[0] : loud[-1] + 1]] + [0] * (RATE // 50))


def transcript(samples, args, folder):
    path = os.path.join(folder, "question.wav")
    silence = array.array("h", [0] * (RATE * 2 // 5))
    with wave.open(path, "wb") as f:
        f.setparams((1, 2, RATE, 0, "NONE", ""))
        f.writeframes((silence + samples + silence).tobytes())
    told = subprocess.run([args.program, "transcribe", path, "--model", args.model], capture_output=True, text=True)
    if told.returncode:
        sys.exit(told.stderr)
    return re.findall(r"[a-z']+", told.stdout.lower())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("--program", default="build/stream-omni")
    parser.add_argument("--speakers", nargs="+", default=["person", "slt", "rms"])
    parser.add_argument("--questions", nargs="+", default=["slt", "awb", "kal16"], help="flite's voices that begin them")
    args = parser.parse_args()
    if "person" in args.speakers and not os.path.isdir(PROMPTS):
        sys.exit(f"no {PROMPTS}: apt-get install asterisk-core-sounds-en-g722")
    with tempfile.TemporaryDirectory() as folder:
        for speaker in args.speakers:
            right, wrong = 0, []
            for voice in args.questions:
                for beginning, word, prompt in items():
                    last = person(prompt) if speaker == "person" else flite(word, speaker, folder)
                    heard = transcript(level(flite(beginning, voice, folder)) + level(last), args, folder)
                    if heard and heard[-1] == word.lower():
                        right += 1
                    else:
                        wrong.append(f"{word}: {heard[-1] if heard else '-'}")
            asked = right + len(wrong)
            print(f"{speaker}: {right} of {asked} last words right ({100 * right / asked:.0f} %); {', '.join(wrong)}")


if __name__ == "__main__":
    main()
