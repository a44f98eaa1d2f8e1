"""The networks of `stream-omni bench --random codec` in PyTorch f32, same sizes, random weights, no gradients:

    bench_nets_torch.py [see|hear|flow|vocoder ...] [threads=N] [repeats=N] [seconds=N]

With CPU_TIME=1 the processor's time is counted. ms a picture, ms a second of audio, real-time factors.

SPDX-License-Identifier: Apache-2.0"""
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

clock = time.process_time if os.environ.get("CPU_TIME") else time.perf_counter
options = dict(a.split("=") for a in sys.argv[1:] if "=" in a)
only = [a for a in sys.argv[1:] if "=" not in a]
torch.set_num_threads(int(options.get("threads", 1)))
torch.manual_seed(1)
seconds = float(options.get("seconds", 5))
half = options.get("type") == "bf16"


def attend(q, k, v, heads):
    q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Block(nn.Module):
    """x += attention(norm x); x += feed-forward(norm x)"""

    def __init__(self, width, inner, heads, ff, act, bias=True):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v = (nn.Linear(width, inner, bias=bias) for _ in range(3))
        self.o, self.f1, self.f2 = nn.Linear(inner, width), nn.Linear(width, ff), nn.Linear(ff, width)
        self.heads, self.act = heads, act

    def forward(self, x):
        n = self.n1(x)
        x = x + self.o(attend(self.q(n), self.k(n), self.v(n), self.heads))
        return x + self.f2(self.act(self.f1(self.n2(x))))


class Siglip(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 1152, 14, 14)
        self.position = nn.Parameter(torch.randn(1, 729, 1152) * 0.1)
        self.layers = nn.Sequential(*(Block(1152, 1152, 16, 4304, lambda x: F.gelu(x, approximate="tanh")) for _ in range(26)))

    def forward(self, x):
        return self.layers(self.patch(x).flatten(2).transpose(1, 2) + self.position)


class Tokenizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv1d(128, 1280, 3, 2, 1), nn.Conv1d(1280, 1280, 3, 2, 1)
        self.position = nn.Parameter(torch.randn(1500, 1280))
        self.layers = nn.Sequential(*(Block(1280, 1280, 20, 5120, F.gelu) for _ in range(6)))
        self.codes = nn.Parameter(F.normalize(torch.randn(4096, 1280)))

    def forward(self, mel):
        x = F.gelu(self.c2(F.gelu(self.c1(mel)))).transpose(1, 2)
        x = F.normalize(self.layers(x + self.position[: x.shape[1]]), dim=-1)
        return (x @ self.codes.T).argmax(-1)


class Resnet(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.c1, self.c2, self.skip = nn.Conv1d(inputs, 256, 3, 1, 1), nn.Conv1d(256, 256, 3, 1, 1), nn.Conv1d(inputs, 256, 1)
        self.n1, self.n2, self.time = nn.GroupNorm(8, 256), nn.GroupNorm(8, 256), nn.Linear(1024, 256)

    def forward(self, x, t):
        h = F.mish(self.n1(self.c1(x))) + self.time(t)[:, :, None]
        return F.mish(self.n2(self.c2(h))) + self.skip(x)


class Stage(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.resnet = Resnet(inputs)
        self.blocks = nn.Sequential(*(Block(256, 512, 8, 1024, F.gelu, bias=False) for _ in range(4)))

    def forward(self, x, t):
        return self.blocks(self.resnet(x, t).transpose(1, 2)).transpose(1, 2)


class Flow(nn.Module):
    """20 evaluations: 10 steps of a batch of two"""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([Stage(320), Stage(256)])
        self.mid = nn.ModuleList([Stage(256) for _ in range(12)])
        self.up = nn.ModuleList([Stage(512), Stage(512)])
        self.shrink, self.keep1 = nn.Conv1d(256, 256, 3, 2, 1), nn.Conv1d(256, 256, 3, 1, 1)
        self.grow, self.keep2 = nn.ConvTranspose1d(256, 256, 4, 2, 1), nn.Conv1d(256, 256, 3, 1, 1)
        self.last, self.norm, self.out = nn.Conv1d(256, 256, 3, 1, 1), nn.GroupNorm(8, 256), nn.Conv1d(256, 80, 1)

    def forward(self, x, t):
        T = x.shape[2]
        s0 = self.down[0](x, t)
        s1 = self.down[1](self.shrink(s0), t)
        x = self.keep1(s1)
        for m in self.mid:
            x = m(x, t)
        x = self.grow(self.up[0](torch.cat([x, s1], 1), t))[:, :, :T]
        x = self.keep2(self.up[1](torch.cat([x, s0], 1), t))
        return self.out(F.mish(self.norm(self.last(x))))


class Resblock(nn.Module):
    def __init__(self, c, k):
        super().__init__()
        self.c1 = nn.ModuleList([nn.Conv1d(c, c, k, 1, d * (k - 1) // 2, d) for d in (1, 3, 5)])
        self.c2 = nn.ModuleList([nn.Conv1d(c, c, k, 1, (k - 1) // 2) for _ in range(3)])
        self.a = nn.ParameterList([nn.Parameter(torch.ones(1, c, 1)) for _ in range(6)])

    def snake(self, x, a):
        return x + torch.sin(x * a).square() / (a + 1e-9)

    def forward(self, x):
        for i in range(3):
            y = self.c1[i](self.snake(x, self.a[2 * i]))
            x = x + self.c2[i](self.snake(y, self.a[2 * i + 1]))
        return x


class Hift(nn.Module):
    def __init__(self):
        super().__init__()
        self.f0 = nn.Sequential(*(m for i in range(5) for m in (nn.Conv1d(512 if i else 80, 512, 3, 1, 1), nn.ELU())))
        self.f0_out, self.merge = nn.Linear(512, 1), nn.Linear(9, 1)
        self.pre, self.post = nn.Conv1d(80, 512, 7, 1, 3), nn.Conv1d(128, 18, 7, 1, 3)
        self.up = nn.ModuleList([nn.ConvTranspose1d(512 >> i, 256 >> i, 16, 8, 4) for i in range(2)])
        self.source = nn.ModuleList([nn.Conv1d(18, 256, 16, 8, 4), nn.Conv1d(18, 128, 1)])
        self.source_block = nn.ModuleList([Resblock(256, 7), Resblock(128, 11)])
        self.block = nn.ModuleList([Resblock(256 >> i, k) for i in range(2) for k in (3, 7, 11)])
        self.window = torch.hann_window(16)

    def forward(self, mel, harmonics):
        self.f0_out(self.f0(mel).transpose(1, 2)).abs()
        s = torch.tanh(self.merge(harmonics))[..., 0]
        S = torch.stft(s, 16, 4, 16, self.window, return_complex=True)
        S, x = torch.cat([S.real, S.imag], 1), self.pre(mel)
        for i in range(2):
            x = self.up[i](F.leaky_relu(x, 0.1))
            if i == 1:
                x = F.pad(x, (1, 0), mode="reflect")
            x = x + self.source_block[i](self.source[i](S))
            x = sum(self.block[3 * i + k](x) for k in range(3)) / 3
        x = self.post(F.leaky_relu(x))
        X = torch.polar(x[:, :9].exp().clamp(max=100), x[:, 9:].sin())
        return torch.istft(X, 16, 4, 16, self.window).clamp(-0.99, 0.99)


frames = int(int(25 * seconds) / 25 * 22050 / 256)


def measure(name, unit, amount, fn):
    if only and name not in only:
        return
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        fn = fn()
        fn()
        times = []
        for _ in range(int(options.get("repeats", 3))):
            t0 = clock()
            fn()
            times.append(clock() - t0)
    times.sort()
    print(f"{name:8} {times[len(times) // 2] / amount:10.4g} {unit} (best {times[0] / amount:.4g})", flush=True)


def see():
    net, x = Siglip().eval(), torch.randn(1, 3, 384, 384)
    return lambda: net(x)


def hear():
    net, x = Tokenizer().eval(), torch.randn(1, 128, int(100 * seconds))
    return lambda: net(x)


def flow():
    net, x, t = Flow().eval(), torch.randn(2, 320, frames), torch.randn(2, 1024)
    return lambda: [net(x, t) for _ in range(10)]


def vocoder():
    net, mel, h = Hift().eval(), torch.randn(1, 80, frames), torch.randn(1, 256 * frames, 9)
    return lambda: net(mel, h)


print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {'bf16' if half else 'f32'}")
measure("see", "ms a picture", 1e-3, see)
measure("hear", "ms a second of audio", 1e-3 * seconds, hear)
measure("flow", "real-time factor", seconds, flow)
measure("vocoder", "real-time factor", seconds, vocoder)
