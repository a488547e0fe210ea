"""What a model file declares about its network besides the layers: frozen records, no torch.

Paper       the publication, and the version that was read
Figure      one number printed there (convatlas.figures)
Departure   one difference between the network here and the paper's, with the reason
Card        all of these for one network
Network     the card, the input size of the paper, and the function that builds the network
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from convatlas import tables
from convatlas.figures import Figure, Measurement
from convatlas.i18n import _, translated

if TYPE_CHECKING:
    from convatlas.models.blocks import Classifier

Task = Literal["classify", "reconstruct"]
Modern = Literal["normalised", "shallow", "deep"]


@dataclass(frozen=True)
class Paper:
    """A publication; ``read`` names the version and the parts on which the model file is based.

    Attributes:
        authors: family names, in order.
        title: of the paper.
        venue: conference or journal.
        year: of publication.
        arxiv: its number on arXiv, if it has one.
    """

    authors: tuple[str, ...]
    title: str
    venue: str
    year: int
    arxiv: str = ""
    read: str = ""

    @property
    def citation(self) -> str:
        """``Simonyan and Zisserman, ICLR 2015``; more than two authors become "et al."."""
        first = self.authors[0]
        authors = {1: first, 2: " and ".join(self.authors)}.get(len(self.authors), f"{first} et al.")
        return f"{authors}, {self.venue}"


@dataclass(frozen=True)
class Departure:
    """A difference between the network here and the paper's.

    Attributes:
        topic: what differs.
        paper: what the paper has.
        here: what this network has.
        why: the reason.
    """

    topic: str
    paper: str
    here: str
    why: str

    def to_dict(self) -> dict[str, str]:
        """One of the ``departures`` of ``show --json``."""
        return {"topic": self.topic, "paper": self.paper, "here": self.here, "why": self.why}


@dataclass(frozen=True, repr=False)
class Card:
    """Publication, printed figures, departures and assumptions of one network.

    Args:
        summary: one line that distinguishes the network from similar ones.
        initialisation: how ``create_model`` draws the weights, and where that is printed. ``init="modern"`` draws them
            by one rule for all networks instead (``models.initialisation``).
        unstated: what the paper does not state, and what was assumed.
        paper: where the network was published.
        figures: what the paper prints.
        departures: where this network differs from the paper.
    """

    paper: Paper
    summary: str
    initialisation: str
    figures: tuple[Figure, ...] = ()
    departures: tuple[Departure, ...] = ()
    unstated: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Card(summary={self.summary!r}, paper={self.paper.citation!r}, figures={len(self.figures)})"

    def _repr_html_(self) -> str:
        """The card for a notebook: as it is read, the printed figures as a table."""
        columns = (tables.Column(_("quantity")), tables.Column(_("printed"), number=True), tables.Column(_("source")))
        rows = [(figure.quantity, figure.text, figure.where) for figure in self.figures]
        lines = [f"<p>{escape(translated(self.summary))}</p>", f"<p>{escape(self.paper.citation)}</p>"]
        lines += [tables.html(columns, rows)] if rows else []
        lines += [f"<p>{escape(each.topic)}: {escape(each.here)}</p>" for each in self.departures]
        return "\n".join(lines)

    def __str__(self) -> str:
        """The card as text: paper, printed figures with their sources, departures with their reasons."""
        arxiv = f", arXiv:{self.paper.arxiv}" if self.paper.arxiv else ""
        lines = [self.summary, f'"{self.paper.title}". {self.paper.citation}{arxiv}. Read: {self.paper.read}']
        lines += ["", f"initialisation  {self.initialisation}"]
        if self.figures:
            lines += ["", "printed"]
            lines += ["  " + figure.text_with_source for figure in self.figures]
        if self.departures:
            lines += ["", "departures"]
            for departure in self.departures:
                lines += [f"  {departure.topic}", f"    paper  {departure.paper}", f"    here   {departure.here}"]
                lines += [f"    why    {departure.why}"]
        if self.unstated:
            lines += ["", "unstated in the paper"]
            lines += ["  " + assumption for assumption in self.unstated]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without fields that have their default value."""
        return {
            "paper": _trimmed(self.paper),
            "summary": self.summary,
            "initialisation": self.initialisation,
            "figures": [_trimmed(figure) for figure in self.figures],
            "departures": [_trimmed(departure) for departure in self.departures],
            "unstated": list(self.unstated),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Card:
        paper = {**record["paper"], "authors": tuple(record["paper"]["authors"])}
        return cls(
            paper=Paper(**paper),
            summary=record["summary"],
            initialisation=record["initialisation"],
            figures=tuple(_figure(figure) for figure in record["figures"]),
            departures=tuple(Departure(**departure) for departure in record["departures"]),
            unstated=tuple(record["unstated"]),
        )


@dataclass(frozen=True)
class Network:
    """The declaration of a network in a model file's ``NETWORKS``.

    Args:
        name: ``resnet50``, or ``resnet50@torchvision`` for a variant.
        build: called with ``num_classes``, ``in_channels`` and ``image_size``; returns the initialised network.
        input: (C, H, W) of the paper.
        smallest_size: side of the smallest possible square image. With smaller images a kernel would be larger than its
            padded input, or a layer with a stride would get a map of one pixel.
        fixed_size: whether the first fully connected layer requires one image size.
        task: "reconstruct" for a network that returns images; it has no classes.
        modern: the modern recipe for this network, where it is not the one chosen by its layers.
        starts_from: full names of networks whose trained layers can initialise this one -> the names of these layers,
            which are the same in both.
    """

    name: str
    build: Callable[..., Classifier]
    card: Card
    input: tuple[int, int, int] = (3, 224, 224)
    num_classes: int = 1000
    smallest_size: int = 1
    fixed_size: bool = False
    task: Task = "classify"
    modern: Modern | None = None
    starts_from: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def figures(quantity: str, *rows: tuple[str, ...], **common: Any) -> tuple[Figure, ...]:
    """A column of a table: one figure per ``(printed, protocol)`` row."""
    return tuple(Figure(quantity, row[0], protocol=row[1] if len(row) > 1 else "", **common) for row in rows)


def errors(top1: str, top5: str, protocol: str, **common: Any) -> tuple[Figure, ...]:
    """Top-1 and top-5 error as figures; an empty string stands for a value that is not printed."""
    pairs: Iterable[tuple[str, str]] = (("top1_error", top1), ("top5_error", top5))
    return tuple(Figure(quantity, printed, protocol=protocol, **common) for quantity, printed in pairs if printed)


def _figure(record: dict[str, Any]) -> Figure:
    measured = record.get("measured")
    return Figure(**{**record, "measured": Measurement(**measured) if measured else None})


def _trimmed(record: Any) -> dict[str, Any]:
    return {
        field.name: _trimmed(value) if dataclasses.is_dataclass(value) else value
        for field in dataclasses.fields(record)
        if (value := getattr(record, field.name)) != field.default
    }
