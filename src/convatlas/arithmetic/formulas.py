"""The arithmetic of one layer: functions of integers, no torch.

All counts are for one image. A spatial size is a tuple with one entry per axis, usually (height, width); an argument of
a layer may be one number for all axes, as in torch. ``macs`` and ``connections`` count every kernel tap at every output
position, including those in the padding.

Sources: Dumoulin and Visin, arXiv:1603.07285, chapters 2 and 4, for the sizes; LeCun et al. 1998, section II.B, for
connections.
"""

from __future__ import annotations

from math import prod

from convatlas.errors import ShapeError, UsageError

Sides = tuple[int, ...]


def per_axis(value: int | Sides, axes: int, name: str = "value") -> Sides:
    """``3`` -> ``(3, 3)``; a tuple must have one entry per axis."""
    if isinstance(value, int):
        return (value,) * axes
    if len(value) == 1:
        return tuple(value) * axes
    if len(value) != axes:
        raise UsageError(
            "{name} must have one entry, or one per axis ({axes}); got {entries}.",
            name=name,
            axes=axes,
            entries=tuple(value),
        )
    return tuple(value)


def reach(kernel: int, dilation: int = 1) -> int:
    """Side of the area that a dilated kernel spans: 3 taps with dilation 2 span 5 pixels."""
    return dilation * (kernel - 1) + 1


def output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    padding_end: int | None = None,
) -> int:
    """Length of one spatial side after a convolution or a pooling.

    Args:
        size: input side, in pixels, before padding.
        padding: pixels added at the beginning, and also at the end unless ``padding_end`` is given.
        ceil_mode: round up instead of down, except that no window may begin in the padding after the input, as in
            ``torch.nn.MaxPool2d`` and Caffe.
    Raises:
        ShapeError: the dilated kernel is longer than the padded input.
        UsageError: a size, kernel, stride or dilation below 1, or a negative padding.
    Source: Dumoulin and Visin, arXiv:1603.07285, relationship 15; agrees with torch.nn.Conv2d and MaxPool2d.
    """
    for name, value in (("size", size), ("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        if value < 1:
            raise UsageError("{name} must be a positive integer; got {value}.", name=name, value=value)
    end = padding if padding_end is None else padding_end
    if padding < 0 or end < 0:
        raise UsageError("padding must not be negative; got {padding}.", padding=min(padding, end))
    free = size + padding + end - reach(kernel, dilation)
    if free < 0:
        raise ShapeError(
            "a kernel that spans {reach} pixels does not fit into the padded input of {size} + {padding} + {end} "
            "pixels. Increase the padding by {missing} in total, enlarge the input, or use a smaller kernel.",
            reach=reach(kernel, dilation),
            size=size,
            padding=padding,
            end=end,
            missing=-free,
        )
    if not ceil_mode:
        return free // stride + 1
    rounded_up = -(-free // stride) + 1
    return rounded_up - 1 if (rounded_up - 1) * stride >= size + padding else rounded_up


def transposed_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, output_padding: int = 0
) -> int:
    """Length of one spatial side after a transposed convolution.

    Raises:
        ShapeError: the padding removes the whole output.
        UsageError: ``output_padding`` is not smaller than stride or dilation, which torch requires.
    Source: Dumoulin and Visin, arXiv:1603.07285, relationship 14; agrees with torch.nn.ConvTranspose2d.
    """
    if output_padding >= max(stride, dilation):
        raise UsageError(
            "output_padding must be smaller than stride or dilation; got {output_padding} with stride {stride} and "
            "dilation {dilation}.",
            output_padding=output_padding,
            stride=stride,
            dilation=dilation,
        )
    result = (size - 1) * stride - 2 * padding + reach(kernel, dilation) + output_padding
    if result < 1:
        raise ShapeError(
            "padding {padding} removes the whole output of a transposed convolution of {size} pixels. Use a smaller "
            "padding.",
            padding=padding,
            size=size,
        )
    return result


def same_padding(kernel: int, dilation: int = 1) -> tuple[int, int]:
    """Padding (before, after) that keeps the side at stride 1. With an even kernel the end gets one pixel more."""
    total = reach(kernel, dilation) - 1
    return total // 2, total - total // 2


def conv_params(in_channels: int, out_channels: int, kernel: Sides, groups: int = 1, bias: bool = True) -> int:
    """Weights and biases of a convolution: a filter per output map, each over ``in_channels / groups`` maps.

    Raises:
        UsageError: the channels cannot be divided into the groups.
    """
    return fan_in(in_channels, kernel, groups) * check_groups(out_channels, groups) + (out_channels if bias else 0)


def fan_in(in_channels: int, kernel: Sides, groups: int = 1) -> int:
    """Number of inputs of one neuron of a convolution, without the bias."""
    return check_groups(in_channels, groups) // groups * prod(kernel)


def check_groups(channels: int, groups: int) -> int:
    if groups < 1 or channels % groups:
        raise UsageError(
            "{channels} channels cannot be divided into {groups} equal groups.", channels=channels, groups=groups
        )
    return channels


def conv_macs(in_channels: int, out_channels: int, kernel: Sides, output: Sides, groups: int = 1) -> int:
    """Multiply-adds of a convolution. For a transposed convolution pass the sides of its input as ``output``."""
    return fan_in(in_channels, kernel, groups) * out_channels * prod(output)


def fc_params(in_features: int, out_features: int, bias: bool = True) -> int:
    """Weights and biases of a fully connected layer."""
    return in_features * out_features + (out_features if bias else 0)


def connections(macs: int, neurons: int, bias: bool = True) -> int:
    """LeCun's count: the connections of every neuron to its inputs, and one to its bias."""
    return macs + (neurons if bias else 0)
