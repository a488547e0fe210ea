"""Receptive fields of the tensors of a trace.

Where an operator is not supported by field_operators.py, the field of its result and of all tensors computed from it is
not known (None). The statistics of normalisation layers are ignored, as otherwise after a group norm every field would
be the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from torch import Tensor, nn

from convatlas.arithmetic import receptive_field as rf
from convatlas.arithmetic.contractions import attention_field, product_field
from convatlas.arithmetic.field import (
    CHANNEL,
    MIXED,
    OTHER,
    PAIRED,
    Field,
    FieldUnknown,
    Run,
    View,
    as_one_run,
    broadcast_to,
    image_field,
    joined_fields,
    merged_runs,
    summed_over,
    with_factors,
)
from convatlas.arithmetic.field_operators import FOLLOWERS, REGROUPS, regrouped_as, windowed
from convatlas.arithmetic.operators import Work


def tensors_in(named: dict[str, Any]) -> list[Tensor]:
    """The tensors among the arguments of an operator."""
    values = [v for value in named.values() for v in (value if isinstance(value, (list, tuple)) else [value])]
    return [v for v in values if isinstance(v, Tensor)]


class Fields:
    """The fields of all tensors of one trace. Tensors that do not depend on the image have no entry."""

    def __init__(self, images: Tensor | None) -> None:
        self.known: dict[int, Field | None] = {}
        if images is not None:
            self.known[id(images)] = image_field(images)

    def of(self, t: Tensor) -> Field | None:
        return self.known.get(id(t))

    def same(self, source: Tensor, result: Tensor) -> None:
        if id(source) in self.known:
            self.known[id(result)] = self.known[id(source)]

    def forget(self, t: Tensor) -> None:
        self.known[id(t)] = None

    def follow(self, name: str, work: Work, named: dict[str, Any], outputs: tuple[Tensor, ...]) -> None:
        """Derive the fields of the outputs of an operator."""
        read = [t for t in tensors_in(named) if id(t) in self.known]
        if not read or work.kind in ("fill", "random"):
            return
        results: Sequence[Field | None]
        try:
            if any(self.known[id(t)] is None for t in read):
                raise FieldUnknown
            results = self._follow(name.rstrip("_"), work, named, read, outputs)
        except FieldUnknown:
            results = [None] * len(outputs)
        for t, field in zip(outputs, results, strict=False):
            self.known[id(t)] = field

    # ------------------------------------------------------------------ one operator

    def _follow(
        self, name: str, work: Work, named: dict[str, Any], read: list[Tensor], outputs: tuple[Tensor, ...]
    ) -> list[Field]:
        shape = tuple(outputs[0].shape)
        if name in ("cat", "stack"):
            return [self._concatenated(name, named, shape)]
        if work.kind in ("fc", "matmul"):
            return [product_field(named, self.known, shape)]
        if work.kind == "attention":
            return [attention_field(named, self.known)]
        if work.pointwise or work.kind in ("layer_norm", "group_norm", "rms_norm"):
            self._refuse_masks(tensors_in(named))
            return [self._elementwise(read, shape)] * len(outputs)
        if name == "copy":
            return [self._elementwise([t for t in read if t is named["src"]], shape)]
        if len(read) > 1:
            raise FieldUnknown
        field, old = self.known[id(read[0])], tuple(read[0].shape)
        assert field is not None
        if work.window is not None:
            return [windowed(field, work, work.window, old, shape)] * len(outputs)
        if name in REGROUPS or (name == "as_strided" and old == shape):
            return [regrouped_as(field, shape)]
        if name in FOLLOWERS:
            return FOLLOWERS[name](field, named, old, outputs)
        raise FieldUnknown

    def _refuse_masks(self, tensors: list[Tensor]) -> None:
        """Refuse constants with several values, which may mask pairs of positions in the softmax; parameters do not."""
        constant = [t for t in tensors if id(t) not in self.known and not isinstance(t, nn.Parameter) and t.numel() > 1]
        fields = [self.known[id(t)] for t in tensors if id(t) in self.known]
        if constant and any(f is not None and f.has(PAIRED) for f in fields):
            raise FieldUnknown

    def _elementwise(self, read: list[Tensor], shape: tuple[int, ...]) -> Field:
        fields = [broadcast_to(f, tuple(t.shape), shape) for t in read if (f := self.known[id(t)]) is not None]
        if not fields:
            raise FieldUnknown
        return reduce(joined_fields, fields)

    def _concatenated(self, name: str, named: dict[str, Any], shape: tuple[int, ...]) -> Field:
        tensors, dim = named["tensors"], named["dim"] % len(shape)
        known = [self.known.get(id(t)) for t in tensors]
        model = next(field for field in known if field is not None)
        if name == "stack":
            whole = reduce(joined_fields, (f for f in known if f is not None))
            alike = all(f is not None and f.runs == whole.runs for f in known)
            layout = (*whole.layout[:dim], ((OTHER if alike else MIXED, len(tensors)),), *whole.layout[dim:])
            return Field(layout, ((sum(c for c, _ in whole.runs), whole.view),))
        tags = [tag for tag, _ in model.layout[dim]]
        if tags != [CHANNEL]:
            return self._mixture([f for f in known if f is not None], dim, shape[dim])
        blank = View(*((tuple(rf.nothing(a.size) for a in model.view.axes),) * 2))
        runs: list[Run] = []
        for t, field in zip(tensors, known, strict=True):
            if field is None:
                runs.append((t.shape[dim], blank))
            elif [[tag for tag, _ in f] for f in field.layout] != [[tag for tag, _ in f] for f in model.layout]:
                raise FieldUnknown
            else:
                runs.extend(field.runs)
        return Field(with_factors(model.layout, dim, ((CHANNEL, shape[dim]),)), merged_runs(runs))

    def _mixture(self, fields: list[Field], dim: int, size: int) -> Field:
        """The field of concatenated flattened maps: the union, valid for an operator that reads all elements."""
        summed = []
        for field in fields:
            rest = [factors for index, factors in enumerate(field.layout) if index != dim]
            if any(isinstance(tag, int) for factors in rest for tag, _ in factors):
                raise FieldUnknown
            summed.append(summed_over(field, [dim]))
        whole = reduce(joined_fields, map(as_one_run, summed))
        return Field(with_factors(whole.layout, dim, ((MIXED, size),)), whole.runs)
