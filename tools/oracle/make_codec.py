"""Makes the tiny codec and what the oracle computes with it: make_codec.py FOLDER

Weights are random and stored as 16-bit floats; everything is computed in float64, and once more in float32, which tells by how
much rounding moves each tensor.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import sys

import numpy as np

from codec import PARTS, Codec
from files import write_safetensors

SEED = 20261129
CONFIG = {
    "tokenizer": {"dim": 16, "heads": 2, "layers": 2, "codebook": 24, "n_mels": 128, "n_ctx": 40, "conv_strides": [2, 2]},
    "flow": {"vocab": 24, "enc_dim": 16, "enc_heads": 2, "enc_ffn": 32, "enc_layers": 2, "est_channels": 16, "est_heads": 2}
    | {"est_head_dim": 8, "est_blocks": 1, "est_mid": 2, "spk_dim": 12, "input_frame_rate": 25, "n_mels": 12, "n_timesteps": 10}
    | {"border": 3, "inference_cfg_rate": 0.7, "sigma_min": 1e-06, "t_scheduler": "cosine"},
    "hift": {"base_channels": 16, "f0_channels": 12, "n_mels": 12, "sample_rate": 22050, "nb_harmonics": 3, "nsf_alpha": 0.1}
    | {"nsf_sigma": 0.003, "voiced_threshold": 10, "upsample_rates": [8, 8], "upsample_kernel_sizes": [16, 16]}
    | {"istft_n_fft": 16, "istft_hop": 4, "resblock_kernel_sizes": [3, 7, 11], "source_resblock_kernel_sizes": [7, 11]}
    | {"dilations": [1, 3, 5], "lrelu_slope": 0.1, "audio_limit": 0.99},
}


class Maker:
    """Random tensors by name, in the order in which they are asked for."""

    def __init__(self):
        self.rng, self.parts = np.random.default_rng(SEED), {part: {} for part in PARTS}

    def put(self, part, name, value):
        self.parts[part][name] = value.astype(np.float16)

    def weight(self, part, name, *shape, gain=1.0):
        self.put(part, name, self.rng.normal(0, gain / np.sqrt(np.prod(shape[1:])), shape))

    def bias(self, part, name, n, around=0.0):
        self.put(part, name, around + self.rng.normal(0, 0.1, n))

    def linear(self, part, name, out, into, *width, bias=True, gain=1.0):
        self.weight(part, name + ".weight", out, into, *width, gain=gain)
        if bias:
            self.bias(part, name + ".bias", out)

    def norm(self, part, name, n):
        self.bias(part, name + ".weight", n, 1)
        self.bias(part, name + ".bias", n)

    def normed(self, part, name, out, into, width, bias, gain=1.0):
        """A convolution stored as direction and length."""
        self.weight(part, name + ".weight_v", out, into, width)
        v = self.parts[part][name + ".weight_v"].astype(float)
        self.put(part, name + ".weight_g", gain * np.sqrt((v * v).sum((1, 2), keepdims=True)))
        self.bias(part, name + ".bias", bias)


def tokenizer(m):
    part, c = PARTS[0], CONFIG["tokenizer"]
    D = c["dim"]
    m.put(part, "encoder.positional_embedding", m.rng.normal(0, 0.3, (c["n_ctx"], D)))
    m.linear(part, "encoder.conv1", D, c["n_mels"], 3)
    m.linear(part, "encoder.conv2", D, D, 3)
    for i in range(c["layers"]):
        b = f"encoder.blocks.{i}."
        for name in ("query", "key", "value", "out"):
            m.linear(part, b + "attn." + name, D, D, bias=name != "key")
        m.norm(part, b + "attn_ln", D)
        m.linear(part, b + "mlp.0", 4 * D, D)
        m.linear(part, b + "mlp.2", D, 4 * D)
        m.norm(part, b + "mlp_ln", D)
    m.put(part, "quantizer._codebook.embed", m.rng.normal(0, 0.25, (c["codebook"], D)))


def stage(m, name, into):
    part, c, e = PARTS[1], CONFIG["flow"], "decoder.estimator." + name + "."
    C, A = c["est_channels"], c["est_heads"] * c["est_head_dim"]
    m.linear(part, e + "0.mlp.1", C, 4 * C)
    for which, width in (("block1", into), ("block2", C)):
        m.linear(part, f"{e}0.{which}.block.0", C, width, 3, gain=1.4)
        m.norm(part, f"{e}0.{which}.block.1", C)
    m.linear(part, e + "0.res_conv", C, into, 1)
    for i in range(c["est_blocks"]):
        b = f"{e}1.{i}."
        m.norm(part, b + "norm1", C)
        for q in "qkv":
            m.linear(part, b + "attn1.to_" + q, A, C, bias=False)
        m.linear(part, b + "attn1.to_out.0", C, A)
        m.norm(part, b + "norm3", C)
        m.linear(part, b + "ff.net.0.proj", 4 * C, C)
        m.linear(part, b + "ff.net.2", C, 4 * C)


def flow(m):
    part, c, e = PARTS[1], CONFIG["flow"], "decoder.estimator."
    D, M, C = c["enc_dim"], c["n_mels"], c["est_channels"]
    m.put(part, "input_embedding.weight", m.rng.normal(0, 1, (c["vocab"], D)))
    m.linear(part, "spk_embed_affine_layer", M, c["spk_dim"])
    m.linear(part, "encoder.embed.out.0", D, D)
    m.norm(part, "encoder.embed.out.1", D)
    for i in range(c["enc_layers"]):
        b = f"encoder.encoders.{i}."
        for q in ("q", "k", "v", "out"):
            m.linear(part, b + "self_attn.linear_" + q, D, D)
        m.linear(part, b + "self_attn.linear_pos", D, D, bias=False)
        for u in "uv":
            m.put(part, b + "self_attn.pos_bias_" + u, m.rng.normal(0, 0.3, (c["enc_heads"], D // c["enc_heads"])))
        m.linear(part, b + "feed_forward.w_1", c["enc_ffn"], D)
        m.linear(part, b + "feed_forward.w_2", D, c["enc_ffn"])
        m.norm(part, b + "norm_ff", D)
        m.norm(part, b + "norm_mha", D)
    m.norm(part, "encoder.after_norm", D)
    m.linear(part, "encoder_proj", M, D)
    for i in range(4):
        m.linear(part, f"length_regulator.model.{3 * i}", M, M, 3)
        m.norm(part, f"length_regulator.model.{3 * i + 1}", M)
    m.linear(part, "length_regulator.model.12", M, M, 1)
    m.linear(part, e + "time_mlp.linear_1", 4 * C, 4 * M)
    m.linear(part, e + "time_mlp.linear_2", 4 * C, 4 * C)
    for name, into in [("down_blocks.0", 4 * M), ("down_blocks.1", C)] + [(f"mid_blocks.{i}", C) for i in range(c["est_mid"])]:
        stage(m, name, into)
    for name in ("up_blocks.0", "up_blocks.1"):
        stage(m, name, 2 * C)
    m.linear(part, e + "down_blocks.0.2.conv", C, C, 3)
    m.linear(part, e + "down_blocks.1.2", C, C, 3)
    m.linear(part, e + "up_blocks.0.2.conv", C, C, 4)
    m.linear(part, e + "up_blocks.1.2", C, C, 3)
    m.linear(part, e + "final_block.block.0", C, C, 3)
    m.norm(part, e + "final_block.block.1", C)
    m.linear(part, e + "final_proj", M, C, 1)


def resblock(m, name, channels, width):
    part = PARTS[2]
    for i in range(len(CONFIG["hift"]["dilations"])):
        for which in "12":
            m.normed(part, f"{name}.convs{which}.{i}", channels, channels, width, channels, 0.5)
            m.put(part, f"{name}.activations{which}.{i}.alpha", np.exp(m.rng.normal(0, 0.3, channels)))


def hift(m):
    part, c = PARTS[2], CONFIG["hift"]
    M, bins = c["n_mels"], c["istft_n_fft"] + 2
    into = c["base_channels"]
    m.linear(part, "m_source.l_linear", 1, c["nb_harmonics"] + 1)
    m.normed(part, "conv_pre", into, M, 7, into)
    for i, (rate, width) in enumerate(zip(c["upsample_rates"], c["upsample_kernel_sizes"])):
        out, down = into // 2, int(np.prod(c["upsample_rates"][i + 1 :]))
        m.normed(part, f"ups.{i}", into, out, width, out, 3)
        m.linear(part, f"source_downs.{i}", out, bins, 1 if down == 1 else 2 * down)
        resblock(m, f"source_resblocks.{i}", out, c["source_resblock_kernel_sizes"][i])
        for j, kernel in enumerate(c["resblock_kernel_sizes"]):
            resblock(m, f"resblocks.{i * len(c['resblock_kernel_sizes']) + j}", out, kernel)
        into = out
    m.normed(part, "conv_post", bins, into, 7, bins, 0.5)
    for i in range(5):
        m.normed(part, f"f0_predictor.condnet.{2 * i}", c["f0_channels"], M if i == 0 else c["f0_channels"], 3, c["f0_channels"])
    m.linear(part, "f0_predictor.classifier", 1, c["f0_channels"], gain=60)


# ---- cases

# What the program does not name inside of its networks.
UNNAMED = {"est_down1_resnet", "est_down1_tb0", "est_mid_last_tb0", "est_up0_tb0", "est_up1_resnet", "est_up1_tb0"}


def describe(case, kept, inputs, found, rough):
    """Adds a case's tensors and what golden.json tells of them."""
    tensors = []
    for role, values in (("input", inputs), ("output", found)):
        for what, value in values.items():
            if what in UNNAMED:
                continue
            value = np.asarray(value)
            value = value.astype(np.int32 if value.dtype.kind == "i" else np.float32)
            about = {"name": f"{case['name']}.{what}", "shape": list(value.shape), "role": role}
            if value.dtype == np.float32:
                about["max_abs"] = float(np.abs(value).max())
                if role == "output":
                    about["fp32_vs_fp64_max_abs"] = float(np.abs(np.asarray(found[what], float) - np.asarray(rough[what], float)).max())
            kept[about["name"]] = value
            tensors.append(about)
    return case | {"tensors": tensors}


def cases(fine, rough):
    rng, kept, out = np.random.default_rng(SEED + 1), {}, []
    M = CONFIG["flow"]["n_mels"]

    def add(name, params, inputs, what):
        found, other = what(fine), what(rough)
        out.append(describe({"name": name, "params": params}, kept, inputs, found, other))
        return found

    logmel = np.cumsum(rng.normal(0, 0.3, (128, 37)), 1).astype(np.float32)
    add("tok.a", {}, {"logmel": logmel}, lambda c: c.tokenize(logmel))
    embedding = rng.normal(0, 1, CONFIG["flow"]["spk_dim"]).astype(np.float32)
    for name, n, prompt in (("flow.short", 5, 0), ("flow.long", 11, 0), ("flow.prompt", 9, 4)):
        frames, first = fine.frames(n), fine.frames(prompt)
        inputs = {"tokens": rng.integers(0, CONFIG["flow"]["vocab"], n), "embedding": embedding}
        inputs["z"] = rng.normal(0, 1, (M, first + frames)).astype(np.float32)
        if prompt:
            inputs["prompt_tokens"] = rng.integers(0, CONFIG["flow"]["vocab"], prompt)
            inputs["prompt_feat"] = rng.normal(-5, 2, (first, M)).astype(np.float32)
        params = {"tokens": n, "prompt_tokens": prompt, "prompt_frames": first, "frames": frames, "cache_frames": 0}
        add(name, params, inputs, lambda c: c.flow(**inputs))
    lengths = np.array([fine.frames(n) for n in range(200)], np.int32)
    add("flow.lengths", {}, {}, lambda c: {"frames": lengths})
    mel = np.cumsum(rng.normal(0, 0.5, (M, 5)), 1).astype(np.float32)
    phase = np.concatenate([[0], rng.uniform(-np.pi, np.pi, CONFIG["hift"]["nb_harmonics"])]).astype(np.float32)
    noise = rng.normal(0, 1, (len(phase), mel.shape[1] * 256)).astype(np.float32)
    f0 = fine.pitch(mel).astype(np.float32)
    source = fine.source(fine.harmonics(f0, phase, noise)).astype(np.float32)
    found = add("hift.a", {"frames": mel.shape[1]}, {"mel": mel, "phase": phase, "noise": noise}, lambda c: c.vocode(mel, phase, noise, f0, source))
    print("f0", np.round(f0, 1), "margin of a unit", kept["tok.a.margin"].min(), "largest sample", np.abs(found["wave"]).max())
    magnitude, turned = np.exp(rng.normal(0, 2, (9, 11))).astype(np.float32), rng.uniform(-4, 4, (9, 11)).astype(np.float32)
    add("hift.istft", {}, {"magnitude": magnitude, "phase": turned}, lambda c: {"wave": c.istft(magnitude.astype(c.t), turned.astype(c.t))})
    return kept, out


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    m = Maker()
    tokenizer(m)
    flow(m)
    hift(m)
    for part, tensors in m.parts.items():
        write_safetensors(os.path.join(folder, part + ".safetensors"), tensors)
    kept, listed = cases(Codec.read(folder, CONFIG), Codec.read(folder, CONFIG, np.float32))
    write_safetensors(os.path.join(folder, "golden.safetensors"), kept)
    root = {"origin": "tools/oracle (NumPy, float64) on random weights; written from docs/model.md", "set": "tiny-codec", "seed": SEED}
    for name, value in (("config.json", CONFIG), ("golden.json", root | {"cases": listed})):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
