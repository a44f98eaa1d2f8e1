"""SigLIP and the speech tokenizer of `stream-omni bench --random codec` in onnxruntime f32, same sizes, random weights:

    bench_nets_ort.py [see|hear ...] [threads=N] [repeats=N] [seconds=N]

The graphs are written here with the operators of opset 20. With CPU_TIME=1 the processor's time is counted. ms a picture, ms a second of audio.

SPDX-License-Identifier: Apache-2.0"""
import os
import sys
import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

clock = time.process_time if os.environ.get("CPU_TIME") else time.perf_counter
options = dict(a.split("=") for a in sys.argv[1:] if "=" in a)
only = [a for a in sys.argv[1:] if "=" not in a]
random = np.random.default_rng(1)


class Graph:
    def __init__(self):
        self.nodes, self.weights, self.known = [], [], set()

    def weight(self, name, *shape, fan=None):
        if name not in self.known:
            x = random.standard_normal(shape, np.float32) * np.float32((fan or shape[0]) ** -0.5)
            self.known.add(name)
            self.weights.append(numpy_helper.from_array(x, name))
        return name

    def constant(self, name, value):
        if name not in self.known:
            self.known.add(name)
            self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def op(self, kind, *inputs, **attributes):
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def linear(self, x, name, n, m):
        return self.op("Add", self.op("MatMul", x, self.weight(name, n, m)), self.weight(name + "_b", m))

    def norm(self, x, name, n):
        return self.op("LayerNormalization", x, self.weight(name, n), self.weight(name + "_b", n), axis=-1, epsilon=1e-6)

    def split(self, x, heads, d, key=False):
        x = self.op("Reshape", x, self.constant(f"to{heads}", np.array([0, 0, heads, d], np.int64)))
        return self.op("Transpose", x, perm=[0, 2, 3, 1] if key else [0, 2, 1, 3])

    def block(self, x, layer, width, heads, ff, gelu):
        d, at = width // heads, f"layer{layer}."
        n = self.norm(x, at + "n1", width)
        q, k, v = (self.split(self.linear(n, at + w, width, width), heads, d, w == "k") for w in "qkv")
        s = self.op("MatMul", self.op("Mul", q, self.constant("scale", np.float32(d ** -0.5))), k)
        a = self.op("Transpose", self.op("MatMul", self.op("Softmax", s, axis=-1), v), perm=[0, 2, 1, 3])
        a = self.op("Reshape", a, self.constant("flat", np.array([0, 0, width], np.int64)))
        x = self.op("Add", x, self.linear(a, at + "o", width, width))
        h = self.op("Gelu", self.linear(self.norm(x, at + "n2", width), at + "f1", width, ff), approximate=gelu)
        return self.op("Add", x, self.linear(h, at + "f2", ff, width))

    def session(self, shape, out, kind, threads):
        graph = helper.make_graph(self.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info(out, kind, None)], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        o = ort.SessionOptions()
        o.intra_op_num_threads = threads
        o.inter_op_num_threads = 1
        return ort.InferenceSession(model.SerializeToString(), o, providers=["CPUExecutionProvider"])


def see(threads):
    g, shape = Graph(), [1, 3, 384, 384]
    x = g.op("Conv", "x", g.weight("patch", 1152, 3, 14, 14, fan=588), g.weight("patch_b", 1152), strides=[14, 14])
    x = g.op("Transpose", g.op("Reshape", x, g.constant("rows", np.array([1, 1152, 729], np.int64))), perm=[0, 2, 1])
    x = g.op("Add", x, g.weight("position", 1, 729, 1152, fan=100))
    for layer in range(26):
        x = g.block(x, layer, 1152, 16, 4304, "tanh")
    return g.session(shape, x, TensorProto.FLOAT, threads), shape, 1


def hear(threads):
    seconds = int(options.get("seconds", 5))
    g, shape = Graph(), [1, 128, 100 * seconds]
    x = g.op("Conv", "x", g.weight("c1", 1280, 128, 3, fan=384), strides=[2], pads=[1, 1])
    x = g.op("Conv", g.op("Gelu", x), g.weight("c2", 1280, 1280, 3, fan=3840), strides=[2], pads=[1, 1])
    x = g.op("Transpose", g.op("Gelu", x), perm=[0, 2, 1])
    x = g.op("Add", x, g.weight("position", 1, 25 * seconds, 1280, fan=100))
    for layer in range(6):
        x = g.block(x, layer, 1280, 20, 5120, "none")
    x = g.op("ArgMax", g.op("MatMul", x, g.weight("codes", 1280, 4096)), axis=-1)
    return g.session(shape, x, TensorProto.INT64, threads), shape, seconds


for name, make, unit in (("see", see, "ms a picture"), ("hear", hear, "ms a second of audio")):
    if only and name not in only:
        continue
    session, shape, amount = make(int(options.get("threads", 1)))
    x, t = random.standard_normal(shape, np.float32), []
    session.run(None, {"x": x})
    for _ in range(int(options.get("repeats", 3))):
        began = clock()
        session.run(None, {"x": x})
        t.append(1000 * (clock() - began) / amount)
    print(f"{name}: {sorted(t)[len(t) // 2]:.1f} {unit} ({min(t):.1f} to {max(t):.1f})", flush=True)
