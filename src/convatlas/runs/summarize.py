"""`summarize` and `explain` for a network of the atlas by name, for a run, or for any module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas import arithmetic, models
from convatlas.errors import UsageError
from convatlas.models import own

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from convatlas.arithmetic import Explanation, Summary
    from convatlas.runs.run import Run

    Countable = str | Path | Run | nn.Module
    InputShape = Sequence[int] | Sequence[Sequence[int]] | Tensor | Sequence[Tensor] | dict[str, Any]


def summarize(
    what: Countable,
    input_shape: InputShape | None = None,
    *,
    dtype: torch.dtype | None = None,
    training: bool = False,
    model: str = "",
) -> Summary:
    """Count every layer of a network: shapes, parameters, MACs, connections, memory, receptive field. For one image.

    Args:
        what: a name of `list_models`; ``FILE.py:Class``, a class of your own; ``timm:NAME`` or ``tv:NAME``; a run or
            its directory; or any ``torch.nn.Module``, ours or not, which is neither copied nor changed.
        input_shape: ``(C, H, W)`` of one image, without the batch; by default that of the paper or of the
            run. A module that is not of the atlas needs it, and may have several inputs: see
            `convatlas.arithmetic.summarize`.
        dtype: of the inputs; by default that of the network's first floating-point parameter.
        training: count the network in training mode (auxiliary heads run, dropout drops) instead of evaluation mode.
        model: the name that the summary carries; by default the network's.
    Returns:
        rows, totals and graph; ``print`` it for the table, ``to_dict()`` for JSON, ``to_csv()`` for a spreadsheet.
    Raises:
        UnknownNameError: no such network; the message lists the near names.
        ForwardError: the forward pass stopped; the message names the layer.
        UsageError: ``what`` is not a network, or ``input_shape`` is not a shape.
    """
    if isinstance(what, str | Path):
        name = str(what)
        if name in models.list_models():
            stored = None if training or dtype is not None else _stored_summary(name, input_shape)
            if stored is not None and model in ("", name):
                return stored
            net, built_shape = _network(name, input_shape)
            return arithmetic.summarize(net, built_shape, dtype=dtype, training=training, model=model or name)
        if own.is_own(name):
            record = models.entry(name)
            shape = record.input if input_shape is None and record.usual_input else input_shape
            if shape is None:
                raise UsageError(
                    "the input shape of {network} is not known: pass it, --input 3x224x224 or (3, 224, 224).",
                    network=name,
                )
            sides = [side for side in shape if isinstance(side, int)] if isinstance(shape, tuple | list) else []
            channels, side = sides[:2] if len(sides) == 3 else (None, None)
            net = models.create_model(name, in_channels=channels, image_size=side)
            return arithmetic.summarize(net, shape, dtype=dtype, training=training, model=model or record.label)
        if not Path(what).is_dir():
            models.entry(name)  # raises, and lists the near names
        from convatlas.runs.run import Run

        what = Run(what)
    from torch import nn

    from convatlas.runs.run import Run

    if isinstance(what, Run):
        run = what.config["run"]
        shape = (run["in_channels"], run["image_size"], run["image_size"]) if input_shape is None else input_shape
        net = what.untrained_network()
        return arithmetic.summarize(net, shape, dtype=dtype, training=training, model=model or what.label)
    if isinstance(what, type) and issubclass(what, nn.Module):
        raise UsageError("{network} is a class; give an instance of it: {network}(...).", network=what.__name__)
    if not isinstance(what, nn.Module):
        raise UsageError("expected a network's name, a run or a torch.nn.Module; got {what}.", what=_shortened(what))
    if input_shape is None:
        name = str(getattr(what, "network", ""))
        if name not in models.list_models():
            raise UsageError(
                "the input shape of {network} is not known: pass (C, H, W) of one image, such as (3, 224, 224).",
                network=type(what).__name__,
            )
        input_shape, model = models.entry(name).input, model or name
    return arithmetic.summarize(what, input_shape, dtype=dtype, training=training, model=model)


def explain(what: Summary | Countable, layer: str, input_shape: InputShape | None = None) -> Explanation:
    """Explain the figures of one layer: each formula, with the values of this layer.

    Args:
        what: a summary, or any argument of `summarize`.
        layer: the name of a row.
        input_shape: as in `summarize`; not together with a summary.
    Raises:
        UnknownNameError: no such network or no such layer; the message lists the near names.
        UsageError: as in `summarize`, or an input shape together with a summary.
    """
    if not isinstance(layer, str):
        raise UsageError("layer is the name of a row, such as 'conv1'; got {layer}.", layer=_shortened(layer))
    if not isinstance(what, arithmetic.Summary):
        what = summarize(what, input_shape)
    elif input_shape is not None:
        raise UsageError("a summary already has an input shape; leave input_shape out.")
    return arithmetic.explain(what, layer)


def _stored_summary(name: str, input_shape: InputShape | None) -> Summary | None:
    """Return the stored summary of a network for its paper's input, which needs no torch; None for another input."""
    from convatlas.models.layer_tables import table

    printed = models.entry(name).input
    as_printed = input_shape is None or (isinstance(input_shape, tuple | list) and tuple(input_shape) == printed)
    return table(name) if as_printed else None


def _network(name: str, input_shape: InputShape | None) -> tuple[nn.Module, tuple[int, int, int]]:
    """Build a network of the atlas without weights for an input shape. Returns the network and the shape."""
    import torch

    shape = models.entry(name).input if input_shape is None else input_shape
    sides = [side for side in shape if isinstance(side, int)] if isinstance(shape, tuple | list) else []
    if len(sides) != 3 or len(shape) != 3:
        raise UsageError(
            "the input of {name} is (C, H, W) of one image, such as {example}; got {shape}.",
            name=name,
            example=models.entry(name).input,
            shape=_shortened(input_shape),
        )
    channels, height, width = sides
    with torch.device("meta"):
        net = models.create_model(name, in_channels=channels, image_size=height)
    return net, (channels, height, width)


def _shortened(value: object) -> str:
    """Return the representation of a value, cut to 60 characters."""
    written = repr(value)
    return written if len(written) <= 60 else written[:57] + "..."
