"""Tokens per second of training the Llama of bench_train.c with PyTorch: [BF16=1] bench_train_torch.py [threads] [steps]

SPDX-License-Identifier: Apache-2.0"""
import sys
import time

import os

import torch
import torch.nn.functional as F
from torch import nn

clock = time.process_time if os.environ.get("CPU_TIME") else time.perf_counter
B, T, V, L, D, H, FF = 4, 256, 1024, 8, 320, 5, 864
d = D // H
torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 10
torch.manual_seed(1)
angle = torch.outer(torch.arange(T).float(), 10000.0 ** (-torch.arange(0, d, 2).float() / d))
cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)


def rope(x):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = nn.RMSNorm(D, 1e-5), nn.RMSNorm(D, 1e-5)
        self.q, self.k, self.v, self.o = (nn.Linear(D, D, bias=False) for _ in range(4))
        self.gate, self.up, self.down = nn.Linear(D, FF, bias=False), nn.Linear(D, FF, bias=False), nn.Linear(FF, D, bias=False)

    def forward(self, x):
        n = self.n1(x)
        q, k, v = (p(n).view(B, T, H, d).transpose(1, 2) for p in (self.q, self.k, self.v))
        a = F.scaled_dot_product_attention(rope(q), rope(k), v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).reshape(B, T, D))
        n = self.n2(x)
        return x + self.down(F.silu(self.gate(n)) * self.up(n))


net = nn.Sequential(nn.Embedding(V, D), *(Layer() for _ in range(L)), nn.RMSNorm(D, 1e-5), nn.Linear(D, V, bias=False))
optim = torch.optim.AdamW(net.parameters(), 1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
ids = torch.randint(V, (B, T))
label = (ids * 7 + 3) % V
best, total = 1e9, 0
for step in range(steps):
    t0 = clock()
    with torch.autocast("cpu", torch.bfloat16, enabled=bool(os.environ.get("BF16"))):
        loss = F.cross_entropy(net(ids).view(-1, V), label.view(-1))
    optim.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optim.step()
    t = clock() - t0
    if step:
        best, total = min(best, t), total + t
print(f"{sum(p.numel() for p in net.parameters())} parameters, {torch.get_num_threads()} threads: "
      f"{B * T / best:.0f} tok/s best, {B * T * (steps - 1) / total:.0f} mean")
