#!/usr/bin/env python3
"""How well speech is understood by ears that never learnt from it: PocketSphinx with its US English model, which may
write every word of the tabletop world with equal weight and knows nothing of its grammar.

    tools/independent_ears.py install VENV         a virtual environment with the packages (once; 40 MB)
    VENV/bin/python tools/independent_ears.py score CORPUS [--words WORLD] [--questions]
        word errors of the answers' speech (or the questions') of a corpus: 'data tabletop CORPUS --answers', by kind
    VENV/bin/python tools/independent_ears.py model MODEL CORPUS [--words WORLD] [--program build/stream-omni]
        word errors of what a model says when it is given the corpus's answers to say ('speak')
    VENV/bin/python tools/independent_ears.py voice ENGINE/NAME CORPUS ...
        the same of a synthesiser: flite/slt, festival/cmu_us_slt_arctic_hts, espeak-ng/en-us+f3

WORLD is a corpus whose answers (questions) hold the words that may be written ('data tabletop WORLD --mute --scenes
500 --talk 4000'); CORPUS itself when not given.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import venv

RATE = 16000


def words_of(text):
    return re.findall(r"[a-z']+", text.lower())


def records_of(folder):
    with open(os.path.join(folder, "records.jsonl"), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


class Ears:
    def __init__(self, words):
        from pocketsphinx import Decoder, get_model_path

        known, lines = set(), []
        path = os.path.join(get_model_path(), "en-us")
        with open(os.path.join(path, "cmudict-en-us.dict"), encoding="utf-8") as f:
            for line in f:
                word = line.split(None, 1)[0]
                if re.sub(r"\(\d+\)$", "", word) in words:
                    known.add(re.sub(r"\(\d+\)$", "", word))
                    lines.append(line)
        self.unknown = sorted(set(words) - known)
        self.known = len(known)
        self.folder = tempfile.TemporaryDirectory()
        lexicon, grammar = os.path.join(self.folder.name, "words.dict"), os.path.join(self.folder.name, "words.arpa")
        with open(lexicon, "w", encoding="utf-8") as f:
            f.writelines(lines)


        weight = -math.log10(len(known) + 1)
        with open(grammar, "w", encoding="utf-8") as f:
            f.write("\\data\\\nngram 1=%d\n\n\\1-grams:\n" % (len(known) + 2))
            for word in ["</s>", *sorted(known)]:
                f.write("%.4f %s\n" % (weight, word))
            f.write("-99 <s>\n\n\\end\\\n")
        self.decoder = Decoder(hmm=os.path.join(path, "en-us"), dict=lexicon, lm=grammar, loglevel="FATAL", samprate=RATE)

    def hear(self, path):
        import numpy
        import soundfile

        x, rate = soundfile.read(path, dtype="float32", always_2d=True)
        x = x.mean(axis=1)
        if rate != RATE:  # by a spectrum that is cut or padded: whole recordings are short
            n = int(round(len(x) * RATE / rate))
            spectrum = numpy.fft.rfft(x)
            kept = numpy.zeros(n // 2 + 1, dtype=spectrum.dtype)
            m = min(len(kept), len(spectrum))
            kept[:m] = spectrum[:m]
            x = numpy.fft.irfft(kept, n) * (n / len(x))
        peak = max(1e-6, float(abs(x).max()))
        pcm = (x / peak * 16000).astype("<i2").tobytes()
        self.decoder.start_utt()
        quiet = b"\0" * (RATE // 5)
        self.decoder.process_raw(quiet + pcm + quiet, full_utt=True)
        self.decoder.end_utt()
        best = self.decoder.hyp()
        return words_of(best.hypstr) if best else []


def errors(wanted, found):
    row = list(range(len(found) + 1))
    for i, w in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, f in enumerate(found, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (w != f))
    return row[-1]


def score(o, sounds):
    """`sounds` yields (record, text, path)."""
    words = set()
    for record in records_of(o.words or o.corpus):
        words.update(words_of(record["question" if o.questions else "answer"]))
    ears = Ears(words)
    print("%d words may be written%s" % (ears.known, "; not known: " + ", ".join(ears.unknown) if ears.unknown else ""))
    wrong, spoken, kinds = 0, 0, {}
    for n, (record, text, path) in enumerate(sounds):
        wanted = words_of(text)
        found = ears.hear(path)
        e = errors(wanted, found)
        if o.verbose:
            print("%s | %s | %d" % (" ".join(wanted), " ".join(found), e))
        wrong, spoken = wrong + e, spoken + len(wanted)
        kind = kinds.setdefault(record.get("kind", "?"), [0, 0])
        kind[0] += e
        kind[1] += len(wanted)
    if not spoken:
        sys.exit("nothing was heard: the corpus has no speech of this kind")
    for kind in sorted(kinds):
        print("  %-12s %5.1f %% of %d" % (kind, 100.0 * kinds[kind][0] / max(1, kinds[kind][1]), kinds[kind][1]))
    print("word errors %.1f %% of %d words" % (100.0 * wrong / spoken, spoken))


def chosen(o):
    records = records_of(o.corpus)
    step = max(1, len(records) // o.items) if o.items else 1
    return records[::step][: o.items or None]


def of_corpus(o):
    key, text = ("speech", "question") if o.questions else ("answer_speech", "answer")
    for record in chosen(o):
        if record.get(key):
            yield record, record[text], os.path.join(o.corpus, record[key])


def spoken_by(o, command):
    """Answers said by a command that takes the text and the file's name."""
    with tempfile.TemporaryDirectory() as folder:
        for record in chosen(o):
            path = os.path.join(folder, "said.wav")
            if os.path.exists(path):
                os.unlink(path)
            argv, text = command(record["answer"], path)
            subprocess.run(argv, input=text, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            yield record, record["answer"], path


def of_model(o):
    return spoken_by(o, lambda text, path: ([o.program, "speak", "--text", text, "--wav", path, "--model", o.model, "--quiet"], None))


def of_voice(o):
    engine, name = o.voice.split("/", 1)
    if engine == "flite":
        return spoken_by(o, lambda text, path: (["flite", "-voice", name, "-t", text, "-o", path], None))
    if engine == "festival":
        return spoken_by(o, lambda text, path: (["text2wave", "-eval", "(voice_%s)" % name, "-o", path], text.encode()))
    if engine == "espeak-ng":
        return spoken_by(o, lambda text, path: (["espeak-ng", "-v", name, "-s", "160", "-w", path, text], None))
    sys.exit("no engine '%s', expected flite, festival or espeak-ng" % engine)


def install(o):
    venv.create(o.venv, with_pip=True)
    subprocess.check_call([os.path.join(o.venv, "bin", "python"), "-m", "pip", "install", "-q", "pocketsphinx", "numpy", "soundfile"])
    print("%s hears: %s/bin/python %s score CORPUS" % (o.venv, o.venv, sys.argv[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    v = verbs.add_parser("install")
    v.add_argument("venv")
    v.set_defaults(run=install)
    for name, sounds in (("score", of_corpus), ("model", of_model), ("voice", of_voice)):
        v = verbs.add_parser(name)
        if name != "score":
            v.add_argument(name)
        v.add_argument("corpus")
        v.add_argument("--words", metavar="WORLD")
        v.add_argument("--items", type=int, default=0, help="so many, spread over the corpus; 0: all")
        v.add_argument("--questions", action="store_true")
        v.add_argument("--verbose", action="store_true")
        v.add_argument("--program", default="build/stream-omni")
        v.set_defaults(run=lambda o, sounds=sounds: score(o, sounds(o)))
    o = parser.parse_args()
    o.run(o)


if __name__ == "__main__":
    main()
