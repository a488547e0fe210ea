"""Arrays of exact numbers: what a lecture writes on the board, without the rounding of floats. No torch.

An array is a numpy array of Python objects, each an int or a Fraction; irrational results (a logarithm, a power) are
floats. 0.1 is the fraction 1/10, so that 0.1 + 0.2 is 0.3.

    "1 0 / 0 1"           two rows            / or a new line ends a row
    "1 0 / 0 1 ; 2 2 / 2 2"   two channels    ; or an empty line ends a channel
    "1 0 | 0 1"           two filters         | ends a filter
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.errors import DataError, ShapeError, UsageError
from convatlas.message import system_reason

Number = int | Fraction | float
Array = np.ndarray  # of dtype object, each element a Number

DECIMALS = 8  # up to so many, a decimal is written in full
LARGEST = 60  # powers of ten: a product of five such numbers is still a float

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+))?")


# ------------------------------------------------------------------ in


def array_of(given: Any, axes: int, name: str = "values") -> Array:
    """An array with that many axes; what has fewer gets axes of size 1 in front.

    Args:
        given: a text as above, nested lists, or a numpy array. A float is taken as the shortest decimal that it prints.
        axes: 3 for (channels, rows, columns), 4 for (filters, channels, rows, columns), 2 for (rows, columns), 1.
        name: what the error calls it.
    Raises:
        UsageError: something that is no number, or nothing at all.
        ShapeError: rows, channels or filters of different sizes, or more axes than wanted.
    """
    if isinstance(given, str):
        nested: Any = _nested(given, name)
    else:
        nested = given.tolist() if isinstance(given, np.ndarray) and given.dtype == object else given
    shape = _shape(nested, name)
    array = np.empty(shape, dtype=object)
    for place, value in zip(np.ndindex(*shape), _leaves(nested), strict=True):
        array[place] = exact(value, name)
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    if array.ndim > axes:
        raise ShapeError(
            "{name}: got an array of shape {shape}, and at most {axes} axes are meant here. In a text, blanks separate "
            "numbers, / rows, ; channels and | filters.",
            name=name,
            shape=" x ".join(map(str, shape)),
            axes=axes,
        )
    return array.reshape((1,) * (axes - array.ndim) + array.shape)


def read_array(path: Path) -> Any:
    """What a file holds, for `array_of`: the array of a ``.npy``, else the text (CSV: commas and lines).

    Raises:
        DataError: the file cannot be read, or a ``.npy`` holds no plain numbers.
    """
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            "cannot read {path}: {reason}. Choose another file.", path=path, reason=system_reason(error)
        ) from None
    except (ValueError, EOFError):
        raise DataError(
            "{path} is no array of numbers. Give a .npy as numpy.save writes it, or a text of numbers in UTF-8.",
            path=path,
        ) from None


def exact(value: Any, name: str = "values") -> Number:
    """One number without rounding: ``"0.1"`` and ``0.1`` are 1/10.

    Raises:
        UsageError: no number, or none that is finite.
    """
    if isinstance(value, bool | int | np.bool_ | np.integer) and abs(int(value)) < 10**LARGEST:
        return int(value)
    if isinstance(value, Fraction):
        return _whole(value)
    if isinstance(value, str):
        text = value.replace("\N{MINUS SIGN}", "-")
    elif isinstance(value, float | np.floating | Decimal):
        text = str(value)
    else:
        text = repr(value)
    found = _NUMBER.fullmatch(text)
    if found is None or len(text) > LARGEST or abs(int(found[1] or 0)) > LARGEST:
        raise UsageError(
            "{name}: {text!r} is not a number that can be used. Write numbers such as 3, -0.5 or 1e-3, with blanks "
            "between them.",
            name=name,
            text=text,
        )
    return _whole(Fraction(text))


def _whole(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else value


def _nested(text: str, name: str) -> list[Any]:
    """Filters of channels of rows of numbers, as texts."""
    text = re.sub(r"\s*([/;|])\s*", r"\1", text.strip())
    text = re.sub(r"[^\S\n]*\n[^\S\n]*", "\n", text)
    text = re.sub(r"\n{2,}", ";", text).replace("\n", "/")
    filters = [
        [[re.split(r"\s*,\s*|\s+", row) if row else [] for row in channel.split("/")] for channel in each.split(";")]
        for each in text.split("|")
    ]
    rows = [row for each in filters for channel in each for row in channel]
    first = rows[0]
    for row in rows:
        if not row:
            raise UsageError(
                "{name}: there is a row without numbers. Blanks separate numbers, / rows, ; channels and | filters, "
                'as in "1 0 / 0 1".',
                name=name,
            )
        if len(row) != len(first):
            raise ShapeError(
                "{name}: {n} numbers stand in the row {row!r}, and {wanted} in the first row {first!r}. Every row "
                "needs as many as the first.",
                name=name,
                row=" ".join(row),
                n=len(row),
                first=" ".join(first),
                wanted=len(first),
            )
    return filters


def _shape(nested: Any, name: str) -> tuple[int, ...]:
    """Of nested sequences that must agree in their lengths."""
    if isinstance(nested, np.ndarray):
        if not nested.size:
            raise UsageError("{name}: there are no numbers.", name=name)
        return nested.shape
    if not isinstance(nested, list | tuple):
        return ()
    if not nested:
        raise UsageError("{name}: there are no numbers.", name=name)
    shapes = [_shape(each, name) for each in nested]
    for shape in shapes:
        if shape != shapes[0]:
            raise ShapeError(
                "{name}: parts of different sizes stand side by side: {first} and {other}. Rows need as many numbers, "
                "channels as many rows, filters as many channels.",
                name=name,
                first=_times(shapes[0]),
                other=_times(shape),
            )
    return (len(nested), *shapes[0])


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "1"


def _leaves(nested: Any) -> Iterator[Any]:
    if isinstance(nested, np.ndarray):
        yield from nested.ravel()
    elif isinstance(nested, list | tuple):
        for each in nested:
            yield from _leaves(each)
    else:
        yield nested


# ------------------------------------------------------------------ out


def number(value: Number) -> str:
    """``Fraction(3, 10)`` -> ``0.3``, ``Fraction(1, 3)`` -> ``0.333333...``; a float to six digits."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value or 0.0:.6g}"  # minus zero is zero
    shifted = value * 10**DECIMALS
    if shifted.denominator == 1:
        sign, digits = "-" if shifted < 0 else "", f"{abs(shifted.numerator):0{DECIMALS + 1}d}"
        return f"{sign}{digits[:-DECIMALS]}.{digits[-DECIMALS:]}".rstrip("0").rstrip(".")
    return f"{float(value):.6g}..."


def factor(value: Number) -> str:
    """A number inside a product or a sum: brackets around a negative one."""
    text = number(value)
    return f"({text})" if text.startswith("-") else text


def plain(array: Array) -> Any:
    """Nested lists for JSON: whole numbers stay whole, fractions become floats, what is infinite becomes None."""
    if array.ndim:
        return [plain(each) if isinstance(each, np.ndarray) else plain_number(each) for each in array]
    return plain_number(array.item())


def plain_number(value: Number) -> int | float | None:
    if isinstance(value, int):
        return value
    found = float(value)
    return found if np.isfinite(found) else None


def floats(array: Array) -> np.ndarray:
    """The same values as float64."""
    return array.astype(np.float64)
