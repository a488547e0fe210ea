"""`ReadingOptions`: the choices of a user about how a data set is read, the same for every command that reads one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from convatlas.errors import UsageError

CLASS_FROM = ("auto", "folder", "top-folder", "file-name")
RARE = ("refuse", "keep-in-training", "leave-out")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How a source is read.

    Attributes:
        image_column, label_column, split_column: columns of a table of labels; None takes a usual heading.
            ``label_column`` may be several names with commas between them, of columns of 0 and 1.
        class_from: what states the class of an image: "folder", the folder that it lies in; "top-folder", the topmost
            folder; "file-name", the beginning of its name (``cat.1.jpg``); "auto", what the layout suggests.
        follow_links: read the files and folders outside of the root that symbolic links lead to.
        rare: a class that has too few images for every split is refused, kept in the training set, or left out.
    """

    image_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    class_from: str = "auto"
    follow_links: bool = False
    rare: str = "refuse"

    def __post_init__(self) -> None:
        for name, value, known in (("class_from", self.class_from, CLASS_FROM), ("rare", self.rare, RARE)):
            if value not in known:
                raise UsageError(
                    "{name} is {value!r}; expected one of {known}", name=name, value=value, known=", ".join(known)
                )

    def to_dict(self) -> dict[str, Any]:
        """The options that differ from their defaults: keywords of `open_data`, and a table of a run's config.toml."""
        return {
            each.name: getattr(self, each.name) for each in fields(self) if getattr(self, each.name) != each.default
        }
