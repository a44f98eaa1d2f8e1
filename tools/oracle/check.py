"""Holds the oracle against a golden set that something else computed: check.py FOLDER [CASE...]

FOLDER has model/, golden.json and golden.safetensors (and golden-f64.safetensors). Prints the largest difference of each
tensor kind; exits with 1 when ids differ or a number is past its bar.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import re
import sys

import numpy as np

from files import read_model, read_safetensors
from networks import normalise, see
from talk import Case, Model


def read_ppm(path):
    with open(path, "rb") as f:
        data = f.read()
    head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
    w, h = int(head[1]), int(head[2])
    return np.frombuffer(data, np.uint8, w * h * 3, head.end()).reshape(h, w, 3)


def main():
    folder, only = sys.argv[1], sys.argv[2:]
    config, tensors = read_model(os.path.join(folder, "model"))
    with open(os.path.join(folder, "golden.json"), encoding="utf-8") as f:
        golden = json.load(f)
    told = read_safetensors(os.path.join(folder, "golden.safetensors"))
    fine = os.path.join(folder, "golden-f64.safetensors")
    if os.path.exists(fine):
        told.update(read_safetensors(fine))
    special = golden["special"]
    worst, bad, picture = {}, 0, None
    for case in golden["cases"]:
        name = case["name"]
        if only and name not in only:
            continue
        # Which tokens can be pronounced is told by the tokenizer; here by what the case lists.
        spoken = dict(zip(case["m_ids"], told.get(name + "/m_pronounceable", [])))
        model = Model(config, tensors, special["blank"], special["eot"], special["eos"], lambda i: bool(spoken.get(i, True)))
        if case["image"] and picture is None:
            picture = see(config, model.w, told["vision/pixels"][0])
            for what, rows in picture[1].items():
                stride = 29 if what.endswith("_rows") else 1
                if "vision/" + what in told:
                    worst[what] = float(np.abs(rows[::stride] - told["vision/" + what]).max())
        blank_ids = case.get("prefill_ids", [])
        done = Case(model, case["inference_type"], case["prompt_ids"], blank_ids, case["max_new_tokens"], picture and picture[0])
        for key, value in done.json.items():
            if key in case and case[key] != value:
                print(f"{name}: {key} differs: {value[:12]} for {case[key][:12]}")
                bad += 1
        for key, value in done.kept.items():
            expected = told.get(f"{name}/{key}")
            if expected is None or expected.shape != value.shape:
                if expected is not None:
                    print(f"{name}: {key} has shape {value.shape} for {expected.shape}")
                    bad += 1
            elif value.dtype == np.int32 and "topk" not in key:
                bad += not np.array_equal(value, expected)
            else:
                worst[key] = max(worst.get(key, 0), float(np.abs(value - expected).max()))
        print(f"{name}: {len(done.text)} text, {len(done.units)} units, {done.json['stopped_by']}", flush=True)
    for key, value in worst.items():
        late = value > 5e-4
        bad += late
        print(f"{key:20} {value:.2e}{' past its bar' if late else ''}")
    print(f"{bad} differences")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
