#!/usr/bin/env python3
# The same networks in PyTorch: one measurement of one workload, as JSON on standard output.
#   python3 images.py train-small|train-googlenet|infer-googlenet|infer-inception_v3 THREADS SECONDS
# 'plain' is NCHW memory, 'channelsLast' NHWC; inference is traced and frozen.
import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

# On one thread and below 16 images PyTorch 1.13 leaves 1 x 1 convolutions to BLAS: netlib's, not tuned for any
# processor, made it 4 to 11 times slower than it is.
if sys.platform == 'linux' and '/blas/libblas.so' in open('/proc/self/maps').read():
    sys.exit('PyTorch found only the reference BLAS, which is no fair peer: install libopenblas0-pthread')

torch.manual_seed(0)
workload, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
torch.set_num_threads(threads)


class Conv(nn.Module):
    def __init__(self, inputs, channels, kernel):
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    def __init__(self, inputs, c1, r3, c3, r5, c5, pool):
        super().__init__()
        self.branches = nn.ModuleList([
            Conv(inputs, c1, 1),
            nn.Sequential(Conv(inputs, r3, 1), Conv(r3, c3, 3)),
            nn.Sequential(Conv(inputs, r5, 1), Conv(r5, c5, 3)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), Conv(inputs, pool, 1)),
        ])
        self.channels = c1 + c3 + c5 + pool

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def small():
    quarter = lambda channels: 8 * max(1, round(channels / 32))
    rows = [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
            (128, 128, 256, 24, 64, 64), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)]
    layers = [Conv(3, 32, 3), nn.MaxPool2d(3, 2, 1), Conv(32, 48, 3)]
    channels = 48
    for index, row in enumerate(rows):
        module = Inception(channels, *map(quarter, row))
        channels = module.channels
        layers.append(module)
        if index in (1, 4):
            layers.append(nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def published(name):
    import torchvision
    kind = getattr(torchvision.models, name)
    return kind(weights=None, aux_logits=False, init_weights=False)


def rate(run, images):
    # The first runs of a traced model compile it.
    for _ in range(3):
        run()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return images / sorted(times)[len(times) // 2]


def training(model, x, classes):
    y = torch.arange(len(x)) % classes
    model.train()

    def run():
        model.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y, label_smoothing=0.1).backward()
    return rate(run, len(x))


def inference(model, x):
    model.eval()
    with torch.no_grad():
        frozen = torch.jit.freeze(torch.jit.trace(model, x))
        return rate(lambda: frozen(x), len(x))


def measure(layout):
    name = workload.split('-')[1]
    if workload == 'train-small':
        model, x, classes = small(), torch.randn(64, 3, 32, 32), 10
    else:
        size = 299 if name == 'inception_v3' else 224
        model, x, classes = published(name), torch.randn(8, 3, size, size), 1000
    model, x = model.to(memory_format=layout), x.contiguous(memory_format=layout)
    return training(model, x, classes) if workload.startswith('train') else inference(model, x)


print(json.dumps({
    'plain': measure(torch.contiguous_format),
    'channelsLast': measure(torch.channels_last),
    'version': torch.__version__,
}))
