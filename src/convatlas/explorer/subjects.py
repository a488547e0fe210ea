"""What the page shows: a network of the atlas, a run, or a module of the user's own. No torch until one is run."""

from __future__ import annotations

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.errors import ConvAtlasError, DataError, UnknownNameError, UsageError
from convatlas.i18n import translated
from convatlas.message import Message
from convatlas.models import own
from convatlas.models.registry import entry, list_models

if TYPE_CHECKING:
    from torch import nn

    from convatlas.arithmetic.summary import Summary
    from convatlas.figures import FigureComparison
    from convatlas.models.cards import Departure
    from convatlas.runs.run import Run

Shape = tuple[int, int, int]
USUAL_INPUT: Shape = (3, 224, 224)  # of a module whose input is not given
UNTRAINED = Message("random (untrained)")


@dataclass(frozen=True)
class GivenWeights:
    """Weights for a network of the atlas, with the options that `evaluate` and `predict` have for them."""

    weights: str
    source: str | None = None
    classes: Path | None = None
    download: bool = False
    rename: Path | None = None
    preparation: dict[str, Any] = field(default_factory=dict)


class Subject(ABC):
    """A network that the page shows.

    Attributes:
        id: in addresses: an atlas name, "run:NAME" or "own:N". Never a path.
        title: of the paper, or the name of the run or of the class.
        kind: "atlas", "run" or "own".
    """

    id: str
    title: str
    kind: str

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._summaries: dict[Shape | None, Summary] = {}

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": translated(self.title),
            "kind": self.kind,
            "runnable": self.runnable,
            "weights": translated(self.weights),
            "classes": list(self.classes),
        }

    @property
    def runnable(self) -> bool:
        """Whether there are weights with which an image can be run."""
        return True

    @property
    def weights(self) -> str:
        """What the weights are."""
        return UNTRAINED

    @property
    def classes(self) -> Sequence[str]:
        """Names of the outputs; empty where they are not known."""
        return ()

    @property
    def model(self) -> tuple[str, str]:
        """The network's name and its variant."""
        return self.title, ""

    def figures(self) -> tuple[FigureComparison, ...]:
        """The paper's figures beside the derived ones."""
        return ()

    def departures(self) -> tuple[Departure, ...]:
        return ()

    def summary(self, shape: Shape | None = None) -> Summary:
        """The layer table, counted once per input shape.

        Raises:
            ForwardError: the forward pass stopped; it has the rows until then.
        """
        with self._lock:
            if shape not in self._summaries:
                if len(self._summaries) > 8:
                    self._summaries.clear()
                self._summaries[shape] = self._counted(shape)
            return self._summaries[shape]

    @abstractmethod
    def _counted(self, shape: Shape | None) -> Summary: ...


class AtlasNetwork(Subject):
    """A network of the atlas, with its first weights or with given ones."""

    kind = "atlas"

    def __init__(self, name: str, given: GivenWeights | None = None) -> None:
        super().__init__()
        self.entry = entry(name)
        self.id = self.entry.full_name
        self.title = self.entry.card.paper.title
        self.given = given

    @property
    def weights(self) -> str:
        return UNTRAINED if self.given is None else Path(self.given.weights).name

    @property
    def model(self) -> tuple[str, str]:
        return self.entry.name, self.entry.variant

    def figures(self) -> tuple[FigureComparison, ...]:
        from convatlas.models.figures import compare_figures

        return compare_figures(self.entry)

    def departures(self) -> tuple[Departure, ...]:
        return self.entry.card.departures

    def _counted(self, shape: Shape | None) -> Summary:
        from convatlas.runs.summarize import summarize

        return summarize(self.id, shape)


class TrainedRun(Subject):
    """A run, with the weights that it kept."""

    kind = "run"

    def __init__(self, name: str, run: Run) -> None:
        super().__init__()
        self.id = f"run:{name}"
        self.title = name
        self.run = run

    @property
    def runnable(self) -> bool:
        return self.run.finished

    @property
    def weights(self) -> str:
        return Message("run {name}", name=self.title)

    @property
    def classes(self) -> Sequence[str]:
        return self.run.classes

    @property
    def model(self) -> tuple[str, str]:
        name, _at, variant = self.run.label.partition("@")
        return name, variant

    def _counted(self, shape: Shape | None) -> Summary:
        from convatlas.runs.summarize import summarize

        return summarize(self.run, shape)


class OwnModule(Subject):
    """A module of the user's own: ``FILE.py:Class``, or an instance given in Python."""

    kind = "own"

    def __init__(self, number: int, module: str | nn.Module, shape: Shape | None = None) -> None:
        super().__init__()
        self.id = f"own:{number}"
        self.module = module
        self.shape = shape or USUAL_INPUT
        self.title = own.parse(module).callable if isinstance(module, str) else type(module).__name__

    @property
    def weights(self) -> str:
        return UNTRAINED if isinstance(self.module, str) else Message("as the module has them")

    def _counted(self, shape: Shape | None) -> Summary:
        from convatlas.runs.summarize import summarize

        return summarize(self.module, shape or self.shape, model=self.title)


class Subjects:
    """The subjects of the command line, and every other that an address may name.

    Args:
        given: of the command line, in order.
        out: the folder of runs; each run in it may be named.
    """

    def __init__(self, given: Sequence[Subject], out: Path | None) -> None:
        self.given = {subject.id: subject for subject in given}
        self.out = out
        self._atlas = functools.lru_cache(maxsize=32)(AtlasNetwork)
        self._run = functools.lru_cache(maxsize=32)(self._opened_run)

    def __getitem__(self, name: str) -> Subject:
        """The subject of an address.

        Raises:
            UnknownNameError: no such subject.
        """
        if name in self.given:
            return self.given[name]
        if name.startswith("run:"):
            return self.run(name.removeprefix("run:"))
        if name not in list_models():
            raise UnknownNameError("network", name, [*list_models(), *self.given])
        return self._atlas(name)

    def run(self, name: str) -> TrainedRun:
        """A run of the folder, by its name there: compared with the names found, never joined to a path."""
        if f"run:{name}" in self.given:
            subject = self.given[f"run:{name}"]
            assert isinstance(subject, TrainedRun)
            return subject
        known = self.run_names()
        if name not in known:
            raise UnknownNameError("run", name, known)
        return self._run(name)

    def run_names(self) -> list[str]:
        from convatlas.runs import places

        return [] if self.out is None else places.names(self.out)

    def _opened_run(self, name: str) -> TrainedRun:
        from convatlas.runs.run import Run

        assert self.out is not None
        return opened(name, Run(self.out / name))


def opened(name: str, run: Run) -> TrainedRun:
    """A run whose settings can be read.

    Raises:
        DataError: they are damaged, or incomplete.
    """
    with damaged(name):
        settings = run.config["run"]
        assert all(isinstance(settings[key], int) for key in ("in_channels", "image_size")), settings
        _ = run.model, run.classes, run.label, run.recipe, run.preprocessing, run.config["data"]["source"]
    return TrainedRun(name, run)


@contextmanager
def damaged(name: str) -> Iterator[None]:
    """Raise a DataError where the files of a run or a comparison lack what they should hold."""
    try:
        yield
    except ConvAtlasError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, OSError) as error:
        raise DataError("{name} cannot be read: its files are damaged or incomplete.", name=name) from error


def subject_of(what: Any, number: int, given: GivenWeights | None = None, shape: Shape | None = None) -> Subject:
    """The subject that the command line or Python names.

    Args:
        what: an atlas name, a run or its directory, ``FILE.py:Class``, or a module.
        number: of a module of the user's own.

    Raises:
        UnknownNameError: no such network.
        DataError: the directory is not a run.
        UsageError: weights for something that is not a network of the atlas.
    """
    name = str(what) if isinstance(what, str | Path) else ""
    if given is not None and name not in list_models():
        raise UsageError("--weights are for a network of the atlas; {what} has its own.", what=name or "the module")
    if name in list_models():
        return AtlasNetwork(name, given)
    if own.is_own(name):
        own.parse(name)  # raises where there is no such file
        return OwnModule(number, name, shape)
    if name and not Path(name).is_dir():
        entry(name)  # raises, and lists the near names
    from convatlas.runs.run import Run

    if name or isinstance(what, Run):
        run = what if isinstance(what, Run) else Run(name)
        return opened(run.path.resolve().name, run)
    return OwnModule(number, what, shape)
