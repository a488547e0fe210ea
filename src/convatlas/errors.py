"""Every exception convatlas raises on purpose. The tree of classes, with exit codes:

    ConvAtlasError                      exit  meaning
    ├── UsageError                         2  a value given by the caller cannot be used
    │   ├── UnknownNameError               2  no such network, layer, recipe, field ...; similar names are listed
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

A message names the value, what was expected, and what to do. The command line prints it on stderr without a traceback
and exits with ``exit_code``. ``str(error)`` is always English. The command line translates ``error.message``, a
`Message` that holds the template and its values.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence

from convatlas.message import Message, joined


class ConvAtlasError(Exception):
    """Base class of the errors that convatlas raises on purpose.

    Args:
        message: a template whose fields in braces are filled from ``values``, or a text without fields:
            ``DataError("there is no {path}.", path=path)``.
    """

    exit_code = 1
    raised_on_all_ranks = False  # whether every rank of a process group raises it, so that rank 0 reports it for all

    def __init__(self, message: str, /, **values: object) -> None:
        self.message = Message(message, **values) if values or not isinstance(message, Message) else message
        super().__init__(self.message)


class UsageError(ConvAtlasError, ValueError):
    """A value given by the caller cannot be used."""

    exit_code = 2


class UnknownNameError(UsageError, LookupError):
    """A name that is not in a list of known names. The message suggests similar names.

    Args:
        kind: what the name stands for: "network", "recipe", "field". May be a template with ``values``.
        name: the unknown name.
        known: all known names.
        hint: a sentence to append to the message.
        aliases: names that other tools use, each with the known name for it.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        hint: str = "",
        aliases: Mapping[str, str] = types.MappingProxyType({}),
        **values: object,
    ) -> None:
        known = list(known)
        self.name = name
        self.near = near_names(name, known, aliases)
        if self.near:
            advice = Message("Did you mean {near}?", near=joined(self.near, Message(" or ")))
        elif not known:
            advice = Message("There is none yet.")
        elif len(known) <= 12:
            advice = Message("Known: {names}.", names=", ".join(known))
        else:
            advice = Message("There are {count}, {first} to {last}.", count=len(known), first=known[0], last=known[-1])
        message = Message("unknown {kind} {name!r}.", kind=Message(kind, **values), name=name)
        super().__init__(joined((message, advice, hint) if hint else (message, advice), " "))


def near_names(
    name: str, known: Sequence[str], aliases: Mapping[str, str] = types.MappingProxyType({}), limit: int = 4
) -> list[str]:
    """Return the known names that ``name`` may stand for, the likeliest first.

    Case, ``-``, ``_``, ``.`` and spaces make no difference. First come the name itself written otherwise and what an
    alias stands for, then names that begin with it, then names with most letters in common.
    """
    wanted = _letters(name)
    if not wanted:
        return []
    same = [each for each in known if _letters(each) == wanted]
    same += [meant for alias, meant in aliases.items() if _letters(alias) == wanted and meant in known]
    if same:
        return list(dict.fromkeys(same))[:limit]
    longer = [each for each in known if len(wanted) > 1 and _letters(each).startswith(wanted)]
    similar = difflib.get_close_matches(name.lower(), list(known), n=limit, cutoff=0.5)
    return list(dict.fromkeys((*longer[: limit - 1], *similar)))[:limit]


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character not in "-_. ")


class ShapeError(UsageError):
    """The image size and the network (or two tensors) do not fit."""


class RecipeError(UsageError):
    """Settings that contradict each other or are out of range; ``settings`` names them."""

    def __init__(self, message: str, /, *, settings: Iterable[str] = (), **values: object) -> None:
        self.settings = tuple(settings)
        super().__init__(message, **values)


class DataError(ConvAtlasError):
    """Images, labels or splits that are bad or missing."""

    exit_code = 3


class BadImageError(DataError):
    """One image that cannot be read. ``path`` names the file, ``index`` is its position in the data set.

    The path of a file inside an archive looks like ``train.zip!cats/3.jpg``.
    """

    def __init__(self, path: str, reason: str, index: int | None = None) -> None:
        self.path, self.reason, self.index = str(path), reason, index
        super().__init__(
            "image {place} cannot be read: {reason}. Remove it, or pass --on-bad skip to leave such files out.",
            place=self.path if index is None else Message("{path} (index {index})", path=self.path, index=index),
            reason=reason,
        )


class CheckpointError(DataError):
    """A weights file that is damaged, belongs to another network, or is of a kind that is unsafe to open."""


class MissingDependencyError(ConvAtlasError, ImportError):
    """An optional package is not installed. The message contains the command that installs it."""

    exit_code = 4

    def __init__(self, package: str, extra: str, why: str) -> None:
        self.package, self.why = package, why
        super().__init__(
            "{why} needs the package {package}. Install it:  pip install 'convatlas[{extra}]'",
            why=why,
            package=package,
            extra=extra,
        )


class LimitError(ConvAtlasError):
    """Nothing that was measured meets a limit stated by the caller."""

    exit_code = 5


class TrainingError(ConvAtlasError):
    """The run itself failed."""


class NonFiniteLossError(TrainingError):
    """The loss became nan or inf. The last good checkpoint is still there."""

    raised_on_all_ranks = True


class LostRankError(TrainingError):
    """Another rank of the process group ended, did not answer, or failed. The message says which one."""

    raised_on_all_ranks = True


class Interrupted(ConvAtlasError):
    """A run stopped by a signal after its checkpoint was written; ``signal_number`` is 2 or 15."""

    raised_on_all_ranks = True

    def __init__(self, message: str, signal_number: int = 2, **values: object) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(message, **values)
