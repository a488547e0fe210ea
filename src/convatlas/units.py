"""Numbers as text, with units. All other modules keep counts as exact integers.

``exact`` is for tables in which the last digit matters, ``short`` is rounded for quick reading.
"""

from __future__ import annotations

import math
import unicodedata

from convatlas.message import Message

_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))
_BINARY = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def exact(count: int) -> str:
    """``138357544`` -> ``138,357,544``."""
    return f"{count:,}"


def short(count: float) -> str:
    """``138357544`` -> ``138.4 M``; at most four significant digits. Counts below a thousand are not rounded."""
    for size, letter in _DECIMAL:
        if abs(count) >= size:
            return f"{_four(count / size)} {letter}"
    return f"{count:g}"


def bytes_(count: float) -> str:
    """``44040192`` -> ``42.00 MiB``; powers of 1024."""
    for size, letter in _BINARY:
        if abs(count) >= size:
            return f"{_four(count / size)} {letter}"
    return f"{count:g} B"


def duration(time_s: float) -> str:
    """``0.0042`` -> ``4.20 ms``, ``75`` -> ``1 min 15 s``, ``7300`` -> ``2 h 02 min``."""
    if not math.isfinite(time_s):
        return "?"
    if time_s < 1e-3:
        return f"{_four(time_s * 1e6)} µs"
    if time_s < 1:
        return f"{_four(time_s * 1e3)} ms"
    if time_s < 60:
        return f"{time_s:.1f} s"
    minutes, seconds = divmod(round(time_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def percent(share: float, digits: int = 2) -> str:
    """``0.9861`` -> ``98.61 %``."""
    return f"{100 * share:.{digits}f} %"


def interval(low: float, high: float, digits: int = 1) -> Message:
    """A confidence interval of shares: ``(0.9654, 0.9951)`` -> ``96.5 to 99.5 %``."""
    return Message("{low} to {high} %", low=f"{100 * low:.{digits}f}", high=f"{100 * high:.{digits}f}")


def nats(loss: float, digits: int = 4) -> Message:
    """A cross-entropy in nats and bits: ``0.6931`` -> ``0.6931 nats = 1.0000 bits``."""
    return Message("{nats} nats = {bits} bits", nats=f"{loss:.{digits}f}", bits=f"{loss / math.log(2):.{digits}f}")


def width(text: str) -> int:
    """Columns of a text in a terminal: two for a Korean syllable or another wide character."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def ljust(text: str, columns: int) -> str:
    """`str.ljust` by `width`."""
    return text + " " * (columns - width(text))


def rjust(text: str, columns: int) -> str:
    """`str.rjust` by `width`."""
    return " " * (columns - width(text)) + text


def _four(value: float) -> str:
    digits = 3 - min(3, max(0, math.floor(math.log10(abs(value))) if value else 0))
    return f"{value:.{digits}f}"
