"""The playground's documents: the arithmetic of one layer, and of a small net composed layer by layer.

The page sends plain JSON, which is checked here: a field that is missing, of another type or out of range is a
UsageError that names it. The numbers are those of `convatlas.arithmetic`.
"""

from __future__ import annotations

import reprlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from convatlas import units
from convatlas.arithmetic import formulas
from convatlas.arithmetic import layer as by_hand
from convatlas.arithmetic.layer import Step, WorkedLayer
from convatlas.arithmetic.records import INPUT, LayerRow, plain_row
from convatlas.errors import ConvAtlasError, ShapeError, UsageError
from convatlas.i18n import translated
from convatlas.message import Message

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]

MOST_LAYERS = 60
LARGEST_SIDE = 4096
MOST_CHANNELS = 65536

KINDS = ("conv", "pool", "fc", "relu", "batch_norm", "dropout", "flatten", "global_avgpool")
WITH_NUMBERS = KINDS[:3]
NAMES = {"batch_norm": "bn", "global_avgpool": "gap"}  # prefixes of names, where they differ from the kind


# ------------------------------------------------------------------ one layer


def layer(body: object) -> dict[str, Any]:
    """The document of one convolution, pooling or fully connected layer.

    Raises:
        UsageError: the settings are not those of a layer.
        ShapeError: the layer does not fit its input; the message says why.
    """
    settings = _settings(body, WITH_NUMBERS)
    shape = _shape(_mapping(body).get("input"))
    worked = _worked(settings, shape)
    windowed = settings["kind"] != "fc"
    return {
        "schema": 1,
        "kind": worked.kind,
        "input": list(worked.input),
        "output": list(worked.output),
        "params": worked.params,
        "macs": worked.macs,
        "connections": worked.connections,
        "neurons": worked.neurons,
        "activation_bytes": worked.activation_bytes,
        "steps": [translated_step(step) for step in worked.steps],
        "window": _window(settings, shape, worked) if windowed else None,
        "field": _field(settings, _mapping(body).get("before")) if windowed else None,
        "remarks": _remarks(settings, shape, worked),
    }


def translated_step(step: Step) -> dict[str, str]:
    """A step for JSON, its texts in the language in use."""
    return {name: translated(text) for name, text in step.to_dict().items()}


def _worked(settings: Mapping[str, Any], shape: Shape) -> WorkedLayer:
    kind = settings["kind"]
    if kind == "fc":
        return by_hand.fully_connected(shape, settings["features"], settings["bias"])
    if len(shape) != 3:
        raise ShapeError(
            "a convolution or a pooling needs an input of channels, height and width; got a vector of {shape}. Put it "
            "before the first flatten or fully connected layer.",
            shape=prod(shape),
        )
    kernel, stride, padding, dilation = (settings[name] for name in ("kernel", "stride", "padding", "dilation"))
    if kind == "conv":
        channels, groups, bias = settings["channels"], settings["groups"], settings["bias"]
        return by_hand.convolution(shape, channels, kernel, stride, padding, dilation, groups, bias)
    mode = "maxpool" if settings["pooling"] == "max" else "avgpool"
    if mode == "avgpool" and dilation != (1, 1):
        raise UsageError("an average pooling has no dilation; got {dilation}.", dilation=_size(dilation))
    return by_hand.pooling(shape, kernel, stride, padding, dilation, settings["ceil_mode"], mode)


def _window(settings: Mapping[str, Any], shape: Shape, worked: WorkedLayer) -> dict[str, Any]:
    """What a drawing of the window needs, as (height, width): the padding, the window's reach, its positions."""
    columns = zip(*(settings[name] for name in ("kernel", "stride", "padding", "dilation")), strict=True)
    sides = [
        {
            "size": n,
            "kernel": k,
            "stride": s,
            "padding": p,
            "dilation": d,
            "reach": formulas.reach(k, d),
            "positions": o,
        }
        for n, (k, s, p, d), o in zip(shape[1:], columns, worked.output[1:], strict=True)
    ]
    return {name: [side[name] for side in sides] for name in sides[0]}


def _field(settings: Mapping[str, Any], before: object) -> dict[str, Any]:
    """The receptive field and the jump after the layer, from those of its input: 1 and 1 for the image itself."""
    given = _mapping(before or {})
    field = [_integer(side, "field", 1, 10**6) for side in _pair(given.get("field", 1), "field")]
    jump = [_integer(side, "jump", 1, 10**6) for side in _pair(given.get("jump", 1), "jump")]
    sides = list(zip(settings["kernel"], settings["dilation"], settings["stride"], field, jump, strict=True))
    steps = [by_hand.field_step(k, d, r, j) for k, d, _, r, j in sides]
    steps += [by_hand.jump_step(j, s) for _, _, s, _, j in sides]
    return {
        "receptive_field": [r + d * (k - 1) * j for k, d, _, r, j in sides],
        "jump": [j * s for _, _, s, _, j in sides],
        "steps": [translated_step(step) for step in dict.fromkeys(steps)],
    }


def _remarks(settings: Mapping[str, Any], shape: Shape, worked: WorkedLayer) -> list[str]:
    """Sentences about the layer: pixels that the stride leaves out, and what weight sharing saves."""
    remarks = []
    if worked.kind != "fc":
        columns = zip(*(settings[name] for name in ("kernel", "stride", "padding", "dilation")), strict=True)
        for size, (k, s, p, d) in dict.fromkeys(zip(shape[1:], columns, strict=True)):
            fit = by_hand.fit(size, k, s, p, d)
            if not fit.fits:
                remarks.append(
                    Message(
                        "The stride does not fit: {size} pixels give {exact} positions, {floor} rounded down, {ceil} "
                        "up.",
                        size=size,
                        exact=f"{float(fit.exact):.4g}",
                        floor=fit.floor,
                        ceil=fit.ceil,
                    )
                )
                if fit.paddings:
                    paddings = ", ".join(map(str, fit.paddings))
                    remarks.append(Message("Padding at each end with which it fits: {list}", list=paddings))
    if worked.kind == "conv":
        dense = by_hand.equivalent_fully_connected(worked, settings["bias"])
        remarks.append(
            Message(
                "A fully connected layer of the same sizes has {dense} weights, {times} times as many.",
                dense=units.exact(dense.macs),
                times=units.exact(round(dense.params / worked.params)),
            )
        )
    return [translated(remark) for remark in remarks]


# ------------------------------------------------------------------ a small net


def network(body: object) -> dict[str, Any]:
    """The document of a small net: its rows up to the first layer that does not fit, totals, and its PyTorch code.

    Raises:
        UsageError: the input or the settings of a layer are not valid.
    """
    given = _mapping(body)
    shape = _shape(given.get("input"))
    layers = given.get("layers")
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise UsageError("layers must be a list of at most {most} layers.", most=MOST_LAYERS)
    chosen = [_settings(each, KINDS) for each in layers]
    names = layer_names(chosen)
    shapes, failure = _shapes(chosen, shape, names)
    built = list(zip(names, chosen, shapes, strict=False))
    rows, totals = _rows(built, shape)
    return {
        "schema": 1,
        "input": list(shape),
        "names": names,
        "rows": rows,
        "totals": totals,
        "failure": failure,
        "code": code(built, shape) if built and failure is None else "",
    }


def layer_names(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names by kind, counted from 1: ``conv1 relu1 pool1 conv2``."""
    counts: dict[str, int] = {}
    names = []
    for each in layers:
        prefix = NAMES.get(each["kind"], each["kind"])
        counts[prefix] = counts.get(prefix, 0) + 1
        names.append(f"{prefix}{counts[prefix]}")
    return names


def _shapes(
    layers: Sequence[Mapping[str, Any]], shape: Shape, names: Sequence[str]
) -> tuple[list[Shape], dict[str, Any] | None]:
    """The input of each layer that fits, and the first that does not, with the reason."""
    inputs: list[Shape] = []
    for index, (name, settings) in enumerate(zip(names, layers, strict=True)):
        try:
            after = _output(settings, shape)
        except ConvAtlasError as error:
            reason = translated(error.message)
            return inputs, {"index": index, "layer": name, "inputs": [list(shape)], "message": reason}
        inputs.append(shape)
        shape = after
    return inputs, None


def _output(settings: Mapping[str, Any], shape: Shape) -> Shape:
    kind = settings["kind"]
    if kind in WITH_NUMBERS:
        return _worked(settings, shape).output
    if kind == "flatten":
        return (prod(shape),)
    if kind == "global_avgpool":
        if len(shape) != 3:
            raise ShapeError("a global average pooling needs an input of channels, height and width; got a vector.")
        return shape[:1]
    return shape


def _rows(
    built: Sequence[tuple[str, Mapping[str, Any], Shape]], shape: Shape
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows of the layers that fit, one for each, and the totals: those of `summarize`."""
    if not built:
        return [], {"params": 0, "macs": 0, "connections": 0, "activation_bytes": 0}
    from torch import nn

    from convatlas.arithmetic import summarize

    net = nn.Sequential(OrderedDict((name, _module(settings, given)) for name, settings, given in built))
    summary = summarize(net, shape)
    # a fully connected layer over a map, and a global pooling, are two rows, one of them a reshape without memory
    by_layer: dict[str, list[LayerRow]] = {}
    for row in summary.rows:
        by_layer.setdefault(row.name.partition(".")[0], []).append(row)
    rows, before = [], INPUT
    for name, settings, given in built:
        made = by_layer.get(name) or [LayerRow(name, name, "flatten", (before,), given)]  # of a vector, nothing runs
        rows.append({**_row(name, settings, made), "inputs": [before]})
        before = name
    totals = summary.totals
    counts = {name: getattr(totals, name) for name in ("params", "macs", "connections", "activation_bytes")}
    return rows, counts


def _row(name: str, settings: Mapping[str, Any], rows: Sequence[LayerRow]) -> dict[str, Any]:
    row = plain_row(next((row for row in rows if row.kind != "flatten"), rows[0]))
    kind = "global_avgpool" if settings["kind"] == "global_avgpool" else row["kind"]
    return {**row, "name": name, "kind": kind, "output": list(rows[-1].output)}


def _module(settings: Mapping[str, Any], shape: Shape) -> nn.Module:
    from torch import nn

    kind = settings["kind"]
    sizes: dict[str, Any] = {name: settings.get(name) for name in ("stride", "padding", "dilation")}
    if kind == "conv":
        more = {"groups": settings["groups"], "bias": settings["bias"], "device": "meta"}
        return nn.Conv2d(shape[0], settings["channels"], settings["kernel"], **sizes, **more)
    if kind == "pool":
        if settings["pooling"] == "max":
            return nn.MaxPool2d(settings["kernel"], **sizes, ceil_mode=settings["ceil_mode"])
        del sizes["dilation"]
        return nn.AvgPool2d(settings["kernel"], **sizes, ceil_mode=settings["ceil_mode"])
    if kind == "fc":
        linear = nn.Linear(prod(shape), settings["features"], bias=settings["bias"], device="meta")
        return linear if len(shape) == 1 else nn.Sequential(nn.Flatten(), linear)
    if kind == "batch_norm":
        return (nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d)(shape[0], device="meta")
    if kind == "global_avgpool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {"relu": nn.ReLU, "dropout": nn.Dropout, "flatten": nn.Flatten}[kind]()


def code(built: Sequence[tuple[str, Mapping[str, Any], Shape]], shape: Shape) -> str:
    """The net as PyTorch code that runs by itself; arguments that are PyTorch's defaults are left out."""
    lines = [line for _, settings, given in built for line in _calls(settings, given)]
    body = "\n".join(f"    {line}," for line in lines)
    sides = ", ".join(map(str, shape))
    head, tail = "import torch\nfrom torch import nn\n\nnet = nn.Sequential(\n", "\n)\n"
    return f"{head}{body}{tail}print(net(torch.zeros(2, {sides})).shape)\n"  # two images, for the batch norms


def _calls(settings: Mapping[str, Any], shape: Shape) -> list[str]:
    kind = settings["kind"]
    if kind == "conv":
        first = f"{shape[0]}, {settings['channels']}, {_argument(settings['kernel'])}"
        return [f"nn.Conv2d({first}{_options(settings, 'stride', 'padding', 'dilation', 'groups', 'bias')})"]
    if kind == "pool":
        stride = "" if settings["stride"] == settings["kernel"] else f", stride={_argument(settings['stride'])}"
        name = "MaxPool2d" if settings["pooling"] == "max" else "AvgPool2d"
        rest = _options(settings, "padding", "dilation", "ceil_mode")
        return [f"nn.{name}({_argument(settings['kernel'])}{stride}{rest})"]
    if kind == "fc":
        linear = f"nn.Linear({prod(shape)}, {settings['features']}{_options(settings, 'bias')})"
        return [linear] if len(shape) == 1 else ["nn.Flatten()", linear]
    if kind == "batch_norm":
        return [f"nn.BatchNorm{1 if len(shape) == 1 else 2}d({shape[0]})"]
    if kind == "global_avgpool":
        return ["nn.AdaptiveAvgPool2d(1)", "nn.Flatten()"]
    return [{"relu": "nn.ReLU()", "dropout": "nn.Dropout()", "flatten": "nn.Flatten()"}[kind]]


DEFAULTS: dict[str, Any] = {
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "groups": 1,
    "bias": True,
    "ceil_mode": False,
}


def _options(settings: Mapping[str, Any], *names: str) -> str:
    written = ((name, settings[name]) for name in names if settings[name] != DEFAULTS[name])
    return "".join(f", {name}={_argument(value)}" for name, value in written)


def _argument(value: Any) -> str:
    return str(value[0]) if isinstance(value, tuple) and len(set(value)) == 1 else str(value)


# ------------------------------------------------------------------ what the page sent


def _mapping(body: object) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise UsageError("a layer, and the whole request, must be a JSON object.")
    return body


def _settings(body: object, kinds: Sequence[str]) -> dict[str, Any]:
    """The settings of one layer, complete and within range."""
    given = _mapping(body)
    kind = given.get("kind")
    if kind not in kinds:
        raise UsageError(
            "the kind of a layer must be one of {known}; got {kind}.",
            known=", ".join(kinds),
            kind=reprlib.repr(kind),
        )
    settings: dict[str, Any] = {"kind": kind}
    if kind in ("conv", "pool"):
        kernel = _sides(given, "kernel", None, 1)
        settings |= {
            "kernel": kernel,
            "stride": _sides(given, "stride", (1, 1) if kind == "conv" else kernel, 1),
            "padding": _sides(given, "padding", (0, 0), 0),
            "dilation": _sides(given, "dilation", (1, 1), 1),
        }
    if kind == "conv":
        settings["channels"] = _integer(given.get("channels"), "channels", 1, MOST_CHANNELS)
        settings["groups"] = _integer(given.get("groups", 1), "groups", 1, MOST_CHANNELS)
    if kind == "fc":
        settings["features"] = _integer(given.get("features"), "features", 1, MOST_CHANNELS)
    if kind in ("conv", "fc"):
        settings["bias"] = _truth(given.get("bias", True), "bias")
    if kind == "pool":
        settings["ceil_mode"] = _truth(given.get("ceil_mode", False), "ceil_mode")
        settings["pooling"] = given.get("pooling", "max")
        if settings["pooling"] not in ("max", "average"):
            raise UsageError(
                "pooling must be max or average; got {pooling}.", pooling=reprlib.repr(settings["pooling"])
            )
    return settings


def _shape(value: object) -> Shape:
    if not isinstance(value, list) or len(value) not in (1, 3):
        raise UsageError("the input must be channels, height and width, or the length of a vector.")
    channels = _integer(value[0], "channels", 1, MOST_CHANNELS)
    return (channels, *(_integer(side, "size", 1, LARGEST_SIDE) for side in value[1:]))


def _sides(given: Mapping[str, Any], name: str, default: Shape | None, low: int) -> Shape:
    value = given.get(name)
    if value is None and default is not None:
        return default
    return tuple(_integer(side, name, low, LARGEST_SIDE) for side in _pair(value, name))


def _pair(value: object, name: str) -> list[object]:
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2:
        raise UsageError("{name} must be one number, or a height and a width.", name=name)
    return pair


def _integer(value: object, name: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(
            "{name} must be a whole number from {low} to {high}; got {value}.",
            name=name,
            low=low,
            high=units.exact(high),
            value=reprlib.repr(value),
        )
    return value


def _truth(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError("{name} must be true or false; got {value}.", name=name, value=reprlib.repr(value))
    return value


def _size(sides: Sequence[int]) -> str:
    return str(sides[0]) if len(set(sides)) == 1 else "x".join(map(str, sides))
