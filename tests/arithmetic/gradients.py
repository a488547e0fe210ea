"""The witness for receptive fields: the pixels whose gradient is not zero, and random networks to ask it about."""

from __future__ import annotations

import contextlib
import random
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F


def mean_pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """Max pooling shows one pixel of its window to the gradient; a mean shows all of them."""
    with torch.no_grad():
        geometry = (kernel_size, stride, padding, dilation, ceil_mode)
        largest, indices = torch._C._nn.max_pool2d_with_indices(input, *geometry)
    pair = [(v, v) if isinstance(v, int) else tuple(v) for v in (kernel_size, stride or kernel_size, padding, dilation)]
    kernel, stride, padding, dilation = pair
    room = 2 * max(kernel) * max(dilation)  # more than ceil_mode can ask for
    x = F.pad(input, (padding[1], padding[1] + room, padding[0], padding[0] + room))
    mean = F.conv2d(x, x.new_ones(x.shape[1], 1, *kernel), None, stride, 0, dilation, x.shape[1])
    mean = mean[:, :, : largest.shape[2], : largest.shape[3]]
    return (mean, indices) if return_indices else mean


def made_positive(net: nn.Module) -> nn.Module:
    """Weights that cannot cancel, and small enough that no activation saturates."""
    generator = torch.Generator().manual_seed(1)
    net = net.double().eval()
    with torch.no_grad():
        for p in net.parameters():
            fan_in = max(1, p[0].numel()) if p.dim() > 1 else 1
            p.copy_((0.5 + torch.rand(p.shape, generator=generator, dtype=torch.float64)) / fan_in)
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.zero_()
                module.running_var.fill_(1)
    return net


def pixels(net: nn.Module, shape, layer: str | None = None):
    """A function from a position to the ranges of rows and columns that reach it, in ``layer`` or in the result."""
    images = (0.5 + torch.rand(1, *shape, dtype=torch.float64)).requires_grad_()
    caught = []
    hook = net.get_submodule(layer).register_forward_hook(lambda m, a, r: caught.append(r)) if layer else None
    with mock.patch.object(F, "max_pool2d", mean_pool), contextlib.ExitStack() as stack:
        if hook:
            stack.callback(hook.remove)
        result = net(images)
    result = caught[0] if layer else result

    def at(position):
        picked = result.sum(dim=1)[0]
        if picked.dim():
            picked = picked[tuple(min(p, s - 1) for p, s in zip(position, picked.shape, strict=True))]
        (gradient,) = torch.autograd.grad(picked, images, retain_graph=True, allow_unused=True)
        if gradient is None:
            return None, None
        seen = gradient[0].abs().sum(dim=0)
        rows, columns = seen.sum(dim=1).nonzero().flatten(), seen.sum(dim=0).nonzero().flatten()
        if not len(rows):
            return None, None
        return (rows[0].item(), rows[-1].item()), (columns[0].item(), columns[-1].item())

    return at, tuple(result.shape[2:])


STEPS = ("conv", "conv", "conv", "asymmetric", "grouped", "maxpool", "avgpool", "transposed", "nearest", "bilinear")
STEPS += ("add", "add", "concat", "gate", "pad", "crop", "chunk", "adaptive", "reflect", "stride_slice", "bicubic")
STEPS += ("softmax", "shuffle")


class RandomGraph(nn.Module):
    """A network drawn at random: windows of every kind, branches, sums, concatenations, gates, resampling."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.side = (draw.randint(9, 20), draw.randint(9, 20))
        self.layers = nn.ModuleList()
        self.steps: list[tuple] = []
        shapes = [(2, *self.side)]
        for _ in range(draw.randint(2, 9)):
            source = draw.randrange(len(shapes)) if draw.random() < 0.4 else len(shapes) - 1
            step, shape = self._drawn(draw, source, shapes)
            if step is not None and min(shape) > 0 and shape[1] * shape[2] < 3000:
                self.steps.append(step)
                shapes.append(shape)

    def _drawn(self, draw, source, shapes):
        c, h, w = shapes[source]
        kind = draw.choice(STEPS)
        same = [n for n, s in enumerate(shapes) if s == (c, h, w)]
        sized = [n for n, s in enumerate(shapes) if s[1:] == (h, w)]
        k, s, p, d = draw.randint(1, 4), draw.randint(1, 3), draw.randint(0, 2), draw.randint(1, 2)
        module = None
        if kind == "conv":
            module = nn.Conv2d(c, draw.choice((2, 3, 4)), k, s, p, d)
        elif kind == "asymmetric":
            pair = draw.choice(((1, 7), (7, 1), (1, 3), (2, 5)))
            module = nn.Conv2d(c, 2, pair, (1, draw.randint(1, 2)), (pair[0] // 2, pair[1] // 2))
        elif kind == "grouped":
            module = nn.Conv2d(c, 2 * c, k, 1, p, groups=c)
        elif kind == "maxpool":
            module = nn.MaxPool2d(k, s, min(p, k // 2), d, ceil_mode=draw.random() < 0.5)
        elif kind == "avgpool":
            module = nn.AvgPool2d(k, s, min(p, k // 2), ceil_mode=draw.random() < 0.5)
        elif kind == "transposed":
            module = nn.ConvTranspose2d(c, 2, k, draw.randint(1, 3), min(p, k - 1), dilation=d)
        elif kind == "adaptive":
            module = nn.AdaptiveAvgPool2d((draw.randint(1, h), draw.randint(1, w)))
        if module is not None:
            try:
                with torch.no_grad():
                    shape = tuple(module(torch.empty(1, c, h, w)).shape[1:])
            except RuntimeError:
                return None, None
            self.layers.append(module)
            return ("layer", source, len(self.layers) - 1), shape
        return {
            "nearest": lambda: (("nearest", source, (2 * h, 3 * w)), (c, 2 * h, 3 * w)),
            "bilinear": lambda: (("bilinear", source, (2 * h, w + 3)), (c, 2 * h, w + 3)),
            "bicubic": lambda: (("bicubic", source, (2 * h, 2 * w)), (c, 2 * h, 2 * w)),
            "add": lambda: (("add", source, draw.choice(same)), (c, h, w)),
            "concat": lambda: self._concat(source, draw.choice(sized), shapes),
            "gate": lambda: (("gate", source, None), (c, h, w)),
            "pad": lambda: (("pad", source, (1, 2, 0, 3)), (c, h + 3, w + 3)),
            "crop": lambda: (("crop", source, None), (c, h - 2, w - 1)),
            "stride_slice": lambda: (("stride_slice", source, None), (c, -(-h // 2), w)),
            "chunk": lambda: (("chunk", source, c // 2), (c // 2, h, w)),
            "reflect": lambda: (("reflect", source, None), (c, h + 2, w + 2)) if min(h, w) > 2 else (None, None),
            "softmax": lambda: (("softmax", source, None), (c, h, w)),
            "shuffle": lambda: (("shuffle", source, None), (c // 4, 2 * h, 2 * w)) if c % 4 == 0 else (None, None),
        }[kind]()

    @staticmethod
    def _concat(first, second, shapes):
        return ("concat", first, second), (shapes[first][0] + shapes[second][0], *shapes[first][1:])

    def forward(self, images):
        nodes = [images]
        for kind, source, detail in self.steps:
            x = nodes[source]
            if kind == "layer":
                x = self.layers[detail](x)
            elif kind in ("nearest", "bilinear", "bicubic"):
                x = F.interpolate(x, size=detail, mode=kind)
            elif kind == "add":
                x = x + nodes[detail]
            elif kind == "concat":
                x = torch.cat([x, nodes[detail]], dim=1)
            elif kind == "gate":
                x = (x + 1) * torch.sigmoid(x.mean(dim=(2, 3), keepdim=True) * 1e-3)
            elif kind == "pad":
                x = F.pad(x, detail)
            elif kind == "crop":
                x = x[:, :, 1:-1, 1:]
            elif kind == "stride_slice":
                x = x[:, :, ::2]
            elif kind == "chunk":
                x = x[:, :detail]
            elif kind == "reflect":
                x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            elif kind == "softmax":
                x = (x + 1) * torch.softmax(x * 1e-3, dim=1)
            elif kind == "shuffle":
                x = F.pixel_shuffle(x, 2)
            nodes.append(x)
        return nodes[-1]
