"""Quantised blocks as the `gguf` package sees them.

  quant_golden.py make FILE.gguf        writes the golden blocks that tests/kernels/quantise.c reads
  quant_golden.py check A.gguf B.gguf   reads every tensor of A with the package and compares it with B's of the same
                                        name, which this project has decoded (stream-omni convert A B --type f32)

Needs: pip install gguf

SPDX-License-Identifier: Apache-2.0"""
import sys

import numpy as np
from gguf import GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

ROWS, COLS = 3, 256
# where each block type keeps its halves
HALVES = {T.Q4_0: [0], T.Q5_0: [0], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}


def numbers(rng):
    """Rows a quantiser meets: bell-shaped, one far outlier, zeros and ties, tiny and large."""
    x = rng.standard_normal((ROWS, COLS)).astype(np.float32)
    x[0, 40] = -9
    x[1, 32:64] = 0
    x[1, 64:96] = np.arange(-16, 16) / np.float32(4)
    x[2, :128] *= np.float32(1e-5)
    x[2, 128:] *= np.float32(300)
    return x


def any_blocks(rng, kind):
    """Random bytes with halves that are small, negative or subnormal, never infinite."""
    block, size = GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (ROWS, COLS // block, size), dtype=np.uint8)
    for at in HALVES[kind]:
        half = (rng.standard_normal((ROWS, COLS // block, 1)) * 0.01).astype(np.float16)
        half[1] *= np.float16(1e-3)
        raw[:, :, at:at + 2] = half.view(np.uint8)
    return raw.reshape(ROWS, -1)


def make(path):
    rng = np.random.default_rng(20261122)
    writer = GGUFWriter(path, "golden")
    x = numbers(rng)
    writer.add_tensor("x", x)
    for kind in HALVES:
        name = kind.name.lower()
        if kind in (T.Q8_0, T.Q4_0, T.Q5_0):
            writer.add_tensor(f"{name}.written", quantize(x, kind), raw_dtype=kind)
        raw = any_blocks(rng, kind)
        writer.add_tensor(f"{name}.any", raw, raw_dtype=kind)
        writer.add_tensor(f"{name}.values", dequantize(raw, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(a, b):
    decoded = {t.name: t for t in GGUFReader(b).tensors}
    kinds, worst = {}, 0
    for t in GGUFReader(a).tensors:
        ours = decoded[t.name]
        assert ours.tensor_type == T.F32 and list(ours.shape) == list(t.shape), t.name
        same = np.array_equal(dequantize(t.data, t.tensor_type).ravel(), ours.data.ravel())
        n, equal = kinds.get(t.tensor_type.name, (0, 0))
        kinds[t.tensor_type.name] = (n + 1, equal + same)
        worst += not same
    for kind, (n, equal) in sorted(kinds.items()):
        print(f"{kind}: {equal} of {n} tensors decode to the same numbers")
    return worst


if len(sys.argv) == 3 and sys.argv[1] == "make":
    make(sys.argv[2])
elif len(sys.argv) == 4 and sys.argv[1] == "check":
    sys.exit(1 if check(sys.argv[2], sys.argv[3]) else 0)
else:
    sys.exit(__doc__)
