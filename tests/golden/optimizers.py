"""Writes optimizers.json: parameters after 1, 2 and 12 updates by PyTorch 1.13, in float64.

    python3 optimizers.py > optimizers.json

The gradients are exact in float32 and mix sizes from 1e-6 to 100, zeros included. RMSProp with
epsilon inside the root is not in torch.optim: TensorFlow 1's rule is spelled out with tensors.
"""
import json

import torch

torch.set_default_dtype(torch.float64)
UPDATES, KEPT = 12, (1, 2, 12)


def single(values):
    return torch.tensor(values).to(torch.float32).to(torch.float64)


start = single([0.5, -1.0, 2.0, 0.0, 1e-3, -30.0, 0.25, 4.0])
sizes = single([1e-6, 1e-3, 0.1, 1.0, 5.0, 100.0, 0.0, 0.5])
generator = torch.Generator().manual_seed(7)
gradients = [single((torch.randn(8, generator=generator) * sizes).tolist()) for _ in range(UPDATES)]
for gradient in gradients[3:6]:
    gradient[7] = 0.0


def by_torch(make, clip=None):
    parameters = torch.nn.Parameter(start.clone())
    optimizer = make([parameters])
    kept = []
    for update, gradient in enumerate(gradients, start=1):
        parameters.grad = gradient.clone()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([parameters], clip)
        optimizer.step()
        if update in KEPT:
            kept.append(parameters.detach().tolist())
    return kept


def by_tensorflow_rule(rate, decay, momentum, epsilon):
    parameters, mean_square, velocity = start.clone(), torch.ones(8), torch.zeros(8)
    kept = []
    for update, g in enumerate(gradients, start=1):
        mean_square = decay * mean_square + (1 - decay) * g * g
        velocity = momentum * velocity + rate * g / torch.sqrt(mean_square + epsilon)
        parameters = parameters - velocity
        if update in KEPT:
            kept.append(parameters.tolist())
    return kept


def case(spec, kept, rate=0.01):
    return {"spec": {"schedule": {"name": "constant", "rate": rate}, **spec}, "parameters": kept}


optim = torch.optim
cases = {
    "sgd": case({"name": "sgd"}, by_torch(lambda p: optim.SGD(p, lr=0.01))),
    "sgd, clipped": case(
        {"name": "sgd", "clipNorm": 2}, by_torch(lambda p: optim.SGD(p, lr=0.01), clip=2.0)
    ),
    "sgd, weight decay": case(
        {"name": "sgd", "weightDecay": 0.01},
        by_torch(lambda p: optim.SGD(p, lr=0.01, weight_decay=0.01)),
    ),
    "momentum": case(
        {"name": "momentum", "momentum": 0.9, "nesterov": False},
        by_torch(lambda p: optim.SGD(p, lr=0.01, momentum=0.9)),
    ),
    "Nesterov, weight decay": case(
        {"name": "momentum", "momentum": 0.9, "nesterov": True, "weightDecay": 0.01},
        by_torch(lambda p: optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.01)),
    ),
    "Adagrad": case(
        {"name": "adagrad", "initialAccumulator": 0.1, "epsilon": 1e-10},
        by_torch(lambda p: optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1, eps=1e-10)),
        rate=0.1,
    ),
    "RMSProp, epsilon 0": case(
        {"name": "rmsprop", "decay": 0.9, "epsilon": 1e-30, "momentum": 0.5, "initialMeanSquare": 0},
        by_torch(lambda p: optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-30, momentum=0.5)),
    ),
    "RMSProp of TensorFlow": case(
        {"name": "rmsprop", "decay": 0.9, "epsilon": 1.0, "momentum": 0.9, "initialMeanSquare": 1},
        by_tensorflow_rule(rate=0.01, decay=0.9, momentum=0.9, epsilon=1.0),
    ),
    "Adam": case(
        {"name": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
        by_torch(lambda p: optim.Adam(p, lr=0.01)),
    ),
    "Adam, large epsilon": case(
        {"name": "adam", "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-2},
        by_torch(lambda p: optim.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-2)),
    ),
    "AdamW": case(
        {"name": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.1},
        by_torch(lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1)),
    ),
}
print(
    json.dumps(
        {
            "updates": list(KEPT),
            "start": start.tolist(),
            "gradients": [gradient.tolist() for gradient in gradients],
            "cases": cases,
        }
    ).replace('], [', '],\n[').replace('}, "', '},\n"')
)
