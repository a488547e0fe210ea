"""Arrays of exact numbers, for calculations without the rounding of floats. No torch.

An array is a numpy array of Python objects, each an int or a Fraction. Irrational results (a logarithm, a power) are
floats. 0.1 is the fraction 1/10, so that 0.1 + 0.2 is 0.3. The text form of an array:

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

DECIMALS = 8  # a number with more decimals is rounded when it is printed
LARGEST = 60  # the largest power of ten; a product of five such numbers is still within the range of floats

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+))?")


# ------------------------------------------------------------------ in


def array_of(numbers: Any, axes: int, name: str = "values") -> Array:
    """Convert to an array with that many axes. Axes of size 1 are added in front where there are fewer.

    Args:
        numbers: a text as above, nested lists, or a numpy array. A float means the shortest decimal that it prints.
        axes: 4 for (filters, channels, rows, columns), 3 for (channels, rows, columns), 2 for (rows, columns), 1.
        name: name of the array in error messages.
    Raises:
        UsageError: an element is not a number, or there are no elements.
        ShapeError: rows, channels or filters of different sizes, or more than ``axes`` axes.
    """
    if isinstance(numbers, str):
        nested: Any = _nested(numbers, name)
    else:
        nested = numbers.tolist() if isinstance(numbers, np.ndarray) and numbers.dtype == object else numbers
    shape = _shape(nested, name)
    array = np.empty(shape, dtype=object)
    for place, value in zip(np.ndindex(*shape), _leaves(nested), strict=True):
        array[place] = exact(value, name)
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    if array.ndim > axes:
        raise ShapeError(
            "{name}: the array has the shape {shape}, and at most {axes} axes were expected. In a text, blanks "
            "separate numbers, / rows, ; channels and | filters.",
            name=name,
            shape=" x ".join(map(str, shape)),
            axes=axes,
        )
    return array.reshape((1,) * (axes - array.ndim) + array.shape)


def read_array(path: Path) -> Any:
    """Read a file for `array_of`: a numpy array from a ``.npy`` file, the text of any other file (such as a CSV).

    Raises:
        DataError: the file cannot be read, or a ``.npy`` file does not contain plain numbers.
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
            "{path} is not an array of numbers. Give a .npy file written by numpy.save, or a UTF-8 text file of "
            "numbers.",
            path=path,
        ) from None


def exact(value: Any, name: str = "values") -> Number:
    """One number without rounding: ``"0.1"`` and ``0.1`` are 1/10.

    Raises:
        UsageError: not a number, or not finite.
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
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > LARGEST or abs(int(match[1] or 0)) > LARGEST:
        raise UsageError(
            "{name}: {text!r} is not a valid number. Write numbers such as 3, -0.5 or 1e-3, separated by blanks.",
            name=name,
            text=text,
        )
    return _whole(Fraction(text))


def _whole(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else value


def _nested(text: str, name: str) -> list[Any]:
    """Parse a text into filters of channels of rows of numbers, which stay texts."""
    text = re.sub(r"\s*([/;|])\s*", r"\1", text.strip())
    text = re.sub(r"[^\S\n]*\n[^\S\n]*", "\n", text)
    text = re.sub(r"\n{2,}", ";", text).replace("\n", "/")
    filters = [
        [[re.split(r"\s*,\s*|\s+", row) if row else [] for row in channel.split("/")] for channel in filter_.split(";")]
        for filter_ in text.split("|")
    ]
    rows = [row for filter_ in filters for channel in filter_ for row in channel]
    first = rows[0]
    for row in rows:
        if not row:
            raise UsageError(
                "{name}: a row has no numbers. Blanks separate numbers, / rows, ; channels and | filters, as in "
                '"1 0 / 0 1".',
                name=name,
            )
        if len(row) != len(first):
            raise ShapeError(
                "{name}: the row {row!r} has {n} numbers, and the first row {first!r} has {expected}. All rows must "
                "have the same length.",
                name=name,
                row=" ".join(row),
                n=len(row),
                first=" ".join(first),
                expected=len(first),
            )
    return filters


def _shape(nested: Any, name: str) -> tuple[int, ...]:
    """The shape of nested sequences, whose lengths must agree."""
    if isinstance(nested, np.ndarray):
        if not nested.size:
            raise UsageError("{name}: there are no numbers.", name=name)
        return nested.shape
    if not isinstance(nested, list | tuple):
        return ()
    if not nested:
        raise UsageError("{name}: there are no numbers.", name=name)
    shapes = [_shape(element, name) for element in nested]
    for shape in shapes:
        if shape != shapes[0]:
            raise ShapeError(
                "{name}: the sizes differ: {first} and {other}. All rows must have the same length, all channels the "
                "same number of rows, and all filters the same number of channels.",
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
        for element in nested:
            yield from _leaves(element)
    else:
        yield nested


# ------------------------------------------------------------------ out


def number(value: Number) -> str:
    """``Fraction(3, 10)`` -> ``0.3``, ``Fraction(1, 3)`` -> ``0.333333...``; a float with six digits."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value or 0.0:.6g}"  # 0 instead of -0
    shifted = value * 10**DECIMALS
    if shifted.denominator == 1:
        sign, digits = "-" if shifted < 0 else "", f"{abs(shifted.numerator):0{DECIMALS + 1}d}"
        return f"{sign}{digits[:-DECIMALS]}.{digits[-DECIMALS:]}".rstrip("0").rstrip(".")
    return f"{float(value):.6g}..."


def factor(value: Number) -> str:
    """A number inside a product or a sum; a negative one is put in brackets."""
    text = number(value)
    return f"({text})" if text.startswith("-") else text


def plain(array: Array) -> Any:
    """Nested lists for JSON: integers stay integers, fractions become floats, infinite numbers become None."""
    if array.ndim:
        return [plain(element) if isinstance(element, np.ndarray) else plain_number(element) for element in array]
    return plain_number(array.item())


def plain_number(value: Number) -> int | float | None:
    if isinstance(value, int):
        return value
    result = float(value)
    return result if np.isfinite(result) else None


def floats(array: Array) -> np.ndarray:
    """The same values as float64."""
    return array.astype(np.float64)
