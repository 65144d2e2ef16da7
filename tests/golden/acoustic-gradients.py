#!/usr/bin/env python3
"""Golden values of tests/models/acoustic-golden.test.ts, by PyTorch 1.13 in double precision.

Loss and gradients of a feed-forward ReLU or p-norm network with cross-entropy, by torch.autograd,
on weights and inputs that are formulas of their index. Written from the definitions of the network
(He et al. 2015; Zhang et al. 2014), not from our sources.
Run: python3 tests/golden/acoustic-gradients.py > tests/golden/acoustic-gradients.json
"""
import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
FRAMES, INPUTS, HIDDEN, OUTPUTS = 6, 5, (8, 6), 4
GROUPS = {"relu": 1, "pnorm": 2}


def wave(count, shape, scale, step, phase):
    """scale * sin(step * i + phase), rounded to float32 as the test's inputs are."""
    i = torch.arange(count, dtype=torch.float64)
    return (scale * torch.sin(step * i + phase)).to(torch.float32).to(torch.float64).reshape(shape)


def rounded(values):
    return [float(f"{value:.10g}") for value in values.reshape(-1).tolist()]


def case(nonlinearity):
    group = GROUPS[nonlinearity]
    widths = [INPUTS] + [units // group for units in HIDDEN]
    sizes = list(HIDDEN) + [OUTPUTS]
    parameters = []
    for layer, (width, size) in enumerate(zip(widths, sizes)):
        weight = wave(width * size, (width, size), 0.6, 0.7, layer + 1)
        bias = wave(size, (size,), 0.2, 1.3, layer)
        parameters.append((f"layer{layer}.weight", weight.requires_grad_()))
        parameters.append((f"layer{layer}.bias", bias.requires_grad_()))
    tensors = [tensor for _, tensor in parameters]

    x = wave(FRAMES * INPUTS, (FRAMES, INPUTS), 1.0, 0.9, 0.5)
    for layer in range(len(sizes)):
        x = x @ tensors[2 * layer] + tensors[2 * layer + 1]
        if layer == len(sizes) - 1:
            break
        if nonlinearity == "relu":
            assert x.abs().min() > 1e-3, "no unit may lie on the kink"
            x = torch.relu(x)
        else:
            x = torch.linalg.vector_norm(x.reshape(FRAMES, -1, group), dim=2)
    targets = torch.tensor([i * i % OUTPUTS for i in range(FRAMES)])
    loss = F.cross_entropy(x, targets)
    by_loss = torch.autograd.grad(loss, tensors, retain_graph=True)
    outer = wave(FRAMES * OUTPUTS, (FRAMES, OUTPUTS), 1.0, 1.1, 0.25)
    by_outer = torch.autograd.grad((outer * x).sum(), tensors)
    names = [name for name, _ in parameters]
    return {
        "nonlinearity": nonlinearity,
        "loss": rounded(loss)[0],
        "logPosteriors": rounded(F.log_softmax(x, dim=1)),
        "crossEntropy": dict(zip(names, map(rounded, by_loss))),
        "outer": dict(zip(names, map(rounded, by_outer))),
    }


print(json.dumps([case(nonlinearity) for nonlinearity in GROUPS], indent=1))
