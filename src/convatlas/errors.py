"""Every exception convatlas raises on purpose, the tree first.

    ConvAtlasError                      exit  what it says
    ├── UsageError                         2  a value given by the caller cannot be used
    │   ├── UnknownNameError               2  no such network, layer, recipe, field ...; the near names are listed
    │   ├── ShapeError                     2  the image size and the network do not fit
    │   └── RecipeError                    2  settings that contradict each other or are out of range
    ├── DataError                          3  images, labels or splits that are bad or missing
    │   ├── BadImageError                  3  one image file that cannot be read, with its index
    │   └── CheckpointError                3  a weights file that is damaged, foreign or unsafe
    ├── MissingDependencyError             4  an optional package is not installed; holds the pip line
    ├── LimitError                         5  a limit the caller stated cannot be met
    ├── TrainingError                      1  the run itself failed
    │   ├── NonFiniteLossError             1  the loss became nan or inf
    │   └── LostRankError                  1  of several processes, another one ended or failed
    └── Interrupted                  130/143  stopped by Ctrl-C or SIGTERM after a checkpoint was written

A message names the value, what was expected and the way out. The command line prints it on stderr without a
traceback and exits with ``exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConvAtlasError(Exception):
    """Base of all of them: ``except ConvAtlasError`` catches what this library means to say."""

    exit_code = 1
    of_all = False  # where several processes train together: it befell all of them, and one is enough to say so


class UsageError(ConvAtlasError, ValueError):
    """A value given by the caller cannot be used."""

    exit_code = 2


class UnknownNameError(UsageError, LookupError):
    """A name that is not in a closed list; the message offers the near ones.

    Args:
        kind: what the name should be, in the words of the user: "network", "recipe", "field".
        name: what was given.
        known: all names that would have been right.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = list(known)
        self.name = name
        self.near = difflib.get_close_matches(name.lower(), known, n=4, cutoff=0.5)
        if self.near:
            way_out = f"Did you mean {' or '.join(self.near)}?"
        elif len(known) <= 12:
            way_out = f"Known: {', '.join(known)}."
        else:
            way_out = f"There are {len(known)}, {known[0]} to {known[-1]}."
        super().__init__(f"unknown {kind} {name!r}. {way_out}{' ' + hint if hint else ''}")


class ShapeError(UsageError):
    """The image size and the network (or two tensors) do not fit."""


class RecipeError(UsageError):
    """Settings that contradict each other or are out of range."""


class DataError(ConvAtlasError):
    """Images, labels or splits that are bad or missing."""

    exit_code = 3


class BadImageError(DataError):
    """One image that cannot be read: ``path`` names the file, ``index`` its place in the data set.

    An archive or batch member has a path such as ``train.zip!cats/3.jpg``.
    """

    def __init__(self, path: str, reason: str, index: int | None = None) -> None:
        self.path, self.reason, self.index = str(path), reason, index
        place = "" if index is None else f" (index {index})"
        super().__init__(
            f"image {self.path}{place} cannot be read: {reason}. "
            "Remove it, or pass --on-bad skip to leave such files out."
        )


class CheckpointError(DataError):
    """A weights file that is damaged, of another network, or of a kind that is not opened for safety."""


class MissingDependencyError(ConvAtlasError, ImportError):
    """An optional package is not installed; the message holds the line that installs it."""

    exit_code = 4

    def __init__(self, package: str, extra: str, why: str) -> None:
        super().__init__(f"{why} needs the package {package}. Install it:  pip install 'convatlas[{extra}]'")


class LimitError(ConvAtlasError):
    """A limit the caller stated cannot be met by anything that was measured."""

    exit_code = 5


class TrainingError(ConvAtlasError):
    """The run itself failed."""


class NonFiniteLossError(TrainingError):
    """The loss became nan or inf; the last good checkpoint is kept."""

    of_all = True


class LostRankError(TrainingError):
    """Of the processes of one training, another one ended, did not answer, or failed; the message says which."""

    of_all = True


class Interrupted(ConvAtlasError):
    """A run stopped by a signal after its checkpoint was written; ``signal_number`` is 2 or 15."""

    of_all = True

    def __init__(self, message: str, signal_number: int = 2) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(message)
