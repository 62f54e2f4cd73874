"""Decoding frames from tokens in plain PyTorch, channels last, as its users write it: the work of ../ours/video.ts."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from hashed_numbers import hashed, hashed_tokens

DIRECTION, PIECE = 7, 512


class Residual(nn.Module):
    def __init__(self, given, width, groups):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, given, eps=1e-6), nn.GroupNorm(groups, width, eps=1e-6)
        self.conv1, self.conv2 = nn.Conv2d(given, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(given, width, 1) if given != width else nn.Identity()

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class SelfAttention(nn.Module):
    """Over all positions, one head."""

    def __init__(self, channels, groups):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x):
        h = self.group_norm(x).flatten(2).transpose(1, 2)
        h = self.to_out[0](F.scaled_dot_product_attention(self.to_q(h), self.to_k(h), self.to_v(h)))
        return x + h.transpose(1, 2).unflatten(2, x.shape[2:])


class Middle(nn.Module):
    def __init__(self, channels, groups, attention):
        super().__init__()
        self.attentions = nn.ModuleList([SelfAttention(channels, groups)] if attention else [])
        self.resnets = nn.ModuleList(Residual(channels, channels, groups) for _ in range(2))

    def forward(self, x):
        x = self.resnets[0](x)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x)


class Upsampler(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Up(nn.Module):
    def __init__(self, given, width, layers, groups, doubles):
        super().__init__()
        self.resnets = nn.ModuleList(Residual(given if i == 0 else width, width, groups) for i in range(layers))
        self.upsamplers = nn.ModuleList([Upsampler(width)] if doubles else [])

    def forward(self, x):
        for each in [*self.resnets, *self.upsamplers]:
            x = each(x)
        return x


class Projections(nn.Module):
    """The parameters of nn.MultiheadAttention, which cannot be given keys and values that are projected already."""

    def __init__(self, channels):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * channels))
        self.out_proj = nn.Linear(channels, channels)


class CrossAttention(nn.Module):
    """From the positions of all frames of one clip to those of its context frame."""

    def __init__(self, channels, positions, groups, heads):
        super().__init__()
        self.heads = heads
        self.att = Projections(channels)
        self.kv_norm, self.q_norm = nn.GroupNorm(groups, channels), nn.GroupNorm(groups, channels)
        self.kv_pos_emb = nn.Parameter(torch.empty(positions, channels))
        self.q_pos_emb = nn.Parameter(torch.empty(positions, channels))

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def remember(self, context):
        """Keys and values of a context's feature map: once for any number of frames."""
        seen = self.kv_norm(context).flatten(2).transpose(1, 2) + self.kv_pos_emb
        channels = seen.shape[-1]
        made = F.linear(seen, self.att.in_proj_weight[channels:], self.att.in_proj_bias[channels:])
        # The layout that attention reads fastest: each head's positions side by side.
        self.keys, self.values = (self.split(each).contiguous() for each in made.chunk(2, -1))

    def forward(self, x):
        channels = x.shape[1]
        positioned = self.q_norm(x).flatten(2).transpose(1, 2) + self.q_pos_emb
        queries = F.linear(positioned, self.att.in_proj_weight[:channels], self.att.in_proj_bias[:channels])
        queries = self.split(queries.reshape(1, -1, channels))
        attended = F.scaled_dot_product_attention(queries, self.keys, self.values)
        attended = self.att.out_proj(attended.transpose(1, 2).reshape(positioned.shape))
        return F.silu(x + attended.transpose(1, 2).unflatten(2, x.shape[2:]))


class Decoder(nn.Module):
    """attended: by place (0 after the middle block, i + 1 after block i) the positions of maps that see the context."""

    def __init__(self, sizes, middle, widths, layers, doubles, attention, attended=None):
        super().__init__()
        groups = sizes["groups"]
        given = [middle, *widths]
        self.conv_in = nn.Conv2d(sizes["latent"], middle, 3, padding=1)
        self.mid_block = Middle(middle, groups, attention)
        self.up_blocks = nn.ModuleList(
            Up(given[i], width, layers, groups, doubles[i]) for i, width in enumerate(widths)
        )
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)
        self.places = sorted(attended or {})
        if attended:
            self.cross_att_blocks = nn.ModuleList(
                CrossAttention(given[place], attended[place], groups, sizes["attentionHeads"]) for place in self.places
            )

    def forward(self, x, maps=None):
        """maps: a list that the feature maps are added to."""
        x = self.conv_in(x)
        for place, block in enumerate([self.mid_block, *self.up_blocks]):
            x = block(x)
            if place in self.places:
                x = self.cross_att_blocks[self.places.index(place)](x)
            if maps is not None:
                maps.append(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def filled(model, names, device):
    """The same weights as our side has; names: all of its parameters, of which the model has some."""
    own, state = model.state_dict(), {}
    for i, name in enumerate(names):
        if name not in own:
            continue
        shape = own[name].shape
        numbers = hashed(shape, i, "cpu")
        if len(shape) > 1:
            numbers *= math.sqrt(12 / math.prod(shape[1:]))
        elif name.endswith(".weight"):
            numbers += 1
        state[name] = numbers
    model.load_state_dict(state)
    return model.to(device).eval().to(memory_format=torch.channels_last)


class Decoding:
    """Decodes frames; judged by the squares of each piece's product with random numbers."""

    def __init__(self, sizes, device):
        self.sizes, self.device, self.count = sizes, device, sizes["frames"]
        self.levels = torch.tensor(sizes["levels"], device=device)
        self.basis = torch.cat([self.levels.new_ones(1), self.levels.cumprod(0)[:-1]])
        self.codebook = math.prod(sizes["levels"])

    def codes(self, tokens):
        """Indices [..] as vectors [.., L] in [-1, 1]."""
        half = self.levels // 2
        return (tokens[..., None] // self.basis % self.levels - half) / half

    def tokens(self, shape, seed):
        return hashed_tokens(shape, seed, self.codebook, self.device)

    def run(self):
        with torch.no_grad():
            return self.decode()

    def check(self):
        pixels = self.run().permute(0, 2, 3, 1)
        products = pixels.double() * hashed(pixels.shape, DIRECTION, self.device).double()
        return products.reshape(-1, PIECE).sum(1).square().sum().item()


class DecodeFrames(Decoding):
    """The per-frame tokenizer."""

    def __init__(self, sizes, device, shared, **_):
        super().__init__(sizes, device)
        channels, blocks = sizes["channels"], len(sizes["channels"])
        # Each block goes over to the next higher one's channels; all but the first double the resolution.
        widths = [*channels[-2::-1], channels[0]]
        doubles = [block > 0 for block in range(blocks)]
        model = nn.ModuleDict({
            "post_quant_linear": nn.Conv2d(len(sizes["levels"]), sizes["latent"], 1),
            "decoder": Decoder(sizes, channels[-1], widths, sizes["layers"], doubles, sizes["midAttention"]),
        })
        self.model = filled(model, shared["names"], device)
        scale = 2 ** (blocks - 1)
        self.indices = self.tokens([self.count, sizes["height"] // scale, sizes["width"] // scale], 2)

    def decode(self):
        codes = self.codes(self.indices).permute(0, 3, 1, 2)
        return self.model["decoder"](self.model["post_quant_linear"](codes)).clamp(0, 1)


class DecodeClip(Decoding):
    """The compressive tokenizer: what is computed of the context frame is there before."""

    def __init__(self, sizes, device, shared, **_):
        super().__init__(sizes, device)
        channels, blocks, levels = sizes["channels"], len(sizes["channels"]), len(sizes["levels"])
        latent, patch, scale = sizes["latent"], sizes["patch"], 2 ** (blocks - 1)
        rows, columns = sizes["height"] // scale, sizes["width"] // scale
        self.grid = rows // patch, columns // patch
        # The encoder's channels backwards; all blocks but the last double the resolution.
        plan = channels[-1], channels[::-1], sizes["layers"] + 1, [block < blocks - 1 for block in range(blocks)]
        halvings = [blocks - 1, *(max(blocks - 2 - block, 0) for block in range(blocks))]
        attended = {
            place: (sizes["height"] >> n) * (sizes["width"] >> n)
            for place, n in enumerate(halvings)
            if place == 0 or sizes["height"] >> n <= sizes["maxAttentionRows"]
        }
        model = nn.ModuleDict({
            "post_quant_conv": nn.Conv2d(levels, latent, 1),
            "decoder": Decoder(sizes, *plan, False),
            "post_quant_linear": nn.Linear(levels, latent * patch**2),
            "cond_decoder": Decoder(sizes, *plan, sizes["midAttention"], attended),
        })
        self.model = filled(model, shared["names"], device)
        self.indices = self.tokens([self.count, *self.grid], 2)
        context = self.codes(self.tokens([1, rows, columns], 1)).permute(0, 3, 1, 2)
        with torch.no_grad():
            maps, decoder = [], self.model["cond_decoder"]
            self.model["decoder"](self.model["post_quant_conv"](context), maps)
            for place, block in zip(decoder.places, decoder.cross_att_blocks):
                block.remember(maps[place])

    def decode(self):
        patch, (rows, columns) = self.sizes["patch"], self.grid
        made = self.model["post_quant_linear"](self.codes(self.indices)).unflatten(-1, (patch, patch, -1))
        # [T, rows, columns, p, p, C] as an image in channels-last memory.
        latents = made.transpose(2, 3).reshape(self.count, rows * patch, columns * patch, -1).permute(0, 3, 1, 2)
        return self.model["cond_decoder"](latents).clamp(0, 1)


VIDEO = {"decodeClip": DecodeClip, "decodeFrames": DecodeFrames}
