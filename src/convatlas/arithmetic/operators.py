"""Kind, multiply-adds and geometry of each torch operator.

The operators are those of aten, into which torch decomposes its functions: ``F.linear`` becomes ``addmm``, and an
adaptive pooling to 1 x 1 becomes ``mean``. An operator that is not listed here, and that torch does not tag as
element-wise, view or reduction, has the kind "unknown" and no counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """The geometry of a convolution or pooling, one entry per spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    ceil_mode: bool = False
    transposed: bool = False


@dataclass(frozen=True)
class Work:
    """Kind and counts of one call of an operator.

    Attributes:
        kind: "conv", "fc", "maxpool", "batch_norm", "relu", "add", "concat", "reshape", ..., "unknown".
        macs: multiply-adds of a convolution or matrix product, for the whole batch; None where they are not known.
        bias_uses: number of additions of a bias.
        shape_only: whether it is a view, copy or slice, which computes no values.
        pointwise: whether every output depends only on the input at the same position.
        kept_outputs: number of outputs that belong to the result; the indices of a max pooling do not.
        written_as: the function that torch decomposed into this operator, where that is known.
    """

    kind: str
    macs: int | None = 0
    bias_uses: int = 0
    window: Window | None = None
    shape_only: bool = False
    pointwise: bool = False
    kept_outputs: int = 1
    written_as: str = ""


def describe(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    """Kind and counts of one call of an aten operator."""
    name = func._schema.name.partition("::")[2]
    name = name.rstrip("_") if not name.endswith("__") else name
    rule = _RULES.get(name)
    if rule is not None:
        return rule(named_arguments(func, args, kwargs), outputs)
    if name in _KINDS:
        return Work(_KINDS[name], pointwise=_KINDS[name] in ("batch_norm", "prelu", "dropout", "rrelu"))
    if name in _SHAPE_ONLY or func.is_view:
        return Work(_SHAPE_ONLY.get(name, "reshape"), shape_only=True, kept_outputs=len(outputs))
    if torch.Tag.pointwise in func.tags or name in _POINTWISE:
        return Work(name, pointwise=True)
    if torch.Tag.reduction in func.tags:
        return Work(name)
    return Work("unknown", macs=None, kept_outputs=len(outputs))


def named_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names of the operator's schema, including defaults."""
    arguments = {}
    for index, argument in enumerate(func._schema.arguments):
        if index < len(args):
            arguments[argument.name] = args[index]
        elif argument.name in kwargs:
            arguments[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            arguments[argument.name] = argument.default_value
    return arguments


def _all_axes(value: Any, axes: int) -> tuple[int, ...]:
    values = [value] if isinstance(value, int) else list(value)
    return tuple(values * axes if len(values) == 1 else values)


# ------------------------------------------------------------------ rules


def _convolution(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    images, weight, result = a["input"], a["weight"], outputs[0]
    axes = weight.dim() - 2
    positions = images.shape[2:] if a["transposed"] else result.shape[2:]
    return Work(
        "conv_transposed" if a["transposed"] else "conv",
        macs=result.shape[0] * prod(positions) * weight.numel(),
        bias_uses=result.numel() if a["bias"] is not None else 0,
        window=Window(
            kernel=tuple(weight.shape[2:]),
            stride=_all_axes(a["stride"], axes),
            padding=_all_axes(a["padding"], axes),
            dilation=_all_axes(a["dilation"], axes),
            groups=a["groups"],
            transposed=a["transposed"],
        ),
    )


def _addmm(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    return Work("fc", macs=outputs[0].numel() * a["mat1"].shape[1], bias_uses=outputs[0].numel())


def _mm(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    return Work("fc", macs=outputs[0].numel() * a["self"].shape[1])


def _bmm(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    return Work("matmul", macs=outputs[0].numel() * a["self"].shape[2])


def _baddbmm(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    return Work("matmul", macs=outputs[0].numel() * a["batch1"].shape[2])


def _mv(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    return Work("fc", macs=a["self"].numel())


def _dot(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    return Work("matmul", macs=a["self"].numel())


def _linear(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    bias_uses = outputs[0].numel() if a.get("bias") is not None else 0
    return Work("fc", macs=outputs[0].numel() * a["weight"].shape[-1], bias_uses=bias_uses)


def _attention(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
    query, key, value = a["query"], a["key"], a["value"]  # (N, heads, tokens, width)
    scores = prod(query.shape[:-1]) * key.shape[-2]
    return Work("attention", macs=scores * (query.shape[-1] + value.shape[-1]))


def _pool(kind: str) -> Callable[[dict[str, Any], tuple[Tensor, ...]], Work]:
    def rule(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
        axes = len(a["kernel_size"]) if not isinstance(a["kernel_size"], int) else 1
        kernel = _all_axes(a["kernel_size"], axes)
        window = Window(
            kernel=kernel,
            stride=_all_axes(a["stride"], axes) if a.get("stride") else kernel,
            padding=_all_axes(a.get("padding") or 0, axes),
            dilation=_all_axes(a.get("dilation") or 1, axes),
            ceil_mode=bool(a.get("ceil_mode", False)),
        )
        if kind == "avgpool" and set(kernel) == {1}:  # copies every stride-th pixel: ResNet's shortcut A
            return Work("slice", window=window, shape_only=True)
        return Work(kind, window=window)

    return rule


def _mean(kind: str) -> Callable[[dict[str, Any], tuple[Tensor, ...]], Work]:
    """A mean or maximum over exactly the spatial axes is a global pooling."""

    def rule(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
        images, dims = a["self"], a.get("dim")
        rank = images.dim()
        dims = [dims] if isinstance(dims, int) else list(dims or [])
        spatial = rank >= 3 and sorted(d % rank for d in dims) == list(range(2, rank))
        if not spatial:
            return Work({"avg": "mean", "max": "amax"}[kind])
        adaptive = dims == [-1, -2] and a.get("keepdim")  # torch decomposes adaptive pooling to one pixel into this
        return Work(f"global_{kind}pool", written_as="adaptive_avg_pool2d" if adaptive else "")

    return rule


def _adaptive(kind: str) -> Callable[[dict[str, Any], tuple[Tensor, ...]], Work]:
    def rule(a: dict[str, Any], outputs: tuple[Tensor, ...]) -> Work:
        one = set(a["output_size"]) == {1}
        return Work(f"global_{kind}pool" if one else f"adaptive_{kind}pool")

    return rule


_RULES: dict[str, Callable[[dict[str, Any], tuple[Tensor, ...]], Work]] = {
    "convolution": _convolution,
    "_convolution": _convolution,
    "addmm": _addmm,
    "mm": _mm,
    "bmm": _bmm,
    "baddbmm": _baddbmm,
    "mv": _mv,
    "dot": _dot,
    "linear": _linear,
    "scaled_dot_product_attention": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_attention_math": _attention,
    "max_pool1d": _pool("maxpool"),
    "max_pool2d": _pool("maxpool"),
    "max_pool3d": _pool("maxpool"),
    "max_pool2d_with_indices": _pool("maxpool"),
    "max_pool3d_with_indices": _pool("maxpool"),
    "avg_pool1d": _pool("avgpool"),
    "avg_pool2d": _pool("avgpool"),
    "avg_pool3d": _pool("avgpool"),
    "mean": _mean("avg"),
    "amax": _mean("max"),
    "_adaptive_avg_pool2d": _adaptive("avg"),
    "_adaptive_avg_pool3d": _adaptive("avg"),
    "adaptive_max_pool2d": _adaptive("max"),
    "adaptive_max_pool3d": _adaptive("max"),
}

# operators without multiply-adds: name in torch -> name in the tables
_KINDS = {
    "native_batch_norm": "batch_norm",
    "_native_batch_norm_legit": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
    "_batch_norm_with_update": "batch_norm",
    "_batch_norm_no_update": "batch_norm",
    "cudnn_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "_fused_rms_norm": "rms_norm",
    "native_dropout": "dropout",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "_prelu_kernel": "prelu",
    "cat": "concat",
    "stack": "concat",
    "constant_pad_nd": "pad",
    "reflection_pad1d": "pad",
    "reflection_pad2d": "pad",
    "reflection_pad3d": "pad",
    "replication_pad1d": "pad",
    "replication_pad2d": "pad",
    "replication_pad3d": "pad",
    "max_unpool2d": "unpool",
    "max_unpool3d": "unpool",
    "upsample_nearest1d": "upsample",
    "upsample_nearest2d": "upsample",
    "upsample_nearest3d": "upsample",
    "_upsample_nearest_exact2d": "upsample",
    "upsample_bilinear2d": "upsample",
    "_upsample_bilinear2d_aa": "upsample",
    "upsample_bicubic2d": "upsample",
    "upsample_linear1d": "upsample",
    "upsample_trilinear3d": "upsample",
    "grid_sampler_2d": "grid_sample",
    "pixel_shuffle": "pixel_shuffle",
    "pixel_unshuffle": "pixel_unshuffle",
    "channel_shuffle": "channel_shuffle",
    "native_channel_shuffle": "channel_shuffle",
    "im2col": "unfold",
    "col2im": "fold",
    "roll": "roll",
    "flip": "flip",
    "index": "index",
    "index_select": "index",
    "gather": "index",
    "index_put": "index",
    "scatter": "scatter",
    "scatter_add": "scatter",
    "embedding": "embedding",
    "sum": "sum",
    "prod": "prod",
    "cumsum": "cumsum",
    "max": "max",
    "min": "min",
    "argmax": "argmax",
    "topk": "topk",
    "sort": "sort",
    "var": "var",
    "std": "std",
    "var_mean": "var",
    "std_mean": "std",
    "linalg_vector_norm": "norm",
    "norm": "norm",
    "logsumexp": "logsumexp",
    "glu": "glu",
    "tril": "tril",
    "triu": "triu",
    "zero": "fill",
    "fill": "fill",
    "zeros_like": "fill",
    "ones_like": "fill",
    "full_like": "fill",
    "empty_like": "fill",
    "new_zeros": "fill",
    "new_ones": "fill",
    "new_full": "fill",
    "new_empty": "fill",
    "new_empty_strided": "fill",
    "rand_like": "random",
    "randn_like": "random",
    "uniform": "random",
    "normal": "random",
    "rrelu_with_noise": "rrelu",
}

# element-wise operators without torch's tag
_POINTWISE = frozenset({"hardswish", "rsub", "masked_fill", "log_sigmoid_forward", "bernoulli"})

# views and copies
_SHAPE_ONLY = {
    "view": "reshape",
    "_unsafe_view": "reshape",
    "_reshape_alias": "reshape",
    "reshape": "reshape",
    "unsqueeze": "reshape",
    "squeeze": "reshape",
    "permute": "permute",
    "transpose": "permute",
    "t": "permute",
    "expand": "expand",
    "repeat": "expand",
    "clone": "copy",
    "contiguous": "copy",
    "copy": "copy",
    "_to_copy": "copy",
    "slice": "slice",
    "select": "slice",
    "narrow": "slice",
    "split": "split",
    "split_with_sizes": "split",
    "unsafe_split": "split",
    "unsafe_split_with_sizes": "split",
    "unsafe_chunk": "split",
    "as_strided": "reshape",
    "chunk": "split",
    "unbind": "split",
    "unfold": "unfold",
}
