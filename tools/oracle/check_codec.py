"""Holds the codec's oracle against a golden set that something else computed: check_codec.py FOLDER

FOLDER has config.json, the parts of a codec as safetensors, golden.json and golden.safetensors. Prints the largest difference of
each tensor kind; exits with 1 when ids differ or a number is past its bar: ten times the rounding noise that golden.json tells
of it, at least 2e-6 of the largest value.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import sys

import numpy as np

from codec import Codec
from files import read_safetensors


def run(codec, name, get):
    """What the oracle computes for a case; None for one that it has nothing for."""
    kind = name.split(".")[0]
    if kind == "tok":
        return codec.tokenize(get("logmel"))
    if kind == "flow" and get("z") is not None and get("cache_in") is None:
        prompt = get("prompt_tokens")
        return codec.flow(get("tokens"), get("embedding"), get("z"), () if prompt is None else prompt, get("prompt_feat"))
    if name == "hift.istft":
        return {"wave": codec.istft(get("magnitude").astype(float), get("phase").astype(float))}
    if kind == "hift" and get("cache_source") is None:
        return codec.vocode(get("mel"), get("phase"), get("noise"), get("f0"), get("source"))
    return None


def bar_of(name, what, about):
    if name == "hift.istft" or what not in ("source", "harmonics", "source_exact"):
        least = 0
    else:  # the set rounds the running phase, docs/model.md 7.3 does not
        least = 1e-4
    # The sines of time come from an exp whose last place differs between libraries, and angles reach 1000 times that.
    times = 40 if what.startswith(("est_", "estimator")) else 10
    return max(times * about.get("fp32_vs_fp64_max_abs", 0), 4e-6 * about.get("max_abs", 0), least)


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    with open(os.path.join(folder, "golden.json"), encoding="utf-8") as f:
        golden = json.load(f)
    told = read_safetensors(os.path.join(folder, "golden.safetensors"))
    codec, worst, bad, compared = Codec.read(folder, config), {}, 0, 0
    for case in golden["cases"]:
        name = case["name"]
        found = run(codec, name, lambda what: told.get(f"{name}.{what}"))
        for about in case.get("tensors", []) if found else []:
            what = about["name"][len(name) + 1 :]
            if about.get("role") == "input" or what not in found or about["name"] not in told:
                continue
            expected, got = told[about["name"]], np.asarray(found[what])
            if got.shape != expected.shape:
                print(f"{name}: {what} is {got.shape}, expected {expected.shape}")
                bad += 1
                continue
            compared += 1
            difference = float(np.abs(got.astype(float) - expected.astype(float)).max())
            bar = 0 if expected.dtype.kind == "i" else bar_of(name, what, about)
            worst[what] = max(worst.get(what, 0), difference)
            if not difference <= bar:
                print(f"{name}: {what} is off by {difference:.3g}, expected at most {bar:.3g}")
                bad += 1
    for what, difference in sorted(worst.items()):
        print(f"{what:20} {difference:.2e}")
    if not compared:
        print("nothing was compared")
        bad += 1
    print(f"{compared} tensors, {bad} differences")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
