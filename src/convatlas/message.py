"""A text that can be told in another language later: what the rooms below the command line say things with."""

from __future__ import annotations

from collections.abc import Iterable


class Message(str):
    """An English text that remembers its template and what was put in; `convatlas.i18n.translated` tells it again.

    To a log, a JSON document, a pickle or a library's user it is its English text, whatever the language in use:
    ``Message("{n} images of {size} pixels", n=3, size=28) == "3 images of 28 pixels"``. Values may be messages.
    """

    template: str
    values: dict[str, object]

    def __new__(cls, template: str, /, **values: object) -> Message:
        self = super().__new__(cls, template.format(**values) if values else template)
        self.template, self.values = template, values
        return self


def joined(parts: Iterable[object], by: str = ", ") -> Message:
    """The parts in a row, as one message: each, and what stands between them, is told in the language of the rest."""
    numbered = {f"part{place}": part for place, part in enumerate(parts)}
    return Message("{by}".join(f"{{{name}}}" for name in numbered), by=by, **numbered)


# what a system says of a file it cannot read or write; told by `of_system`
SYSTEM = (
    Message("No such file or directory"),
    Message("Permission denied"),
    Message("No space left on device"),
    Message("Is a directory"),
    Message("Not a directory"),
    Message("File exists"),
    Message("Read-only file system"),
    Message("File name too long"),
    Message("Input/output error"),
    Message("Too many open files"),
    Message("Disk quota exceeded"),
)


def of_system(error: BaseException) -> Message:
    """Why the system refused, in its own words: ``No space left on device``; or what was said in its place."""
    said = error.args[0] if error.args else ""
    return said if isinstance(said, Message) else Message(getattr(error, "strerror", None) or str(error))
