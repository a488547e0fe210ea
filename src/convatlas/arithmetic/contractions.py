"""Receptive fields of products that sum over a dimension: mm, bmm and linear, into which einsum and matmul decompose.

A position of a product depends on the whole summed dimension, and on its own position in all other dimensions. A
product with a weight that sums over channels is therefore like a 1x1 convolution. The field of a product of two
activations is the union of the fields of both operands.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from math import prod
from typing import Any

from torch import Tensor

from convatlas.arithmetic.field import (
    CHANNEL,
    INNER,
    MIXED,
    OTHER,
    OUTER,
    PAIRED,
    Factor,
    Field,
    FieldUnknown,
    as_one_run,
    broadcast_to,
    joined_fields,
    summed_over,
    united,
)

CHANNELS = frozenset({CHANNEL, OUTER, INNER})
Operand = tuple[Field | None, tuple[int, ...]]  # a tensor's field, if it depends on the image, and its shape


def product_field(named: dict[str, Any], known: dict[int, Field | None], shape: tuple[int, ...]) -> Field:
    """The field of an operator that multiplies two operands and may add a third.

    Args:
        named: the arguments of the operator by name.
        known: fields by the identity of their tensors.
        shape: of the result.

    Raises:
        FieldUnknown: the fields of the operands cannot be combined into a Field.
    """
    first, second, added = _operands(named)
    left, right = (known.get(id(first)), tuple(first.shape)), (known.get(id(second)), tuple(second.shape))
    if "weight" in named:  # the weight of a linear layer is (out, in)
        right = (_transposed(right[0]), (*right[1][:-2], *reversed(right[1][-2:])))
    parts = [] if left[0] is None and right[0] is None else [contraction(left, right)]
    if added is not None and (field := known.get(id(added))) is not None:
        parts.append(broadcast_to(field, tuple(added.shape), shape))
    if not parts:
        raise FieldUnknown
    return reduce(joined_fields, parts)


def _operands(named: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor | None]:
    for first, second, added in (
        ("mat1", "mat2", "self"),
        ("batch1", "batch2", "self"),
        ("input", "weight", "bias"),
        ("self", "mat2", None),
        ("self", "vec", None),
        ("self", "tensor", None),
    ):
        if first in named and second in named:
            return named[first], named[second], named.get(added) if added else None
    raise FieldUnknown


def contraction(left: Operand, right: Operand) -> Field:
    """The field of (..., M, K) times (..., K, N) or (K,); a left operand of one dimension is (K,) too."""
    columns = len(right[1]) > 1
    if left[0] is not None and right[0] is not None:
        return _of_two(left[0], right[0], rows=len(left[1]) > 1, columns=columns, width=right[1][-1])
    if left[0] is not None:
        return _of_one(left[0], len(left[1]) - 1, right[1][-1:] if columns else ())
    assert right[0] is not None
    summed = len(right[1]) - (2 if columns else 1)
    lead = left[1][-2:-1]
    field = _of_one(right[0], summed, lead)
    if not lead:
        return field
    *batch, rest, new = field.layout if columns else (*field.layout[:-1], (), field.layout[-1])
    return Field((*batch, new, rest) if columns else (*batch, new), field.runs)


def _of_one(field: Field, dim: int, new: tuple[int, ...]) -> Field:
    """``field`` summed over ``dim``, which is removed; the remaining dimension ``new`` of the weight comes last."""
    read = {tag for tag, _ in field.layout[dim]} & CHANNELS
    summed = summed_over(field, [dim])
    layout = (*summed.layout[:dim], *summed.layout[dim + 1 :])
    left_over = {tag for factors in layout for tag, _ in factors} & CHANNELS
    becomes_channels = bool(read) or not left_over
    runs = summed.runs
    if new:
        layout = (*layout, ((CHANNEL if becomes_channels else OTHER, new[0]),))
    if becomes_channels:
        runs = ((_channel_count(layout), summed.view),)
    return Field(layout, runs)


def _of_two(left: Field, right: Field, *, rows: bool, columns: bool, width: int) -> Field:
    a, b = summed_over(left, [len(left.layout) - 1]), summed_over(right, [len(right.layout) - (2 if columns else 1)])
    batch = left.layout[: -2 if rows else -1]
    m = left.layout[-2] if rows else None
    n = right.layout[-1] if columns else None
    if m is not None and n is not None and _axes(m) & _axes(n):
        # every pair of two positions of the image: for one row, the field of all columns together is that of their sum
        b, n = summed_over(right, range(len(right.layout) - 2, len(right.layout))), ((PAIRED, width),)
    if m is not None and n is not None and _has(m, CHANNELS) and _has(n, CHANNELS):
        a, b = as_one_run(a), as_one_run(b)
    outside = right.layout[: -2 if columns else -1]
    empty: tuple[tuple[Factor, ...], ...] = ((),)
    a_layout = (*batch, *((m,) if m is not None else ()), *(empty if n is not None else ()))
    b_layout = (*outside, *(empty if m is not None else ()), *((n,) if n is not None else ()))
    field = joined_fields(_counted(Field(a_layout, a.runs)), _counted(Field(b_layout, b.runs)))
    if m is not None and _has(m, {MIXED}) and united(a.view, b.view).axes == b.view.axes:
        # the field of every row is that of the columns' operand, so all rows have the same field
        dim = len(field.layout) - (2 if n is not None else 1)
        factors = tuple((OTHER if tag == MIXED else tag, size) for tag, size in field.layout[dim])
        field = replace(field, layout=(*field.layout[:dim], factors, *field.layout[dim + 1 :]))
    if len(field.runs) == 1:
        return Field(field.layout, ((_channel_count(field.layout), field.view),))
    return field


def attention_field(named: dict[str, Any], known: dict[int, Field | None]) -> Field:
    """Scaled dot-product attention: the softmax of query times keys, times values.

    Raises:
        FieldUnknown: a mask hides some of the keys.
    """
    masks = ("attn_mask", "attn_bias")
    if named.get("is_causal") or any(named.get(mask) is not None for mask in masks):
        raise FieldUnknown
    query, key, value = (named[name] for name in ("query", "key", "value"))
    keys, transposed_shape = known.get(id(key)), (*key.shape[:-2], key.shape[-1], key.shape[-2])
    queries: Operand = (known.get(id(query)), tuple(query.shape))
    values = (known.get(id(value)), tuple(value.shape))
    if queries[0] is None and keys is None:
        return contraction((None, (*query.shape[:-1], key.shape[-2])), values)
    scores = contraction(queries, (_transposed(keys), transposed_shape))
    width = len(scores.layout) - 1
    summed = summed_over(scores, [width])  # the softmax
    weights = Field((*summed.layout[:-1], ((OTHER, key.shape[-2]),)), summed.runs)
    return contraction((weights, (*query.shape[:-1], key.shape[-2])), values)


def _transposed(field: Field | None) -> Field | None:
    if field is None or len(field.layout) < 2:
        return field
    return Field((*field.layout[:-2], field.layout[-1], field.layout[-2]), field.runs)


def _axes(factors: tuple[Factor, ...]) -> set[int]:
    return {tag for tag, _ in factors if isinstance(tag, int)}


def _has(factors: tuple[Factor, ...], tags: set[str] | frozenset[str]) -> bool:
    return any(tag in tags for tag, _ in factors)


def _channel_count(layout: tuple[tuple[Factor, ...], ...]) -> int:
    return prod(size for factors in layout for tag, size in factors if tag in CHANNELS)


def _counted(field: Field) -> Field:
    """Set the channel count of a single run to that of the layout, which is 1 after a sum over the channels."""
    return Field(field.layout, ((_channel_count(field.layout), field.view),)) if len(field.runs) == 1 else field
