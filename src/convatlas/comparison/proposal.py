"""`Proposal`: the networks that ``compare --candidates auto`` proposes, and those that it leaves out, with reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from convatlas.message import Message


@dataclass(frozen=True)
class Considered:
    """A network that was considered, with what is known of it before any training.

    Args:
        model: full name.
        family: its model file.
        params, macs, size_bytes: derived, for the classes and the image size of the data.
        predicted_s: predicted median latency of one image; None if other figures exceed the budget already.
        predicted_p95_s: the same of the 95th percentile.
        printed_error: top-1 error that its paper or the publisher of its weights prints, in percent; None if there is
            none for this task.
        weights: the weights it starts from.
        why: why it is proposed, or why not.
    """

    model: str
    family: str
    params: int
    macs: int
    size_bytes: int
    predicted_s: float | None
    predicted_p95_s: float | None
    printed_error: float | None
    weights: str | None
    why: str

    def costs(self) -> dict[str, float | None]:
        """The quantities of a budget that are known or predicted."""
        known: dict[str, float | None] = {"params": self.params, "macs": self.macs, "size": self.size_bytes}
        if self.predicted_s is not None:
            known |= {"latency": self.predicted_p95_s, "latency_p50": self.predicted_s}
        return known

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Proposal:
    """The result of `propose`.

    Args:
        networks: proposed, the lowest printed error first.
        near_misses: a few networks that are left out for little, with the reasons.
        considered: number of networks that suit the images.
        over_budget: how many of these exceed the budget.
        without_weights: how many of these none of the named weights fits.
        budget: the budget in words.
        fitted: the networks of the fit of the latency model.
        fit_s: duration of that fit in seconds.
    """

    networks: tuple[Considered, ...]
    near_misses: tuple[Considered, ...]
    considered: int
    over_budget: int
    without_weights: int
    budget: str
    fitted: tuple[str, ...]
    fit_s: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.model for each in self.networks)

    def predicted_s(self, model: str) -> float | None:
        """The predicted median latency of a proposed network; None for another one."""
        return next((each.predicted_s for each in self.networks if each.model == model), None)

    @property
    def summary(self) -> Message:
        """How many networks were considered, and what became of them."""
        return Message(
            "{considered} networks suit these images; {over} exceed the budget, {without} have no weights among those "
            "named; {proposed} are proposed, at most two of a family, in the order of their printed error.",
            considered=self.considered,
            over=self.over_budget,
            without=self.without_weights,
            proposed=len(self.networks),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Proposal:
        lists = {name: tuple(Considered(**each) for each in record[name]) for name in ("networks", "near_misses")}
        return cls(**{**record, **lists, "fitted": tuple(record["fitted"])})
