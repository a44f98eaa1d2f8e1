#!/usr/bin/env python3
"""What llama.cpp makes of a file: greedy tokens, the embedding of a picture, and its speed.

    peer_llama.py where                                       the library found, or exit status 77
    peer_llama.py system                                      what it was built for
    peer_llama.py tokens MODEL TEXT                           ids of a text, as the file's own tokenizer cuts it
    peer_llama.py greedy MODEL IDS [N]                        N (16) ids after the comma-separated IDS
    peer_llama.py ask MODEL SYSTEM WORDS [MMPROJ PICTURE]     the likeliest answer of at most 64 tokens, by the file's template
    peer_llama.py make MODEL 1b|8b q4_0|q4_k|q8_0             a file of Llama's shape with random weights and no vocabulary
    peer_llama.py bench MODEL [THREADS] [PROMPT] [REPEATS]    tokens a second of prefill and decode, medians

With PEER_LORA=FILE in the environment, a GGUF file of low-rank adapters is put beside the model's weights; PEER_TOKENS=N bounds an answer.
The library is that of a package of PyPI, xllamacpp, llama-cpp-python or ik-llama-cpp-python, called through its C interface. Structs that are passed
by value are taken as bytes, so that they need not be known: only counts at the front of the context's parameters are set.

SPDX-License-Identifier: Apache-2.0
"""
import ctypes as C
import glob
import importlib.util
import os
import random
import statistics
import struct
import sys
import time


class Bytes(C.Structure):
    """At least as long as any struct of the interface."""
    _fields_ = [("byte", C.c_uint8 * 512)]

    def set(self, index, value):
        C.c_uint32.from_buffer(self, 4 * index).value = value


N_CTX, N_BATCH, N_UBATCH = 0, 1, 2  # llama_context_params begins with these


def find():
    for package, pattern in (("xllamacpp", "*.so"), ("llama_cpp", "lib/libllama.so"), ("ik_llama_cpp", "lib/libllama.so")):
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations if spec else ():
            for path in glob.glob(os.path.join(folder, pattern)):
                return path
    return None


QUIET = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)(lambda level, text, data: None)


def load():
    path = find()
    if not path:
        print("none of xllamacpp, llama-cpp-python and ik-llama-cpp-python is installed", file=sys.stderr)
        sys.exit(77)
    lib = C.CDLL(path)
    for name in ("llama_model_default_params", "llama_context_default_params", "llama_batch_get_one",
                 "mtmd_context_params_default"):
        if hasattr(lib, name):
            getattr(lib, name).restype = Bytes
    for name in ("llama_model_load_from_file", "llama_init_from_model", "llama_model_get_vocab", "llama_get_memory",
                 "mtmd_init_from_file", "mtmd_input_chunks_init", "mtmd_helper_bitmap_init_from_file"):
        if hasattr(lib, name):
            getattr(lib, name).restype = C.c_void_p
    lib.llama_get_logits_ith.restype = C.POINTER(C.c_float)
    lib.llama_model_chat_template.restype = C.c_char_p
    lib.llama_backend_init()
    if not os.environ.get("PEER_LOG"):
        for quiet in ("llama_log_set", "mtmd_log_set", "mtmd_helper_log_set"):
            if hasattr(lib, quiet):
                getattr(lib, quiet)(QUIET, None)
    return lib


class Model:
    def __init__(self, path, threads=1, context=1024):
        self.lib = lib = load()
        self.model = C.c_void_p(lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params()))
        if not self.model:
            sys.exit(f"llama.cpp does not open {path}")
        params = lib.llama_context_default_params()
        first = 1 if params.byte[0:4] == [255, 255, 255, 255] else 0  # ik_llama.cpp: a seed comes before
        params.set(first + N_CTX, context)
        params.set(first + N_BATCH, context)
        self.context = C.c_void_p(lib.llama_init_from_model(self.model, params))
        if not self.context:
            sys.exit(f"llama.cpp makes no context for {path}")
        lib.llama_set_n_threads(self.context, threads, threads)
        self.adapt(os.environ.get("PEER_LORA"))
        self.vocab = C.c_void_p(lib.llama_model_get_vocab(self.model))
        self.size = lib.llama_vocab_n_tokens(self.vocab)

    def adapt(self, path):
        """Puts a GGUF file of low-rank adapters beside the weights."""
        if not path:
            return
        self.lib.llama_adapter_lora_init.restype = C.c_void_p
        adapter = C.c_void_p(self.lib.llama_adapter_lora_init(self.model, path.encode()))
        if not adapter:
            sys.exit(f"llama.cpp does not open {path}")
        if hasattr(self.lib, "llama_set_adapters_lora"):
            failed = self.lib.llama_set_adapters_lora(self.context, C.byref(adapter), C.c_size_t(1), C.byref(C.c_float(1)))
        else:
            failed = self.lib.llama_set_adapter_lora(self.context, adapter, C.c_float(1))
        if failed:
            sys.exit(f"llama.cpp does not apply {path}")

    def tokens(self, text, whole=True):
        """`whole`: with what the vocabulary puts before every text."""
        raw, room = text.encode(), (C.c_int32 * 65536)()
        n = self.lib.llama_tokenize(self.vocab, raw, len(raw), room, len(room), whole, True)
        return list(room[:max(n, 0)])

    def text(self, ids):
        room, out = C.create_string_buffer(512), b""
        for i in ids:
            n = self.lib.llama_token_to_piece(self.vocab, i, room, len(room), 0, False)
            out += room.raw[:max(n, 0)]
        return out.decode(errors="replace")

    def prompt(self, system, words):
        class Message(C.Structure):
            _fields_ = [("role", C.c_char_p), ("content", C.c_char_p)]
        turns, room = (Message * 2)((b"system", system.encode()), (b"user", words.encode())), C.create_string_buffer(65536)
        template = self.lib.llama_model_chat_template(self.model, None)
        n = self.lib.llama_chat_apply_template(template, turns, 2, True, room, len(room))
        if n < 0:
            sys.exit("llama.cpp does not know the file's template")
        text = room.raw[:n].decode()
        return text if text.startswith("<|begin_of_text|>") else "<|begin_of_text|>" + text

    def forget(self):
        if hasattr(self.lib, "llama_get_memory"):
            self.lib.llama_memory_clear(C.c_void_p(self.lib.llama_get_memory(self.context)), True)
        else:
            self.lib.llama_kv_cache_clear(self.context)

    def feed(self, ids):
        row = (C.c_int32 * len(ids))(*ids)
        if self.lib.llama_decode(self.context, self.lib.llama_batch_get_one(row, len(ids))) != 0:
            sys.exit("llama_decode failed")

    def best(self):
        z = self.lib.llama_get_logits_ith(self.context, -1)
        return max(range(self.size), key=z.__getitem__)

    def go_on(self, n):
        out = []
        for _ in range(n):
            out.append(self.best())
            if self.lib.llama_vocab_is_eog(self.vocab, out[-1]):
                break
            self.feed(out[-1:])
        return out

    def greedy(self, ids, n):
        self.feed(ids)
        return self.go_on(n)

    def ask(self, system, words):
        return self.text(self.greedy(self.tokens(self.prompt(system, words), False), int(os.environ.get("PEER_TOKENS", 64))))

    def ask_about(self, system, words, mmproj, picture):
        """The picture stands before the words, with nothing between, as the published code has it."""
        class Text(C.Structure):
            _fields_ = [("text", C.c_char_p), ("length", C.c_size_t), ("special", C.c_bool), ("parse", C.c_bool)]
        params = self.lib.mtmd_context_params_default()
        params.byte[0] = 0  # use_gpu
        eyes = C.c_void_p(self.lib.mtmd_init_from_file(mmproj.encode(), self.model, params))
        if not eyes:
            sys.exit(f"llama.cpp does not open {mmproj}")
        bitmap = self.lib.mtmd_helper_bitmap_init_from_file(eyes, picture.encode(), False)
        if not bitmap:
            sys.exit(f"llama.cpp does not read {picture}")
        self.lib.mtmd_default_marker.restype = C.c_char_p
        mark = self.lib.mtmd_default_marker().decode()
        raw = self.prompt(system, mark + words).encode()
        text = Text(raw, len(raw), False, True)
        chunks, end = C.c_void_p(self.lib.mtmd_input_chunks_init()), C.c_int32()
        if self.lib.mtmd_tokenize(eyes, chunks, C.byref(text), (C.c_void_p * 1)(bitmap), C.c_size_t(1)) != 0:
            sys.exit("mtmd_tokenize failed")
        if self.lib.mtmd_helper_eval_chunks(eyes, self.context, chunks, 0, 0, 512, True, C.byref(end)) != 0:
            sys.exit("mtmd_helper_eval_chunks failed")
        return self.text(self.go_on(64))


clock = time.process_time if os.environ.get("CPU_TIME") else time.perf_counter


def bench(path, threads=2, prompt=512, repeats=3):
    model = Model(path, threads, prompt + 64)
    ids = [(i * 7919 + 13) % (model.size - 300) for i in range(prompt)]
    read, write = [], []
    for r in range(repeats + 1):
        model.forget()
        t0 = clock()
        model.feed(ids)
        model.lib.llama_synchronize(model.context)
        t1 = clock()
        for i in range(8):
            model.feed(ids[i:i + 1])
        model.lib.llama_synchronize(model.context)
        t2 = clock()
        if r:  # the first warms up
            read.append(prompt / (t1 - t0))
            write.append(8 / (t2 - t1))
    print(f"prefill {statistics.median(read):.2f} decode {statistics.median(write):.3f} tokens/s")


# ---- files with random weights

SIZES = {"1b": (2048, 8192, 32, 8, 64, 16), "8b": (4096, 14336, 32, 8, 128, 32)}  # width, ff, heads, kv heads, head, layers
ROWS = 128256
# number in GGUF, elements and bytes of a block, and what makes a block of random bits tame: (place, bytes), for weights of deviation s
TYPES = {"q4_0": (2, 32, 18, lambda s: [(0, struct.pack("<e", s / 4.61))]),
         "q8_0": (8, 32, 34, lambda s: [(0, struct.pack("<e", s / 73.9))]),
         "q4_k": (12, 256, 144, lambda s: [(0, struct.pack("<ee", s / 147.5, s / 19.67) + 8 * b"\xa0" + 4 * b"\0")])}


def blocks(name, deviation, n):
    """Blocks for n elements; a few thousand different ones again and again."""
    _, elements, size, tame = TYPES[name]
    some, edits = random.Random(1), tame(deviation)
    out = bytearray(some.randbytes(size * 4093))
    for at in range(0, len(out), size):
        for place, raw in edits:
            out[at + place:at + place + len(raw)] = raw
    count, have = n // elements, 4093
    while count:
        now = min(count, have)
        yield memoryview(out)[:now * size]
        count -= now


def make(path, size, name):
    D, F, H, K, d, L = SIZES[size]
    text = lambda t: struct.pack("<Q", len(t)) + t.encode()
    u32 = lambda key, v: text(key) + struct.pack("<II", 4, v)
    f32 = lambda key, v: text(key) + struct.pack("<If", 6, v)
    word = lambda key, v: text(key) + struct.pack("<I", 8) + text(v)
    keys = [word("general.architecture", "llama"), word("tokenizer.ggml.model", "no_vocab"), u32("llama.vocab_size", ROWS),
            u32("llama.context_length", 8192), u32("llama.embedding_length", D), u32("llama.block_count", L),
            u32("llama.feed_forward_length", F), u32("llama.rope.dimension_count", d), u32("llama.attention.head_count", H),
            u32("llama.attention.head_count_kv", K), f32("llama.attention.layer_norm_rms_epsilon", 1e-5),
            f32("llama.rope.freq_base", 500000.0)]
    matrices = [("token_embd", ROWS, D), ("output", ROWS, D)]
    for i in range(L):
        matrices += [(f"blk.{i}.{what}", rows, cols) for what, rows, cols in (
            ("attn_q", H * d, D), ("attn_k", K * d, D), ("attn_v", K * d, D), ("attn_output", D, H * d), ("ffn_gate", F, D),
            ("ffn_up", F, D), ("ffn_down", D, F))]
    vectors = ["output_norm"] + [f"blk.{i}.{what}" for i in range(L) for what in ("attn_norm", "ffn_norm")]
    number, elements, bytes_each, _ = TYPES[name]
    head, at = b"", 0
    for what, rows, cols in matrices:
        head += text(what + ".weight") + struct.pack("<IQQIQ", 2, cols, rows, number, at)
        at += (rows * cols // elements * bytes_each + 31) // 32 * 32
    for what in vectors:
        head += text(what + ".weight") + struct.pack("<IQIQ", 1, D, 0, at)
        at += 4 * D
    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, len(matrices) + len(vectors), len(keys)) + b"".join(keys) + head)
        f.write(bytes(-f.tell() % 32))
        for what, rows, cols in matrices:
            for piece in blocks(name, cols ** -0.5, rows * cols):
                f.write(piece)
            f.write(bytes(-f.tell() % 32))
        for what in vectors:
            f.write(struct.pack("<f", 1.0) * D)


def main(argv):
    if argv == ["where"]:
        load()
        print(find())
    elif argv == ["system"]:
        lib = load()
        lib.llama_print_system_info.restype = C.c_char_p
        print("llama.cpp:", lib.llama_print_system_info().decode())
    elif argv[:1] == ["tokens"] and len(argv) == 3:
        print(*Model(argv[1]).tokens(argv[2]))
    elif argv[:1] == ["greedy"] and len(argv) in (3, 4):
        print(*Model(argv[1]).greedy([int(i) for i in argv[2].split(",")], int(argv[3]) if argv[3:] else 16))
    elif argv[:1] == ["ask"] and len(argv) == 4:
        print(Model(argv[1]).ask(*argv[2:]))
    elif argv[:1] == ["ask"] and len(argv) == 6:
        print(Model(argv[1]).ask_about(*argv[2:]))
    elif argv[:1] == ["make"] and len(argv) == 4 and argv[2] in SIZES and argv[3] in TYPES:
        make(*argv[1:])
    elif argv[:1] == ["bench"] and 2 <= len(argv) <= 5:
        bench(argv[1], *(int(a) for a in argv[2:]))
    else:
        sys.exit(__doc__)


main(sys.argv[1:])
