"""Single operators in PyTorch, as its users write them; ../ours/operators.ts does the same on our engines."""
import torch
import torch.nn.functional as F

from hashed_numbers import hashed


class Forward:
    """Computes a tensor; judged by the sum of its squares."""

    def __init__(self, compute):
        self.compute = compute

    def run(self):
        with torch.no_grad():
            self.compute()

    def check(self):
        with torch.no_grad():
            return self.compute().square().sum().item()


class ForwardBackward:
    """Computes y and the gradients of sum(y * direction); judged by their squares."""

    def __init__(self, compute, operands, direction=None):
        self.compute, self.operands, self.direction = compute, operands, direction
        for each in operands:
            each.requires_grad_(True)

    def gradients(self):
        y = self.compute()
        loss = y.sum() if self.direction is None else (y * self.direction).sum()
        return torch.autograd.grad(loss, self.operands)

    def run(self):
        self.gradients()

    def check(self):
        return sum(each.square().sum() for each in self.gradients()).item()


def matmul(sizes, device, **_):
    a = hashed([sizes["m"], sizes["k"]], 1, device)
    b = hashed([sizes["k"], sizes["n"]], 2, device)
    return Forward(lambda: a @ b)


class Copy:
    def __init__(self, sizes, device, **_):
        self.source = hashed([sizes["elements"]], 1, device)
        self.target = torch.zeros_like(self.source)

    def run(self):
        self.target.copy_(self.source)

    def check(self):
        self.run()
        return self.target.square().sum().item()


def channels_last(shape, seed, device):
    """Our [B, H, W, C] as PyTorch's [B, C, H, W] in channels-last memory."""
    return hashed(shape, seed, device).permute(0, 3, 1, 2)


def conv2d(sizes, device, **_):
    shape = sizes["shape"]
    channels = shape[3]
    x = channels_last(shape, 1, device)
    weight = hashed([channels, channels, 3, 3], 2, device).contiguous(memory_format=torch.channels_last)
    bias = hashed([channels], 3, device)
    compute = lambda: F.conv2d(x, weight, bias, padding=1)
    if not sizes["backward"]:
        return Forward(compute)
    return ForwardBackward(compute, [x, weight, bias], channels_last(shape, 4, device))


def attention(sizes, device, **_):
    q, k, v = (hashed(sizes["shape"], seed, device) for seed in (1, 2, 3))
    compute = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)
    if not sizes["backward"]:
        return Forward(compute)
    return ForwardBackward(compute, [q, k, v], hashed(sizes["shape"], 4, device))


def group_norm(sizes, device, **_):
    shape = sizes["shape"]
    x = channels_last(shape, 1, device)
    weight, bias = hashed([shape[3]], 2, device), hashed([shape[3]], 3, device)
    return Forward(lambda: F.group_norm(x, sizes["groups"], weight, bias, 1e-6))


class AdamW:
    def __init__(self, sizes, device, **_):
        self.parameters = [hashed([sizes["each"]], i, device) for i in range(sizes["tensors"])]
        for i, each in enumerate(self.parameters):
            each.grad = hashed([sizes["each"]], i + 1000, device)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3, weight_decay=0.01, fused=True)

    def run(self):
        self.optimizer.step()

    def check(self):
        self.run()
        return sum(each.square().sum() for each in self.parameters).item()


def chain(sizes, device, **_):
    x = hashed([8, 8], 1, device)
    factor = torch.full([8, 8], 1.001, device=device)

    def compute():
        y = x
        for _ in range(sizes["chain"]):
            y = y * factor
        return y

    return ForwardBackward(compute, [x]) if sizes["backward"] else Forward(compute)


OPERATORS = {
    "matmul": matmul,
    "copy": Copy,
    "conv2d": conv2d,
    "attention": attention,
    "groupNorm": group_norm,
    "adamW": AdamW,
    "chain": chain,
}
