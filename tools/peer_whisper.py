#!/usr/bin/env python3
"""Holds `eval normalise` against Whisper's own normalisers, and `eval wer` against jiwer, on random lines.

    pip install jiwer whisper-normalizer
    tools/peer_whisper.py build/stream-omni [--lines 20000] [--seed 1] [--spelling english.json]

Half of the lines are number words, money, titles, contractions and brackets, half have random Unicode, Roman numerals, Turkish capitals
and digits of other scripts among them. The list of British spellings is Whisper's english.json; without it lines whose words are in it
differ. Ends with 1 where anything does.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

import jiwer
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

WORDS = """one two three four five six seven eight nine ten eleven twelve thirteen twenty thirty forty fifty ninety hundred thousand
million billion oh zero double triple point and a half minus plus dollars dollar cents euro pounds percent per cent first second third
twentieth hundredth sixes ones Mr. Mrs. Dr. St. Prof. Jr. won't can't let's y'all gonna he's she'd been we've I'm it'll colour theatre
centre organise favourite [noise] (laughs) <x> uh hmm café naïve Łódź straße œuvre 1,000 3.14 $20 €5 £7 ¢9 50% 2nd 3rd 1960s 10km b747
U.S. e.g. don't -5 +7 1/2 ... . , ? ! ' Ⅻ ⅷ İstanbul ٣ ٤٥ ۷ १२ １２ ½ ²""".split()


def plain(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12)))


def wild(rng):
    out = []
    for _ in range(rng.randint(1, 16)):
        k = rng.random()
        if k < 0.4:
            out.append(rng.choice(WORDS) + " ")
        elif k < 0.6:
            out.append(chr(rng.choice([0x2160, 0x2170]) + rng.randint(0, 15)))
        elif k < 0.7:
            out.append("\u0130")
        elif k < 0.8:
            zero = rng.choice([0x660, 0x6F0, 0x966, 0xFF10, 0x1D7CE, 0x9E6, 0x7C0])
            out.append(chr(zero + rng.randint(0, 9)) + rng.choice(["", " "]))
        else:
            c = chr(rng.randint(0x20, 0x2FFF))
            out.append(" " if unicodedata.category(c) in ("Cn", "Cs", "Cc", "Co") else c)
    return "".join(out)


def letters(text):
    """As the authors count: letters and digits, in capitals."""
    return " ".join("".join(c for c in text if c.isascii() and (c.isalnum() or c == " ")).upper().split())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--lines", type=int, default=20000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--spelling")
    a = arguments.parse_args()
    rng = random.Random(a.seed)
    place = tempfile.mkdtemp()
    lines = [(plain if i % 2 else wild)(rng).replace("\n", " ").replace("\r", " ") for i in range(a.lines)]

    def write(name, texts):
        path = os.path.join(place, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(texts) + "\n")
        return path

    path = write("lines.txt", lines)
    english, bad = EnglishTextNormalizer(), 0
    for form, theirs in (("english", english), ("basic", BasicTextNormalizer()), ("plain", BasicTextNormalizer(remove_diacritics=True))):
        more = ["--spelling", a.spelling] if a.spelling and form == "english" else []
        done = subprocess.run([a.program, "eval", "normalise", path, "--form", form] + more, capture_output=True, check=True)
        ours = done.stdout.decode().split("\n")[:-1]
        wrong = [(line, theirs(line), got) for line, got in zip(lines, ours) if theirs(line) != got]
        print(f"{form}: {len(wrong)} of {len(lines)} differ")
        for case in wrong[:5]:
            print("   ", [text.encode("unicode_escape").decode() for text in case])
        bad += len(wrong)
    said = [english(plain(rng)) for _ in range(a.lines // 4)]
    heard = [" ".join(filter(None, (rng.choice([w, w, w, "", rng.choice(WORDS), w + " " + rng.choice(WORDS)]) for w in s.split()))) for s in said]
    pairs = [(letters(x), letters(y)) for x, y in zip(said, heard) if letters(x) and letters(y)]
    one, two = write("said.txt", [x for x, _ in pairs]), write("heard.txt", [y for _, y in pairs])
    ours = json.loads(subprocess.run([a.program, "eval", "wer", one, two, "--json"], capture_output=True, check=True).stdout)
    for name, rate in (("authors", jiwer.process_words([x for x, _ in pairs], [y for _, y in pairs]).wer),
                       ("characters", jiwer.process_characters([x for x, _ in pairs], [y for _, y in pairs]).cer)):
        same = abs(rate - ours[name]["rate"]) < 1e-9
        print(f"jiwer, {name}: {rate:.9f} and {ours[name]['rate']:.9f} of {len(pairs)} pairs{'' if same else ' DIFFER'}")
        bad += not same
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
