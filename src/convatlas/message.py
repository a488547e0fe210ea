"""Texts that are translated when they are printed. All packages below the command line use them for their messages."""

from __future__ import annotations

from collections.abc import Iterable


class Message(str):
    """An English text that keeps its template and values, so that `convatlas.i18n.translated` can translate it.

    As a ``str`` it is English, whatever the language in use: in a log, a JSON document, a pickle, an exception.
    ``Message("{n} images of {size} pixels", n=3, size=28) == "3 images of 28 pixels"``. Values may be messages.
    """

    template: str
    values: dict[str, object]

    def __new__(cls, template: str, /, **values: object) -> Message:
        self = super().__new__(cls, template.format(**values) if values else template)
        self.template, self.values = template, values
        return self


def filled(message: Message, **values: object) -> Message:
    """The message of a template that is chosen when the program runs, with its values."""
    return Message(message.template, **values)


def joined(parts: Iterable[object], by: str = ", ") -> Message:
    """One message of several parts with ``by`` between them. Parts and separator are translated with the rest."""
    numbered = {f"part{index}": part for index, part in enumerate(parts)}
    return Message("{by}".join(f"{{{name}}}" for name in numbered), by=by, **numbered)


# the operating system's reasons for not reading or writing a file, here so that they are translated
SYSTEM_REASONS = (
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


def system_reason(error: BaseException) -> Message:
    """The reason in an OSError, such as ``No space left on device``; the error's own `Message` where it has one."""
    reason = error.args[0] if error.args else ""
    return reason if isinstance(reason, Message) else Message(getattr(error, "strerror", None) or str(error))
