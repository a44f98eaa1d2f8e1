"""One conversation of docs/model.md 6: prompts, the transcript, speaking and writing at once; greedy. What every stage
computes is kept under the names of golden sets (`eval golden`).

SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from networks import Stack, softmax

PICTURE = -200
WINDOW, AHEAD = 5, 3


class Model:
    """blank, eot: ids; eos: ids that end text, and units; spoken(id): whether a token can be pronounced."""

    def __init__(self, config, tensors, blank, eot, eos, spoken):
        self.c, self.blank, self.eot, self.eos, self.spoken = config, blank, eot, eos, spoken
        self.w = {name: np.asarray(t, float) for name, t in tensors.items()}

    def stacks(self):
        c, w = self.c, self.w
        return (
            Stack(c, w, "model.bottom_audio_layers", c.get("num_bottom_audio_layers", 3), "model.audio_norm.weight"),
            Stack(c, w, "model.layers", c["num_hidden_layers"], "model.norm.weight"),
            Stack(c, w, "model.top_audio_layers", c.get("num_top_audio_layers", 5), "model.top_audio_norm.weight"),
        )


def splice(ids, rows, vectors):
    """Embedded rows of ids that are no picture, with a picture's vectors where its id stands."""
    out, at = [], 0
    for i in ids:
        if i == PICTURE:
            out.extend(vectors)
        else:
            out.append(rows[at])
            at += 1
    return np.asarray(out)


def margin(z):
    two = np.partition(z, -2, axis=-1)[..., -2:]
    return two[..., 1] - two[..., 0]


def lse(z):
    top = z.max(axis=-1)
    return top + np.log(np.exp(z - top[..., None]).sum(axis=-1))


class Case:
    """mode is "text_to_text", "speech_to_text", "speech_to_speech" or "text_to_speech"; ids the prompt, blank_ids the prompt
    with an empty user message; vectors a picture's. Afterwards self.kept has tensors by name, self.json lists."""

    def __init__(self, model, mode, ids, blank_ids, most, vectors=None):
        self.m, self.most = model, most
        self.heard, self.voice = mode.startswith("speech_"), mode.endswith("_to_speech")
        self.kept, self.json, self.margins = {}, {}, []
        self.bottom, self.backbone, self.top = model.stacks()
        self.text, self.steps, self.hidden, self.logits, self.positions = [], [], [], [], []
        self.memory, self.units = [], []
        w = model.w
        said = [i for i in ids if i != PICTURE]
        if self.heard or self.voice:
            self.listen(said if self.heard else blank_ids)
        rows = self.kept["soft_embed"] if self.heard else w["model.embed_tokens.weight"][said]
        x = splice(ids, rows, vectors)
        self.m_in = self.backbone(x)
        self.kept["m_input"], self.kept["m_first_hidden"] = x, self.m_in
        self.kept["m_first_layers"] = np.stack([s[-1] for s in self.backbone.seen] + [self.m_in[-1]])
        self.positions.append(0)
        if self.voice:
            self.speak()
        else:
            while len(self.text) < most and not (self.text and self.text[-1] in model.eos):
                self.write()
            self.json["out_ids"] = self.text
            self.json["stopped_by"] = "eos" if self.text[-1] in model.eos else "max_new_tokens"
        self.json["m_ids"] = self.text
        z = np.stack(self.logits)
        self.margins += list(margin(z))
        self.kept["m_hidden"] = np.stack(self.hidden[:8])
        self.kept["m_lse"], self.kept["m_margin"] = lse(z), margin(z)
        best = np.argsort(-z[:8], axis=-1, kind="stable")[:, :20].astype(np.int32)
        self.kept["m_topk_ids"], self.kept["m_topk_vals"] = best, np.take_along_axis(z[:8], best, -1)
        self.kept["m_pos"] = np.asarray(self.positions, np.int32)

    def listen(self, ids):
        w = self.m.w
        self.b = self.bottom(w["model.audio_embed_tokens.weight"][ids])
        z = self.b @ w["audio_to_text_proj.weight"].T
        labels = z.argmax(axis=-1)
        p = softmax(z)
        self.margins += list(margin(z))
        self.json["asr_ids"] = labels.tolist()
        self.kept.update(b_hidden=self.b, ctc_labels=labels.astype(np.int32), ctc_margin=margin(z), ctc_prob_max=p.max(axis=-1))
        self.kept["soft_embed"] = p @ w["model.embed_tokens.weight"]

    def write(self):
        """One more token of the text: the backbone reads the one before it."""
        w = self.m.w
        if self.text:
            self.positions.append(self.backbone.length)
            h = self.backbone(w["model.embed_tokens.weight"][[self.text[-1]]])[-1]
        else:
            h = self.m_in[-1]
        z = h @ w["lm_head.weight"].T
        self.hidden.append(h)
        self.logits.append(z)
        self.text.append(int(z.argmax()))
        self.steps.append(len(self.units))
        if self.m.spoken(self.text[-1]):
            self.memory.append(self.text[-1])

    def speak(self):
        w, m = self.m.w, self.m
        target, last, waiting = AHEAD, None, self.b
        hidden, logits, mem_ids, mem_pos0, positions, labels, gen_b, gen_margin = ([] for _ in range(8))
        while True:
            while len(self.memory) < target and not (self.text and self.text[-1] == m.eot):
                self.write()
            first = max(0, len(self.memory) - WINDOW)
            window = self.memory[first:]
            positions.append(self.top.length)
            rows = self.top(waiting, w["text_to_audio_proj.weight"][window], first)
            if not self.units:
                self.kept["t_input"], self.kept["t_prefill_hidden"] = waiting, rows
                self.kept["t_prefill_layers"] = np.stack([s[-1] for s in self.top.seen] + [rows[-1]])
            z = rows[-1] @ w["audio_lm_head.weight"].T
            mem_ids.append(window + [-1] * (WINDOW - len(window)))
            mem_pos0.append(first)
            hidden.append(rows[-1])
            logits.append(z)
            self.units.append(int(z.argmax()))
            if self.units[-1] in m.eos or len(self.units) == self.most:
                break
            waiting = self.bottom(w["model.audio_embed_tokens.weight"][[self.units[-1]]])
            z = waiting[-1] @ w["audio_to_text_proj.weight"].T
            label = int(z.argmax())
            labels.append(label)
            gen_b.append(waiting[-1])
            gen_margin.append(margin(z))
            if label != m.blank and label != last:
                last, target = label, len(self.memory) + 1
        z = np.stack(logits)
        self.margins += list(margin(z)) + gen_margin
        best = np.argsort(-z[:8], axis=-1, kind="stable")[:, :20].astype(np.int32)
        self.kept.update(t_hidden=np.stack(hidden[:8]), unit_lse=lse(z), unit_margin=margin(z), unit_topk_ids=best)
        self.kept.update(unit_topk_vals=np.take_along_axis(z[:8], best, -1), t_pos=np.asarray(positions, np.int32))
        self.kept.update(mem_ids=np.asarray(mem_ids, np.int32), mem_pos0=np.asarray(mem_pos0, np.int32))
        self.kept.update(m_step=np.asarray(self.steps, np.int32), prev_ids=np.asarray(self.memory, np.int32))
        self.kept["m_pronounceable"] = np.asarray([m.spoken(i) for i in self.text], np.int32)
        self.kept["gen_labels"] = np.asarray(labels, np.int32)
        if gen_b:
            self.kept["gen_b_hidden"], self.kept["gen_ctc_margin"] = np.stack(gen_b), np.asarray(gen_margin)
        self.json["out_ids"] = self.units
        self.json["stopped_by"] = "eos" if self.units[-1] in m.eos else "max_new_tokens"
