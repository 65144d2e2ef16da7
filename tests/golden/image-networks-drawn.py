"""Golden logits of the networks that torchvision does not have, drawn from the papers in PyTorch's functions.

Run: python3 tests/golden/image-networks-drawn.py > tests/golden/image-networks-drawn.json

Weights follow the names of timm and facenet; each is made where it is used, by the formula of image-networks.py.
"""
import json
import pathlib

import numpy
import torch
import torch.nn.functional as F

recipe = (pathlib.Path(__file__).parent / "image-networks.py").read_text()
exec(recipe[recipe.index("def uniform"):recipe.index("def load")])  # uniform, filled


def c(x, name, out, k=1, stride=1, pad=None, biased=False, act=True):
    kh, kw = (k, k) if isinstance(k, int) else k
    pads = (kh // 2, kw // 2) if pad is None else (pad, pad)
    middle = "" if biased else ".conv"
    w = filled(f"{name}{middle}.weight", (out, x.shape[1], kh, kw))
    if biased:
        y = F.conv2d(x, w, filled(f"{name}.bias", (out,)), stride, pads)
    else:
        y = F.conv2d(x, w, None, stride, pads)
        mean, var, gain, bias = (filled(f"{name}.bn.{n}", (out,))
                                 for n in ("running_mean", "running_var", "weight", "bias"))
        y = F.batch_norm(y, mean, var, gain, bias, False, 0.0, 1e-3)
    return F.relu(y) if act else y


def run(x, name, *rows):
    """Convolutions one after the other, named by their index."""
    for i, row in enumerate(rows):
        x = c(x, f"{name}.{i}", *row)
    return x


def cat(*xs):
    return torch.cat(xs, 1)


def head(x, name):
    x = x.mean((2, 3))
    return x @ filled(f"{name}.weight", (1000, x.shape[1])).T + filled(f"{name}.bias", (1000,))


def down(x):
    return F.max_pool2d(x, 3, 2)


def mean3(x):
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def reduction_a(x, p, k, l, m, n):
    return cat(c(x, f"{p}.branch0", n, 3, 2, 0), run(x, f"{p}.branch1", (k,), (l, 3), (m, 3, 2, 0)), down(x))


def v4(x):
    p = "features"
    x = c(x, f"{p}.0", 32, 3, 2, 0)
    x = c(x, f"{p}.1", 32, 3, 1, 0)
    x = c(x, f"{p}.2", 64, 3)
    x = cat(down(x), c(x, f"{p}.3.conv", 96, 3, 2, 0))
    x = cat(run(x, f"{p}.4.branch0", (64,), (96, 3, 1, 0)),
            run(x, f"{p}.4.branch1", (64,), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, 0)))
    x = cat(c(x, f"{p}.5.conv", 192, 3, 2, 0), down(x))
    for i in range(6, 10):
        q = f"{p}.{i}"
        x = cat(c(x, f"{q}.branch0", 96), run(x, f"{q}.branch1", (64,), (96, 3)),
                run(x, f"{q}.branch2", (64,), (96, 3), (96, 3)), c(mean3(x), f"{q}.branch3.1", 96))
    x = reduction_a(x, f"{p}.10", 192, 224, 256, 384)
    for i in range(11, 18):
        q = f"{p}.{i}"
        x = cat(c(x, f"{q}.branch0", 384), run(x, f"{q}.branch1", (192,), (224, (1, 7)), (256, (7, 1))),
                run(x, f"{q}.branch2", (192,), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
                c(mean3(x), f"{q}.branch3.1", 128))
    q = f"{p}.18"
    x = cat(run(x, f"{q}.branch0", (192,), (192, 3, 2, 0)),
            run(x, f"{q}.branch1", (256,), (256, (1, 7)), (320, (7, 1)), (320, 3, 2, 0)), down(x))
    for i in range(19, 22):
        q = f"{p}.{i}"
        a = c(x, f"{q}.branch1_0", 384)
        b = c(c(c(x, f"{q}.branch2_0", 384), f"{q}.branch2_1", 448, (3, 1)), f"{q}.branch2_2", 512, (1, 3))
        x = cat(c(x, f"{q}.branch0", 256),
                c(a, f"{q}.branch1_1a", 256, (1, 3)), c(a, f"{q}.branch1_1b", 256, (3, 1)),
                c(b, f"{q}.branch2_3a", 256, (1, 3)), c(b, f"{q}.branch2_3b", 256, (3, 1)),
                c(mean3(x), f"{q}.branch3.1", 256))
    return head(x, "last_linear")


def stem(x):
    x = c(x, "conv2d_1a", 32, 3, 2, 0)
    x = c(x, "conv2d_2a", 32, 3, 1, 0)
    x = down(c(x, "conv2d_2b", 64, 3))
    return c(c(x, "conv2d_3b", 80), "conv2d_4a", 192, 3, 1, 0)


def residual(x, p, scale, parts, act=True):
    y = x + scale * c(cat(*parts), f"{p}.conv2d", x.shape[1], biased=True, act=False)
    return F.relu(y) if act else y


def block35(x, p, a, b, d):
    return residual(x, p, 0.17, (c(x, f"{p}.branch0", 32), run(x, f"{p}.branch1", (32,), (32, 3)),
                                 run(x, f"{p}.branch2", (a,), (b, 3), (d, 3))))


def crossed(x, p, scale, first, k, a, b, d, act=True):
    return residual(x, p, scale, (c(x, f"{p}.branch0", first),
                                  run(x, f"{p}.branch1", (a,), (b, (1, k)), (d, (k, 1)))), act)


def reduction_b(x, p, a, b, d, e):
    return cat(run(x, f"{p}.branch0", (256,), (a, 3, 2, 0)), run(x, f"{p}.branch1", (256,), (b, 3, 2, 0)),
               run(x, f"{p}.branch2", (256,), (d, 3), (e, 3, 2, 0)), down(x))


def resnet_v2(x):
    x = down(stem(x))
    p = "mixed_5b"
    x = cat(c(x, f"{p}.branch0", 96), run(x, f"{p}.branch1", (48,), (64, 5)),
            run(x, f"{p}.branch2", (64,), (96, 3), (96, 3)), c(mean3(x), f"{p}.branch3.1", 64))
    for i in range(10):
        x = block35(x, f"repeat.{i}", 32, 48, 64)
    x = reduction_a(x, "mixed_6a", 256, 256, 384, 384)
    for i in range(20):
        x = crossed(x, f"repeat_1.{i}", 0.1, 192, 7, 128, 160, 192)
    x = reduction_b(x, "mixed_7a", 384, 288, 288, 320)
    for i in range(9):
        x = crossed(x, f"repeat_2.{i}", 0.2, 192, 3, 192, 224, 256)
    x = crossed(x, "block8", 1.0, 192, 3, 192, 224, 256, act=False)
    return head(c(x, "conv2d_7b", 1536), "classif")


def resnet_v1(x):
    x = c(stem(x), "conv2d_4b", 256, 3, 2, 0)
    for i in range(5):
        x = block35(x, f"repeat_1.{i}", 32, 32, 32)
    x = reduction_a(x, "mixed_6a", 192, 192, 256, 384)
    for i in range(10):
        x = crossed(x, f"repeat_2.{i}", 0.1, 128, 7, 128, 128, 128)
    x = reduction_b(x, "mixed_7a", 384, 256, 256, 256)
    for i in range(5):
        x = crossed(x, f"repeat_3.{i}", 0.2, 192, 3, 192, 192, 192)
    return head(x, "last_linear")


def googlenet(x):
    def b(y, name, out, k=1, stride=1):
        return c(y, f"{name}.conv", out, k, stride, biased=True)

    def lrn(y):
        return F.local_response_norm(y, 5, 1e-4, 0.75, 1.0)

    def pool(y):
        return F.max_pool2d(y, 3, 2, ceil_mode=True)

    widths = {"3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
              "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64),
              "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
              "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128),
              "5b": (384, 192, 384, 48, 128, 128)}
    x = lrn(pool(b(x, "conv1", 64, 7, 2)))
    x = pool(lrn(b(b(x, "conv2", 64), "conv3", 192, 3)))
    for name, (w1, r3, w3, r5, w5, last) in widths.items():
        p = f"inception{name}"
        x = cat(b(x, f"{p}.branch1", w1), b(b(x, f"{p}.branch2.0", r3), f"{p}.branch2.1", w3, 3),
                b(b(x, f"{p}.branch3.0", r5), f"{p}.branch3.1", w5, 5),
                b(F.max_pool2d(x, 3, 1, 1), f"{p}.branch4.1", last))
        x = pool(x) if name in ("3b", "4e") else x
    return head(x, "fc")


torch.set_num_threads(1)
networks = {"googlenet": googlenet, "inception-v4": v4, "inception-resnet-v1": resnet_v1,
            "inception-resnet-v2": resnet_v2}
SIZE = 160
with torch.no_grad():
    print(json.dumps({"size": SIZE, "logits": {
        name: [float(f"{float(v):.7g}") for v in forward(filled("images", (1, 3, SIZE, SIZE))).flatten()[:50]]
        for name, forward in networks.items()}}))
