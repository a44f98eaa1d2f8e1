"""The codec of docs/model.md 7 with NumPy alone: speech tokenizer, flow, vocoder. Written from that document; nothing here is
fast. Everything is computed in the type that a Codec is given (float64, or float32 to see what rounding does); channels come
first, [channels, time], as in the published networks.

SPDX-License-Identifier: Apache-2.0
"""
import math
import os

import numpy as np

from files import read_safetensors
from networks import erf, layer_norm, silu, softmax

PARTS = ("speech_tokenizer_v1", "flow", "hift")


def gelu(x):
    return (x * (1 + erf(x / math.sqrt(2))) / 2).astype(x.dtype)


def mish(x):
    return x * np.tanh(np.logaddexp(0, x)).astype(x.dtype)


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def leaky(x, slope):
    return np.where(x > 0, x, slope * x).astype(x.dtype)


def snake(x, alpha):
    return x + np.sin(alpha[:, None] * x) ** 2 / (alpha[:, None] + x.dtype.type(1e-9))


def conv(x, w, bias, stride=1, padding=0, dilation=1):
    """x [in, time], w [out, in, width]."""
    width = w.shape[2]
    x = np.pad(x, ((0, 0), (padding, padding)))
    n = (x.shape[1] - dilation * (width - 1) - 1) // stride + 1
    y = sum(w[:, :, i] @ x[:, i * dilation : i * dilation + (n - 1) * stride + 1 : stride] for i in range(width))
    return y + bias[:, None]


def conv_transposed(x, w, bias, stride, padding):
    """x [in, time], w [in, out, width]: every input spreads its width over the output."""
    width, n = w.shape[2], x.shape[1]
    y = np.zeros((w.shape[1], (n - 1) * stride + width), x.dtype)
    for i in range(width):
        y[:, i : i + (n - 1) * stride + 1 : stride] += w[:, :, i].T @ x
    return y[:, padding : y.shape[1] - padding] + bias[:, None]


def group_norm(x, groups, weight, bias, eps=1e-5):
    """Over the channels of a group and all of time."""
    g = x.reshape(groups, -1)
    g = (g - g.mean(1, keepdims=True)) / np.sqrt(g.var(1, keepdims=True) + x.dtype.type(eps))
    return g.reshape(x.shape) * weight[:, None] + bias[:, None]


def attend(q, k, v, heads, scores=None):
    """Rows of q over all rows of k; `scores` [heads, q, k] before the scale, where they are not q k."""
    split = lambda x: x.reshape(len(x), heads, -1)
    q, k, v = split(q), split(k), split(v)
    z = np.einsum("qhd,khd->hqk", q, k) if scores is None else scores
    p = softmax(z / z.dtype.type(math.sqrt(q.shape[2])))
    return np.einsum("hqk,khd->qhd", p, v).reshape(len(q), -1)


def stretch(x, n):
    """Rows of x [T, C] linearly at n half-pixel centres; ends are held."""
    at = np.maximum((np.arange(n) + 0.5) * (len(x) / n) - 0.5, 0)
    low = at.astype(int)
    high = np.minimum(low + 1, len(x) - 1)
    part = (at - low).astype(x.dtype)[:, None]
    return (1 - part) * x[low] + part * x[high]


def hann(n):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)


class Codec:
    def __init__(self, config, tensors, dtype=np.float64):
        self.c, self.t = config, dtype
        self.w = {name: value.astype(dtype) for name, value in tensors.items()}
        for name in [n for n in self.w if n.endswith("weight_v")]:
            v, g = self.w[name], self.w[name[:-1] + "g"]
            norm = np.sqrt((v * v).sum(axis=tuple(range(1, v.ndim)), keepdims=True))
            self.w[name[:-2]] = g * v / norm

    @staticmethod
    def read(folder, config, dtype=np.float64):
        tensors = {}
        for part in PARTS:
            for name, value in read_safetensors(os.path.join(folder, part + ".safetensors")).items():
                tensors[part + "/" + name] = value
        return Codec(config, tensors, dtype)

    def of(self, part, name):
        """(weight, bias) of a module; None for a bias that is not there."""
        return self.w[f"{part}/{name}.weight"], self.w.get(f"{part}/{name}.bias")

    def linear(self, part, name, x):
        w, bias = self.of(part, name)
        return x @ w.T + (0 if bias is None else bias)

    def norm(self, part, name, x):
        return layer_norm(x, *self.of(part, name), self.t(1e-5))

    # ---- 7.1

    def tokenize(self, logmel):
        """logmel [bins, frames] -> what is compared: hidden [units, D], ids, distances."""
        part, c = PARTS[0], self.c["tokenizer"]
        x = logmel.astype(self.t)
        for i, stride in enumerate(c["conv_strides"]):
            x = gelu(conv(x, *self.of(part, f"encoder.conv{i + 1}"), stride=stride, padding=1))
        x = x.T + self.w[part + "/encoder.positional_embedding"][: x.shape[1]]
        for i in range(c["layers"]):
            b = f"encoder.blocks.{i}."
            n = self.norm(part, b + "attn_ln", x)
            q, k, v = (self.linear(part, b + "attn." + what, n) for what in ("query", "key", "value"))
            x = x + self.linear(part, b + "attn.out", attend(q, k, v, c["heads"]))
            n = self.norm(part, b + "mlp_ln", x)
            x = x + self.linear(part, b + "mlp.2", gelu(self.linear(part, b + "mlp.0", n)))
        unit = x / np.sqrt((x * x).sum(1, keepdims=True))
        far = ((unit[:, None, :] - self.w[part + "/quantizer._codebook.embed"][None]) ** 2).sum(2)
        near = np.sort(far, 1)
        return {"hidden": x, "ids": far.argmin(1).astype(np.int32), "best_distance": near[:, 0], "margin": near[:, 1] - near[:, 0]}

    # ---- 7.2

    def frames(self, units):
        c = self.c["flow"]
        return int(units / c["input_frame_rate"] * c.get("sample_rate", 22050) / 256)

    def encode(self, ids, seen):
        part, c = PARTS[1], self.c["flow"]
        x = self.w[part + "/input_embedding.weight"][np.maximum(ids, 0)]
        x = self.norm(part, "encoder.embed.out.1", self.linear(part, "encoder.embed.out.0", x)) * self.t(math.sqrt(c["enc_dim"]))
        seen["enc_embed"] = x
        n, D, heads = len(x), c["enc_dim"], c["enc_heads"]
        distance = np.arange(n - 1, -n, -1)[:, None] * np.exp(np.arange(0, D, 2) * -(math.log(10000) / D))[None]
        table = np.stack([np.sin(distance), np.cos(distance)], -1).reshape(2 * n - 1, D).astype(self.t)
        row = (n - 1) - (np.arange(n)[:, None] - np.arange(n)[None])  # of i - j
        for i in range(c["enc_layers"]):
            b = f"encoder.encoders.{i}."
            m = self.norm(part, b + "norm_mha", x)
            q, k, v = (self.linear(part, b + "self_attn.linear_" + what, m) for what in "qkv")
            p = self.linear(part, b + "self_attn.linear_pos", table).reshape(-1, heads, D // heads)
            split = lambda a: a.reshape(n, heads, -1)
            with_u = split(q) + self.w[f"{part}/{b}self_attn.pos_bias_u"]
            with_v = split(q) + self.w[f"{part}/{b}self_attn.pos_bias_v"]
            z = np.einsum("qhd,khd->hqk", with_u, split(k)) + np.einsum("qhd,qkhd->hqk", with_v, p[row])
            x = x + self.linear(part, b + "self_attn.linear_out", attend(q, k, v, heads, z))
            m = self.norm(part, b + "norm_ff", x)
            x = x + self.linear(part, b + "feed_forward.w_2", silu(self.linear(part, b + "feed_forward.w_1", m)))
            if i == 0:
                seen["enc_layer0"] = x
        return self.norm(part, "encoder.after_norm", x)

    def regulate(self, h, prompt, prompt_frames, frames):
        """h [units, M] -> mu [M, all frames]."""
        part, c = PARTS[1], self.c["flow"]
        border = c.get("border", 20)
        own, head = h[prompt:], self.frames(border)
        if len(own) > 2 * border:
            middle = stretch(own[border:-border], frames - 2 * head)
            x = np.concatenate([stretch(own[:border], head), middle, stretch(own[-border:], head)])
        else:
            x = stretch(own, frames)
        if prompt:
            x = np.concatenate([stretch(h[:prompt], prompt_frames), x])
        x = x.T
        for i in range(4):
            x = conv(x, *self.of(part, f"length_regulator.model.{3 * i}"), padding=1)
            x = mish(group_norm(x, 1, *self.of(part, f"length_regulator.model.{3 * i + 1}")))
        return conv(x, *self.of(part, "length_regulator.model.12"))

    def resnet(self, name, x, time, seen):
        part, e = PARTS[1], "decoder.estimator." + name + "."

        def block(which, x):
            x = conv(x, *self.of(part, f"{e}block{which}.block.0"), padding=1)
            return mish(group_norm(x, 8, *self.of(part, f"{e}block{which}.block.1")))

        h = block(1, x) + self.linear(part, e + "mlp.1", mish(time))[:, None]
        return block(2, h) + conv(x, *self.of(part, e + "res_conv"))

    def stage(self, name, x, time, seen, told):
        """A resnet and its transformer layers; told: what a golden set calls them."""
        part, c = PARTS[1], self.c["flow"]
        x = self.resnet(name + ".0", x, time, seen)
        seen[f"est_{told}_resnet"] = x
        x = x.T
        for i in range(c["est_blocks"]):
            b = f"decoder.estimator.{name}.1.{i}."
            n = self.norm(part, b + "norm1", x)
            q, k, v = (self.linear(part, b + "attn1.to_" + what, n) for what in "qkv")
            x = x + self.linear(part, b + "attn1.to_out.0", attend(q, k, v, c["est_heads"]))
            n = self.norm(part, b + "norm3", x)
            x = x + self.linear(part, b + "ff.net.2", gelu(self.linear(part, b + "ff.net.0.proj", n)))
            if i == 0:
                seen[f"est_{told}_tb0"] = x
        return x.T

    def velocity(self, x, mu, speaker, cond, t, seen):
        """f: x, mu, cond [M, T], speaker [M]."""
        part, c = PARTS[1], self.c["flow"]
        e = "decoder.estimator."
        M, half = len(x), 2 * len(x)
        rate = np.exp(np.arange(half, dtype=np.float32) * np.float32(-(math.log(10000) / (half - 1)))).astype(self.t)
        angle = self.t(1000) * self.t(t) * rate
        time = np.concatenate([np.sin(angle), np.cos(angle)])
        time = self.linear(part, e + "time_mlp.linear_2", silu(self.linear(part, e + "time_mlp.linear_1", time)))
        seen["est_time"] = time
        x = np.concatenate([x, mu, np.repeat(speaker[:, None], x.shape[1], 1), cond]).astype(self.t)
        whole = self.stage("down_blocks.0", x, time, seen, "down0")
        x = conv(whole, *self.of(part, e + "down_blocks.0.2.conv"), stride=2, padding=1)
        seen["est_down0_out"] = x
        halved = self.stage("down_blocks.1", x, time, seen, "down1")
        x = conv(halved, *self.of(part, e + "down_blocks.1.2"), padding=1)
        seen["est_down1_out"] = x
        for i in range(c["est_mid"]):
            x = self.stage(f"mid_blocks.{i}", x, time, seen, "mid_last")
        x = self.stage("up_blocks.0", np.concatenate([x, halved]), time, seen, "up0")
        x = conv_transposed(x, *self.of(part, e + "up_blocks.0.2.conv"), 2, 1)[:, : whole.shape[1]]
        seen["est_up0_out"] = x
        x = self.stage("up_blocks.1", np.concatenate([x, whole]), time, seen, "up1")
        x = conv(x, *self.of(part, e + "up_blocks.1.2"), padding=1)
        seen["est_up1_out"] = x
        x = conv(x, *self.of(part, e + "final_block.block.0"), padding=1)
        x = mish(group_norm(x, 8, *self.of(part, e + "final_block.block.1")))
        seen["est_final_block"] = x
        return conv(x, *self.of(part, e + "final_proj"))

    def flow(self, tokens, embedding, z, prompt_tokens=(), prompt_feat=None):
        """Units to mel; everything that is compared. z [M, all frames], prompt_feat [prompt frames, M]."""
        part, c, seen = PARTS[1], self.c["flow"], {}
        tokens, prompt = np.asarray(tokens), np.asarray(prompt_tokens, int)
        embedding, z = embedding.astype(self.t), z.astype(self.t)
        first = 0 if prompt_feat is None else len(prompt_feat)
        seen["spks"] = speaker = self.linear(part, "spk_embed_affine_layer", embedding / np.sqrt((embedding * embedding).sum()))
        seen["encoder"] = h = self.encode(np.concatenate([prompt, tokens]), seen)
        seen["encoder_proj"] = h = self.linear(part, "encoder_proj", h)
        seen["mu"] = mu = self.regulate(h, len(prompt), first, z.shape[1] - first)
        cond = np.zeros_like(z)
        if first:
            cond[:, :first] = prompt_feat.T
        nothing = np.zeros_like(z)
        seen["estimator"] = self.velocity(z, mu, speaker, cond, 0.3, seen)
        seen["estimator_uncond"] = self.velocity(z, nothing, speaker * 0, nothing, 0.3, {})
        steps, g, x = c["n_timesteps"], c["inference_cfg_rate"], z
        t = 1 - np.cos(np.arange(steps + 1) / steps * 0.5 * np.pi)
        for i in range(steps):
            v = self.velocity(x, mu, speaker, cond, t[i], {})
            free = self.velocity(x, nothing, speaker * 0, nothing, t[i], {})
            x = x + self.t(t[i + 1] - t[i]) * (self.t(1 + g) * v - self.t(g) * free)
            if i == 0:
                seen["x_step1"] = x
        seen["t_steps"] = t[:-1]
        seen["mel"] = x[:, first:]
        return seen

    # ---- 7.3

    def pitch(self, mel):
        part, x = PARTS[2], mel.astype(self.t)
        for i in range(5):
            w = f"f0_predictor.condnet.{2 * i}"
            x = elu(conv(x, self.w[f"{part}/{w}.weight"], self.w[f"{part}/{w}.bias"], padding=1))
        return np.abs(self.linear(part, "f0_predictor.classifier", x.T))[:, 0]

    def harmonics(self, f0, phase, noise):
        """f0 [frames], phase [H], noise [H, samples] -> [H, samples]."""
        c = self.c["hift"]
        f = np.repeat(f0.astype(float), noise.shape[1] // len(f0))
        turns = np.cumsum(f[None] * np.arange(1, len(phase) + 1)[:, None] / c["sample_rate"], axis=1)
        sine = c["nsf_alpha"] * np.sin(2 * np.pi * (turns % 1) + phase[:, None].astype(float))
        voiced = f > c["voiced_threshold"]
        return np.where(voiced, sine, 0) + np.where(voiced, c["nsf_sigma"], c["nsf_alpha"] / 3) * noise

    def source(self, harmonics):
        return np.tanh(self.linear(PARTS[2], "m_source.l_linear", harmonics.astype(self.t).T))[:, 0]

    def stft(self, x):
        """Real parts above imaginary ones, [n + 2, frames]."""
        n, hop = self.c["hift"]["istft_n_fft"], self.c["hift"]["istft_hop"]
        x = np.pad(x, n // 2, mode="reflect")
        at = np.arange(0, len(x) - n + 1, hop)
        f = np.fft.rfft(x[at[:, None] + np.arange(n)] * hann(n), axis=1).T
        return np.concatenate([f.real, f.imag]).astype(self.t)

    def istft(self, magnitude, phase):
        n, hop = self.c["hift"]["istft_n_fft"], self.c["hift"]["istft_hop"]
        f = np.minimum(magnitude, 100) * np.exp(1j * phase)
        window, frames = hann(n), f.shape[1]
        y, weight = np.zeros((frames - 1) * hop + n), np.zeros((frames - 1) * hop + n)
        for i in range(frames):
            y[i * hop : i * hop + n] += np.fft.irfft(f[:, i], n) * window
            weight[i * hop : i * hop + n] += window * window
        inner = slice(n // 2, len(y) - n // 2)
        return (y[inner] / weight[inner]).astype(self.t)

    def resblock(self, name, width, x):
        part = PARTS[2]
        for i, dilation in enumerate(self.c["hift"]["dilations"]):
            h = snake(x, self.w[f"{part}/{name}.activations1.{i}.alpha"])
            w = f"{part}/{name}.convs1.{i}"
            h = conv(h, self.w[w + ".weight"], self.w[w + ".bias"], padding=(width - 1) * dilation // 2, dilation=dilation)
            h = snake(h, self.w[f"{part}/{name}.activations2.{i}.alpha"])
            w = f"{part}/{name}.convs2.{i}"
            x = x + conv(h, self.w[w + ".weight"], self.w[w + ".bias"], padding=(width - 1) // 2)
        return x

    def wave(self, mel, source, seen):
        """mel [M, frames], source [samples] -> [samples]."""
        part, c = PARTS[2], self.c["hift"]
        slope, rates, widths = self.t(c["lrelu_slope"]), c["upsample_rates"], c["resblock_kernel_sizes"]
        seen["source_stft"] = s = self.stft(source.astype(self.t))
        x = conv(mel.astype(self.t), *self.of(part, "conv_pre"), padding=3)
        seen["conv_pre"] = x
        for i, rate in enumerate(rates):
            x = conv_transposed(leaky(x, slope), *self.of(part, f"ups.{i}"), rate, (c["upsample_kernel_sizes"][i] - rate) // 2)
            seen[f"ups{i}"] = x
            if i == len(rates) - 1:
                x = np.concatenate([x[:, 1:2], x], 1)
                seen[f"pad{i}"] = x
            down = math.prod(rates[i + 1 :])
            d = conv(s, *self.of(part, f"source_downs.{i}"), stride=down, padding=0 if down == 1 else down // 2)
            seen[f"source_down{i}"] = d
            d = self.resblock(f"source_resblocks.{i}", c["source_resblock_kernel_sizes"][i], d)
            seen[f"source_res{i}"] = d
            x = x + d
            each = [self.resblock(f"resblocks.{i * len(widths) + j}", width, x) for j, width in enumerate(widths)]
            if i == 0:
                seen["resblock0"] = each[0]
            x = sum(each) / self.t(len(widths))
        x = conv(leaky(x, self.t(0.01)), *self.of(part, "conv_post"), padding=3)
        seen["conv_post"] = x
        bins = len(x) // 2
        y = self.istft(np.exp(x[:bins]), np.sin(x[bins:]))
        return np.clip(y, -c["audio_limit"], c["audio_limit"])

    def vocode(self, mel, phase, noise, f0=None, source=None):
        """Mel to samples; everything that is compared. f0 and source: given by a golden set, else one's own."""
        seen = {"f0": self.pitch(mel)}
        f0 = seen["f0"] if f0 is None else f0
        seen["harmonics"] = self.harmonics(f0, phase, noise)
        seen["source"] = seen["source_exact"] = self.source(seen["harmonics"])
        seen["wave"] = self.wave(mel, seen["source"] if source is None else source, seen)
        return seen
