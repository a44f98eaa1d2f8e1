"""Makes tests/golden/tiny: a checkpoint of the published layout with random weights, small enough to be in the repository, and
what the oracle computes with it: make_tiny.py FOLDER. The same bytes each time, on any machine whose NumPy rounds alike.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import re
import sys

import numpy as np

from files import write_safetensors
from networks import normalise, see
from talk import PICTURE, Case, Model

SEED, WIDTH, HEADS, KV_HEADS, FF, LAYERS, UNITS = 5, 32, 4, 2, 48, {"bottom": 2, "backbone": 2, "top": 2}, 32
TOWER = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 56, "patch_size": 14}
SPECIAL = ["begin_of_text", "end_of_text", "reserved_special_token_0", "reserved_special_token_1", "finetune_right_pad_id"]
SPECIAL += ["reserved_special_token_2", "start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag"]
ENDS = 2.4  # how much larger than others the rows are that end a text or a voice
FIRST = 256  # of the special tokens; before them one token for each byte
TEXT_ROWS = FIRST + len(SPECIAL)
BLANK, EOT, EOS = FIRST + 2, FIRST + 9, [FIRST + 1, FIRST + 8, FIRST + 9]
SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
)
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CASES = [
    ("t2t", "text_to_text", "What is this?", 24),
    ("t2t_image", "text_to_text", "<image>\nWhat is this?", 24),
    ("s2t", "speech_to_text", "units", 24),
    ("s2t_image", "speech_to_text", "<image>\nunits", 16),
    ("s2s", "speech_to_speech", "units", 40),
    ("s2s_image", "speech_to_speech", "<image>\nunits", 24),
    ("t2s", "text_to_speech", "Say it.", 32),
]
WHOLE = ("t2t_image", "s2s_image")  # the cases of which every position is kept


# ---- the checkpoint


def byte_alphabet():
    """The printable character that stands for each byte in byte-level vocabularies."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, more = {b: chr(b) for b in kept}, 0
    for b in range(256):
        if b not in names:
            names[b] = chr(256 + more)
            more += 1
    return [names[b] for b in range(256)]


def write_tokenizer(path):
    def added(i, content, special):
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": not special, "special": special}
        return {"id": i, "content": content, **flags}

    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    names = [added(FIRST + i, f"<|{name}|>", True) for i, name in enumerate(SPECIAL)]
    names += [added(TEXT_ROWS + i, f"<Audio_{i}>", False) for i in range(UNITS)]
    bpe = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    bpe |= {"fuse_unk": False, "byte_fallback": False, "ignore_merges": True}
    bpe |= {"vocab": {c: i for i, c in enumerate(byte_alphabet())}, "merges": []}
    root = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": names, "normalizer": None}
    root |= {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}, "post_processor": None, "decoder": level}
    write_json(path, root | {"model": bpe})


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=1)
        f.write("\n")


def configuration():
    return {
        "architectures": ["StreamOmniLlamaForCausalLM"], "model_type": "stream_omni_llama", "hidden_act": "silu",
        "hidden_size": WIDTH, "intermediate_size": FF, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "num_hidden_layers": LAYERS["backbone"], "num_bottom_audio_layers": LAYERS["bottom"],
        "num_top_audio_layers": LAYERS["top"], "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "max_position_embeddings": 131072,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 8192},
        "bos_token_id": FIRST, "eos_token_id": EOS, "torch_dtype": "float16", "tie_word_embeddings": False,
        "vocab_size": TEXT_ROWS + UNITS, "text_vocab_size": TEXT_ROWS, "audio_vocab_size": UNITS,
        "mm_vision_tower": "siglip-tiny", "mm_projector_type": "mlp2x_gelu", "mm_hidden_size": TOWER["hidden_size"],
        "mm_patch_merge_type": "flat", "image_aspect_ratio": "square", "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False, "vision_config": TOWER | {"layer_norm_eps": 1e-06},
    }  # fmt: skip


def draw(rng, *shape, scale=None):
    """Matrices keep the size of what they meet; stored as float16, and used as stored."""
    scale = scale if scale is not None else 1 / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 1)
    return (rng.standard_normal(shape) * scale).astype(np.float16)


def layers(w, rng, prefix, count, fusion):
    D, kv = WIDTH, WIDTH // HEADS * KV_HEADS
    for i in range(count):
        at = f"{prefix}.{i}."
        for name, rows in (("q", D), ("k", kv), ("v", kv), ("o", D)):
            w[f"{at}self_attn.{name}_proj.weight"] = draw(rng, rows, D)
        for name, rows, cols in (("gate", FF, D), ("up", FF, D), ("down", D, FF)):
            w[f"{at}mlp.{name}_proj.weight"] = draw(rng, rows, cols)
        for name in ("input", "post_attention"):
            w[f"{at}{name}_layernorm.weight"] = (1 + draw(rng, D, scale=0.1)).astype(np.float16)
        for name in "qkvo" if fusion else "":
            w[f"{at}audio_text_attn.{name}_proj.weight"] = draw(rng, D, D)


def weights():
    rng, w, D, rows = np.random.default_rng(SEED), {}, WIDTH, TEXT_ROWS + UNITS
    w["model.embed_tokens.weight"] = draw(rng, TEXT_ROWS, D, scale=1)
    layers(w, rng, "model.layers", LAYERS["backbone"], False)
    w["model.norm.weight"] = (1 + draw(rng, D, scale=0.1)).astype(np.float16)
    w["lm_head.weight"] = draw(rng, TEXT_ROWS, D, scale=0.7)
    # Mostly tokens that can be pronounced, else the text runs far ahead of the voice; ends more often than one time in 267.
    w["lm_head.weight"][[not spoken(i) for i in range(TEXT_ROWS)]] *= np.float16(0.5)
    w["lm_head.weight"][EOT] *= np.float16(ENDS)
    w["model.audio_embed_tokens.weight"] = draw(rng, rows, D, scale=1)
    layers(w, rng, "model.bottom_audio_layers", LAYERS["bottom"], False)
    w["model.audio_norm.weight"] = (1 + draw(rng, D, scale=0.1)).astype(np.float16)
    w["audio_to_text_proj.weight"] = draw(rng, TEXT_ROWS, D, scale=0.7)
    layers(w, rng, "model.top_audio_layers", LAYERS["top"], True)
    w["model.top_audio_norm.weight"] = (1 + draw(rng, D, scale=0.1)).astype(np.float16)
    w["audio_lm_head.weight"] = draw(rng, rows, D, scale=0.7)
    # Mostly units, as a trained voice has it; some texts stay, which must be fed back like any id.
    w["audio_lm_head.weight"][:TEXT_ROWS] *= np.float16(0.7)
    w["audio_lm_head.weight"][EOT] *= np.float16(ENDS)
    w["text_to_audio_proj.weight"] = draw(rng, rows, D, scale=1)
    T, prefix = TOWER, "model.vision_tower.vision_tower.vision_model."
    width, patches = T["hidden_size"], (T["image_size"] // T["patch_size"]) ** 2

    def linear(name, out, *cols):
        w[name + ".weight"], w[name + ".bias"] = draw(rng, out, *cols), draw(rng, out, scale=0.1)

    def norm(name):
        w[name + ".weight"] = (1 + draw(rng, width, scale=0.1)).astype(np.float16)
        w[name + ".bias"] = draw(rng, width, scale=0.1)

    linear(prefix + "embeddings.patch_embedding", width, 3, T["patch_size"], T["patch_size"])
    w[prefix + "embeddings.position_embedding.weight"] = draw(rng, patches, width, scale=0.5)
    for i in range(T["num_hidden_layers"] - 1):
        at = f"{prefix}encoder.layers.{i}."
        for name in ("q", "k", "v", "out"):
            linear(f"{at}self_attn.{name}_proj", width, width)
        norm(at + "layer_norm1")
        norm(at + "layer_norm2")
        linear(at + "mlp.fc1", T["intermediate_size"], width)
        linear(at + "mlp.fc2", width, T["intermediate_size"])
    norm(prefix + "post_layernorm")
    linear("model.mm_projector.0", D, width)
    linear("model.mm_projector.2", D, D)
    return w


# ---- prompts


def encode(text):
    """Bytes, but for special tokens and units, which are one each (docs/model.md 6.1)."""
    names = {f"<|{n}|>": FIRST + i for i, n in enumerate(SPECIAL)} | {f"<Audio_{i}>": TEXT_ROWS + i for i in range(UNITS)}
    ids = []
    for part in re.split(r"(<\|\w+\|>|<Audio_\d+>)", text):
        ids += [names[part]] if part in names else list(part.encode())
    return ids


def prompt(user):
    def block(role, text):
        return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}"

    text = "<|begin_of_text|>" + block("system", SYSTEM + "<|eot_id|>") + block("user", user.strip() + "<|eot_id|>")
    parts = [encode(part) for part in (text + block("assistant", "")).split("<image>")]
    ids = parts[0]
    for part in parts[1:]:  # a piece behind a picture loses its first token
        ids = ids + [PICTURE] + part[1:]
    return ids


def spoken(i):
    """Whether a letter, digit, underscore or one of these marks is left of a token decoded alone; special tokens have letters."""
    return i >= FIRST or (i < 128 and re.search(r"[A-Za-z0-9_,.!?'\"]", chr(i)) is not None and chr(i) != '"')


def decode(ids):
    return bytes(i for i in ids if i < FIRST).decode("utf-8", "replace")


def collapse(labels, first, last):
    """Labels of the user's part without blanks and repeats (docs/model.md 6.2)."""
    out, before = [], None
    for label in labels[first:last]:
        if label != BLANK and label != before:
            out.append(label)
        before = label
    return out


def picture():
    """Smooth colours and some noise."""
    y, x = np.mgrid[0 : TOWER["image_size"], 0 : TOWER["image_size"]] / TOWER["image_size"]
    rgb = np.stack([255 * x, 255 * y, 255 * (0.5 + 0.5 * np.sin(12 * x * y))], -1)
    return np.clip(rgb + np.random.default_rng(1).normal(0, 12, rgb.shape), 0, 255).astype(np.uint8)


# ---- the set


def main():
    folder = sys.argv[1]
    model_folder = os.path.join(folder, "model")
    os.makedirs(model_folder, exist_ok=True)
    config, w = configuration(), weights()
    write_json(os.path.join(model_folder, "config.json"), config)
    write_json(os.path.join(model_folder, "generation_config.json"), {"bos_token_id": FIRST, "eos_token_id": EOS})
    write_tokenizer(os.path.join(model_folder, "tokenizer.json"))
    write_safetensors(os.path.join(model_folder, "model.safetensors"), w)
    rgb = picture()
    with open(os.path.join(folder, "picture.ppm"), "wb") as f:
        f.write(b"P6\n%d %d\n255\n" % rgb.shape[1::-1] + rgb.tobytes())
    model = Model(config, w, BLANK, EOT, EOS, spoken)
    pixels = normalise(rgb)
    vectors, seen = see(config, model.w, pixels)
    kept, cases, least = {"vision/pixels": pixels[None].astype(np.float32)}, [], np.inf
    for name, rows in seen.items():
        kept["vision/" + name] = rows[:: 29 if name.endswith("_rows") else 1].astype(np.float32)
    rng = np.random.default_rng(SEED + 1)
    for name, mode, user, most in CASES:
        units = "".join(f"<Audio_{u}>" for u in rng.integers(0, UNITS, 12))
        user = user.replace("units", units)
        ids, blank_ids = prompt(user), prompt(" ")
        case = Case(model, mode, ids, blank_ids, most, vectors)
        entry = {"name": name, "inference_type": mode, "max_new_tokens": most, "user": user, "prompt_ids": ids}
        entry["image"] = "picture.ppm" if PICTURE in ids else None
        if mode == "text_to_speech":
            entry["prefill_ids"] = blank_ids
        entry |= case.json
        if case.voice:
            entry["units"] = [u - TEXT_ROWS for u in case.units if u >= TEXT_ROWS]
        entry["llm_text"] = decode(case.text)
        if case.heard:
            head = prompt("x").index(ord("x"))  # behind "<|end_header_id|>\n\n"
            entry["asr_collapsed"] = collapse(entry["asr_ids"], head - 3, len([i for i in ids if i != PICTURE]) - 3 - len("assistant\n\n") + 2)
        cases.append(entry)
        least = min(least, *case.margins)
        for what, value in case.kept.items():
            if len(value) > 100 and value.ndim > 1 and name not in WHOLE:
                continue
            kept[f"{name}/{what}"] = value.astype(np.int32 if value.dtype.kind == "i" else np.float32)
        print(f"{name}: {len(case.text)} text, {len(case.units)} units, {case.json['stopped_by']}, margin {min(case.margins):.1e}")
    # Numbers were computed in float64: the finer of the two bars is theirs.
    write_safetensors(os.path.join(folder, "golden-f64.safetensors"), {k: v for k, v in kept.items() if v.dtype == np.float32})
    write_safetensors(os.path.join(folder, "golden.safetensors"), {k: v for k, v in kept.items() if v.dtype != np.float32})
    special = {"blank": BLANK, "eot": EOT, "first_unit": TEXT_ROWS, "eos": EOS, "look_ahead": 3, "window": 5}
    root = {"origin": "tools/oracle (NumPy, float64) on random weights; written from docs/model.md", "set": "tiny", "seed": SEED}
    root |= {"logit_stride": 7, "inputs_dir": ".", "tokenizer_dir": "model", "special": special, "cases": cases}
    root |= {"vision": {"vision": {"image": "picture.ppm"}}, "images": []}
    write_json(os.path.join(folder, "golden.json"), root)
    print(f"least margin of a choice {least:.1e}")


if __name__ == "__main__":
    main()
