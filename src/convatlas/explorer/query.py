"""The parameters of a request to the page's server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from convatlas.errors import UsageError

LONGEST = 400  # characters of one parameter
LARGEST_SIDE = 4096  # of an input in pixels, and of its channels


@dataclass(frozen=True)
class Query:
    """Parameters by name. Each method checks one and raises a UsageError that names it."""

    values: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A parameter that is needed."""
        value = self.values.get(name)
        if not value:
            raise UsageError("the request lacks the parameter {name}.", name=name)
        if len(value) > LONGEST:
            raise UsageError("the parameter {name} is longer than {most} characters.", name=name, most=LONGEST)
        return value

    def optional(self, name: str) -> str | None:
        return self.text(name) if self.values.get(name) else None

    def integer(self, name: str, lowest: int, highest: int) -> int:
        """A whole number that is needed, within the bounds."""
        return _whole(name, self.text(name), lowest, highest)

    def optional_integer(self, name: str, lowest: int, highest: int) -> int | None:
        return self.integer(name, lowest, highest) if self.values.get(name) else None

    def shape(self, name: str) -> tuple[int, int, int] | None:
        """``3x224x224``, where it is given."""
        text = self.optional(name)
        if text is None:
            return None
        sides = text.lower().split("x")
        if len(sides) != 3:
            raise UsageError("the parameter {name} is CxHxW, such as 3x224x224; got {text!r}.", name=name, text=text)
        channels, height, width = (_whole(name, side, 1, LARGEST_SIDE) for side in sides)
        return channels, height, width


def _whole(name: str, text: str, lowest: int, highest: int) -> int:
    digits = text[1:] if text.startswith("-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 12 and lowest <= int(text) <= highest):
        raise UsageError(
            "the parameter {name} is a whole number from {lowest} to {highest}; got {text!r}.",
            name=name,
            lowest=lowest,
            highest=highest,
            text=text[:40],
        )
    return int(text)
