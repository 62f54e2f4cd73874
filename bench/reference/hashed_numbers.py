"""Numbers that both sides make for themselves, alike: a hash of the index (the twin of ../numbers.ts)."""
import numpy as np
import torch


def hashed(shape, seed, device):
    """Numbers in [-0.5, 0.5), the same for the same seed."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1)
        h += np.uint32(((seed + 1) * 0x85EBCA6B) & 0xFFFFFFFF)
        h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
        h = (h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
        h ^= h >> np.uint32(15)
    values = (h >> np.uint32(8)).astype(np.float64) / 2**24 - 0.5
    return torch.from_numpy(values.astype(np.float32)).reshape(tuple(shape)).to(device)


def hashed_tokens(shape, seed, vocabulary, device):
    """Token ids below the vocabulary's size."""
    values = hashed(shape, seed, "cpu").to(torch.float64)
    return torch.floor((values + 0.5) * vocabulary).to(torch.int64).to(device)
