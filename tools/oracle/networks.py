"""The networks of docs/model.md 4 and 5 in float64: Llama stacks with their key-value stores, the fusion of text into the
top layers, SigLIP and the projector. Written from that document alone; nothing here is fast.

SPDX-License-Identifier: Apache-2.0
"""
import math

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


def silu(x):
    return x / (1 + np.exp(-x))


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


def layer_norm(x, weight, bias, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps) * weight + bias


def rope_frequencies(config):
    """theta^(-2i/d), with llama3's scaling where the configuration asks for it (docs/model.md 2); float, as published."""
    d = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    f = (1 / np.power(np.float32(config["rope_theta"]), (np.arange(0, d, 2) / d).astype(np.float32))).astype(np.float64)
    scaling = config.get("rope_scaling")
    if not scaling or scaling.get("rope_type", scaling.get("type")) != "llama3":
        return f
    low, high, factor = scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["factor"]
    original = scaling["original_max_position_embeddings"]
    wave = 2 * math.pi / f
    s = (original / wave - low) / (high - low)
    return np.where(wave < original / high, f, np.where(wave > original / low, f / factor, (1 - s) * f / factor + s * f))


def rotate(x, positions, frequencies):
    """x [rows, heads, d]; element i turns with i + d/2."""
    angle = np.asarray(positions, float)[:, None, None] * frequencies
    c, s = np.cos(angle), np.sin(angle)
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * c - b * s, b * c + a * s], axis=-1)


class Stack:
    """Layers that share a prefix of names, with the keys and values of one conversation."""

    def __init__(self, config, tensors, prefix, layers, norm):
        self.c, self.w, self.prefix, self.layers, self.norm = config, tensors, prefix, layers, norm
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.frequencies = rope_frequencies(config)
        self.keys, self.values = [None] * layers, [None] * layers
        self.length = 0

    def weight(self, layer, name):
        return self.w[f"{self.prefix}.{layer}.{name}.weight"]

    def attend(self, layer, x, positions):
        """Causal attention of new rows over everything held."""
        d = x.shape[1] // self.heads if "head_dim" not in self.c else self.c["head_dim"]
        q = rotate((x @ self.weight(layer, "self_attn.q_proj").T).reshape(len(x), self.heads, d), positions, self.frequencies)
        k = rotate((x @ self.weight(layer, "self_attn.k_proj").T).reshape(len(x), self.kv_heads, d), positions, self.frequencies)
        v = (x @ self.weight(layer, "self_attn.v_proj").T).reshape(len(x), self.kv_heads, d)
        held = self.keys[layer]
        self.keys[layer] = k if held is None else np.concatenate([held, k])
        self.values[layer] = v if held is None else np.concatenate([self.values[layer], v])
        group = self.heads // self.kv_heads
        k, v = np.repeat(self.keys[layer], group, 1), np.repeat(self.values[layer], group, 1)
        z = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(d)
        z = np.where(np.arange(len(k))[None, :] <= np.asarray(positions)[:, None], z, -np.inf)
        y = np.einsum("hqk,khd->qhd", softmax(z), v).reshape(len(x), -1)
        return y @ self.weight(layer, "self_attn.o_proj").T

    def fuse(self, layer, row, position, memory, first):
        """CrossAttn(x, R) of one row; memory [n, D] are rows of the text table, the first of them token number `first`."""
        n, D = memory.shape
        d = D // self.heads
        name = "audio_text_attn."
        q = rotate((row @ self.weight(layer, name + "q_proj").T).reshape(1, self.heads, d), [position], self.frequencies)
        k = (memory @ self.weight(layer, name + "k_proj").T).reshape(n, self.heads, d)
        k = rotate(k, range(first, first + n), self.frequencies)
        v = (memory @ self.weight(layer, name + "v_proj").T).reshape(n, self.heads, d)
        p = softmax(np.einsum("qhd,khd->hqk", q, k) / math.sqrt(d))
        return np.einsum("hqk,khd->qhd", p, v).reshape(-1) @ self.weight(layer, name + "o_proj").T

    def __call__(self, x, memory=None, first=0):
        """New rows in, normed rows out; with a memory the last row takes text in. self.seen: the input of each layer."""
        eps = self.c["rms_norm_eps"]
        positions = range(self.length, self.length + len(x))
        self.seen = []
        for layer in range(self.layers):
            self.seen.append(x)
            x = x + self.attend(layer, rms_norm(x, self.weight(layer, "input_layernorm"), eps), positions)
            if memory is not None and len(memory):
                x = x.copy()
                x[-1] += self.fuse(layer, x[-1], positions[-1], memory, first)
            n = rms_norm(x, self.weight(layer, "post_attention_layernorm"), eps)
            gated = silu(n @ self.weight(layer, "mlp.gate_proj").T) * (n @ self.weight(layer, "mlp.up_proj").T)
            x = x + gated @ self.weight(layer, "mlp.down_proj").T
        self.length += len(x)
        return rms_norm(x, self.w[self.norm], eps)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def normalise(rgb):
    """Bytes [H, W, 3] to [3, H, W]: (v/255 - 0.5)/0.5 in float32 (docs/model.md 4)."""
    x = (rgb.astype(np.float64) * (1 / 255)).astype(np.float32)
    return ((x - np.float32(0.5)) / np.float32(0.5)).transpose(2, 0, 1)


def see(config, w, pixels):
    """One picture's vectors for the backbone, and what stands on the way by name."""
    v, prefix = config["vision_config"], "model.vision_tower.vision_tower.vision_model."
    patch, heads = v["patch_size"], v["num_attention_heads"]
    eps, side = v.get("layer_norm_eps", 1e-6), v["image_size"] // v["patch_size"]
    cut = pixels.astype(float)[:, : side * patch, : side * patch].reshape(3, side, patch, side, patch)
    cut = cut.transpose(1, 3, 0, 2, 4).reshape(side * side, -1)

    def linear(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    kernel = w[prefix + "embeddings.patch_embedding.weight"]
    x = cut @ kernel.reshape(len(kernel), -1).T + w[prefix + "embeddings.patch_embedding.bias"]
    seen = {"patch_rows": x}
    x = x + w[prefix + "embeddings.position_embedding.weight"]
    seen["embed_rows"] = x
    for layer in range(v["num_hidden_layers"] - 1):
        at = f"{prefix}encoder.layers.{layer}."
        n = layer_norm(x, w[at + "layer_norm1.weight"], w[at + "layer_norm1.bias"], eps)
        q, k, u = (linear(n, f"{at}self_attn.{name}_proj").reshape(len(x), heads, -1) for name in "qkv")
        p = softmax(np.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1]))
        x = x + linear(np.einsum("hqk,khd->qhd", p, u).reshape(len(x), -1), at + "self_attn.out_proj")
        n = layer_norm(x, w[at + "layer_norm2.weight"], w[at + "layer_norm2.bias"], eps)
        x = x + linear(gelu_tanh(linear(n, at + "mlp.fc1")), at + "mlp.fc2")
        seen[f"layer{layer}_rows"] = x
    seen["features"] = x
    h = linear(x, "model.mm_projector.0")
    h = 0.5 * h * (1 + erf(h / math.sqrt(2)))
    seen["projected"] = linear(h, "model.mm_projector.2")
    return seen["projected"], seen
