"""What one server, one saved page or one notebook cell explores: the subjects, the images, the folder of runs."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas import __version__
from convatlas.explorer.images import Pictures, limits
from convatlas.explorer.measurements import Measurements
from convatlas.explorer.networks import SCHEMA
from convatlas.explorer.subjects import Subjects
from convatlas.explorer.turns import Turns

if TYPE_CHECKING:
    from convatlas.explorer.ready import Workbench


@dataclass(frozen=True, eq=False)
class Session:
    """The state behind the page's documents.

    Attributes:
        data: the name of the data set given with --data, without its path.
        out: the folder of runs.
        folders: that are left out of the paths in error messages.
        measurements: the evaluations of runs.
        turns: who may run a network.
    """

    subjects: Subjects
    pictures: Pictures
    data: str | None = None
    out: Path | None = None
    folders: tuple[Path, ...] = ()
    measurements: Measurements = field(default_factory=Measurements)
    turns: Turns = field(default_factory=Turns)

    @functools.cached_property
    def bench(self) -> Workbench:
        """The networks ready for images; the first use imports torch."""
        from convatlas.explorer.ready import Workbench

        return Workbench()

    def to_dict(self) -> dict[str, Any]:
        """``api/session``."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "subjects": [subject.to_dict() for subject in self.subjects.given.values()],
            "runs": self.out is not None and self.out.is_dir(),
            "data": self.data,
            "images": [each.to_dict() for each in self.pictures.all()],
            "limits": limits(),
        }
