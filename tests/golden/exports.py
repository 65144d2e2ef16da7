# Recipe of exports/: small networks as torch.onnx.export writes them, with the loss (mean cross-entropy) and its
# gradients by autograd. Made with PyTorch 1.13 (Debian's python3-torch): python3 exports.py
import json, os, torch
from torch import nn

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.up, self.down, self.head = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 3)
    def forward(self, x):
        n, s, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, s, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        a = torch.softmax(q @ k.transpose(-2, -1) / 2, dim=-1) @ v
        x = x + self.out(a.transpose(1, 2).reshape(n, s, 8))
        x = x + self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return self.head(x.mean(1))

class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cell, self.head = kind(3, 4, bidirectional=True), nn.Linear(8, 3)
    def forward(self, x):
        return self.head(self.cell(x)[0][-1])

class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(7, 5), nn.Linear(5, 3)
    def forward(self, x):
        return self.head(self.table(x).max(1)[0])

made = {
    'mlp': (nn.Sequential(nn.Linear(4, 6), nn.ELU(), nn.Linear(6, 5), nn.Hardtanh(), nn.Linear(5, 3)), lambda: torch.randn(4, 4)),
    'transformer': (Attention, lambda: torch.randn(2, 5, 8)),
    'lstm': (lambda: Recurrent(nn.LSTM), lambda: torch.randn(5, 4, 3)),
    'gru': (lambda: Recurrent(nn.GRU), lambda: torch.randn(5, 4, 3)),
    'embedding': (Embedded, lambda: torch.randint(0, 7, (4, 5))),
}
folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'exports')
for name, (make, draw) in made.items():
    torch.manual_seed(4)
    model = make if isinstance(make, nn.Module) else make()
    # The exporter merges tensors of equal values, as fresh norms have.
    for p in model.parameters(): nn.init.normal_(p, std=0.5)
    x = draw()
    y = model(x)
    targets = torch.randint(0, 3, (y.shape[0],))
    loss = nn.functional.cross_entropy(y, targets)
    loss.backward()
    rounded = lambda t: [float('%.7g' % v) for v in t.detach().flatten().tolist()]
    golden = {'shape': list(x.shape), 'x': rounded(x), 'targets': targets.tolist(), 'loss': loss.item(),
              'gradients': {k: rounded(p.grad) for k, p in model.named_parameters()}}
    with open(f'{folder}/{name}.json', 'w') as f: json.dump(golden, f)
    for opset in (9, 11, 13, 17):
        try:
            torch.onnx.export(model.eval(), x, f'{folder}/{name}-{opset}.onnx', opset_version=opset, input_names=['x'], output_names=['y'], do_constant_folding=False)
        except Exception as e: print(name, opset, str(e)[:100])
    # The extent of the minibatch left open.
    torch.onnx.export(model.eval(), x, f'{folder}/{name}-open.onnx', opset_version=13, input_names=['x'], output_names=['y'],
                      do_constant_folding=False, dynamic_axes={'x': {1 if name in ('lstm', 'gru') else 0: 'batch'}, 'y': {0: 'batch'}})
