#!/usr/bin/env python3
# Golden values of torchvision's GoogLeNet and Inception-v3: outputs, and gradients of a training step.
#   /usr/bin/python3 tests/golden/image-networks.py > tests/golden/image-networks.json
# (PyTorch 1.13, torchvision 0.14.) Weights and images come from one formula of name and index, which the
# test computes too, so that only digests need to be kept.
import hashlib
import json
import math

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

torch.manual_seed(0)
torch.set_num_threads(2)


def noise(name, count):
    """0 to 1: murmur3's finaliser over index and the FNV-1a hash of the name."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    with np.errstate(over='ignore'):
        x = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(16)
    return x.astype(np.float64) / 4294967296.0


def values(name, shape):
    count = int(np.prod(shape)) if len(shape) else 1
    u = noise(name, count)
    if len(shape) >= 2 and name != 'images':
        fan_in = count / shape[0]
        v = (u - 0.5) * 2 * math.sqrt(6 / fan_in)
    elif name == 'images':
        v = (u - 0.5) * 3
    elif name.endswith('running_var'):
        v = 0.5 + u
    elif name.endswith('bn.weight'):
        v = 0.75 + 0.5 * u
    else:
        v = (u - 0.5) * 0.2
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def load(model):
    state = model.state_dict()
    for name, tensor in state.items():
        if not name.endswith('num_batches_tracked'):
            state[name] = values(name, tuple(tensor.shape))
    model.load_state_dict(state)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def short(value):
    return float(f"{value:.7g}")


def digest(tensor):
    flat = tensor.detach().double().flatten()
    last = flat.numel() - 1
    samples = [flat[i].item() for i in (0, last // 3, last // 2, last)]
    return [short(v) for v in (flat.sum().item(), flat.norm().item(), *samples)]


def outputs(make, size):
    model = load(make(aux_logits=False, init_weights=False, num_classes=1000, transform_input=False)).eval()
    with torch.no_grad():
        logits = model(values('images', (1, 3, size, size)))[0]
    return {'size': size, 'digest': digest(logits), 'first': [short(v) for v in logits[:12].tolist()]}


def gradients(make, size, aux):
    # In double precision: through a hundred normalised layers single precision loses half its digits.
    model = load(make(aux_logits=aux, init_weights=False, num_classes=10, transform_input=False))
    model = model.double().train()
    images = values('images', (2, 3, size, size)).double()
    targets = torch.tensor([3, 7])
    cross_entropy = lambda logits: F.cross_entropy(logits, targets, label_smoothing=0.1)
    if aux:
        out, aux2, aux1 = model(images)
        loss = cross_entropy(out) + 0.3 * (cross_entropy(aux1) + cross_entropy(aux2))
    else:
        loss = cross_entropy(model(images))
    loss.backward()
    statistics = {n: digest(b) for n, b in model.named_buffers() if n.endswith('running_var')}
    first = dict(list(statistics.items())[:3])
    return {
        'size': size,
        'loss': loss.item(),
        'gradients': {n: digest(p.grad) for n, p in model.named_parameters()},
        'runningVariances': first,
    }


def keys(make):
    def names(aux):
        model = make(aux_logits=aux, init_weights=False)
        text = '\n'.join(sorted(model.state_dict().keys()))
        return {'count': len(model.state_dict()), 'sha256': hashlib.sha256(text.encode()).hexdigest()}
    return {'plain': names(False), 'auxiliary': names(True)}


models = torchvision.models
print(json.dumps({
    'googlenet-bn': {
        'keys': keys(models.googlenet),
        'outputs': outputs(models.googlenet, 224),
        'training': gradients(models.googlenet, 96, True),
    },
    'inception-v3': {
        'keys': keys(models.inception_v3),
        'outputs': outputs(models.inception_v3, 299),
        'training': gradients(models.inception_v3, 160, False),
    },
}, indent=1))
