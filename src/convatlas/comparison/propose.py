"""``compare --candidates auto``: propose networks for a data set that fit a budget, before any training.

Parameters, multiply-adds and size are derived for the classes and the image size of the data. Latency is predicted by
a model of this machine (`latency_model`). The limits of memory and of other measured quantities are checked after the
training, as for networks that the user names.

Of the networks that fit, those with the lowest printed error are proposed, one of each family before the second of any.
An error that is printed for another data set orders networks only roughly: the comparison measures them on these data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from convatlas import models, training
from convatlas.comparison.budget import Budget
from convatlas.comparison.latency_model import LatencyModel, latency_model
from convatlas.comparison.operators import operators_of
from convatlas.comparison.proposal import Considered, Proposal
from convatlas.comparison.start import networks_of_weights, weights_that_fit
from convatlas.data import Dataset, ReadingOptions, open_data
from convatlas.errors import LimitError, UsageError
from convatlas.figures import ERRORS
from convatlas.message import Message, joined
from convatlas.models import Entry
from convatlas.models.weights.published import table
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.training.hardware import restored_threads

AUTO = "auto"
PROPOSED = 4
OF_A_FAMILY = 2
SMALL_SIDE = 64  # pixels; a network for images up to this side suits images up to it
NEAR_MISSES = 3  # named of each kind
NEARLY = 2.0  # a near miss exceeds no limit more than so many times
PREDICTED = ("params", "macs", "size", "latency", "latency_p50")
# a network's head with the paper's classes has up to two thirds of its parameters; beyond that the catalogue decides
HEADLESS = 3


def proposed_count(candidates: str) -> int:
    """The number of networks in ``auto`` or ``auto:N``.

    Raises:
        UsageError: another text, or a number below 1.
    """
    word, colon, number = candidates.partition(":")
    if word != AUTO or (colon and not (number.isdecimal() and int(number) > 0)):
        raise UsageError(
            "candidates {candidates!r} is not known. Write auto, or auto:N for at most N networks.",
            candidates=candidates,
        )
    return int(number) if colon else PROPOSED


def propose_for(
    data: str | Path | Dataset,
    candidates: str = AUTO,
    *,
    budget: str | Budget | None = None,
    recipe: str = "modern",
    changes: Mapping[str, object] | None = None,
    start_from: Sequence[str] = (),
    download: bool = False,
    threads: int | None = None,
    reading: ReadingOptions = ReadingOptions(),  # noqa: B008
    on_stage: Callable[[str], None] = lambda text: None,
    model: LatencyModel | None = None,
) -> Proposal:
    """Propose networks for ``data``.

    Args:
        candidates: ``auto``, or ``auto:N`` for at most N networks.
        budget: limits such as ``"latency<=20ms,size<=20MB"``.
        recipe, changes: the recipe of the comparison and its changed settings, such as ``image_size``.
        start_from: weights; only networks that one of them fits are proposed.
        download: whether published weights that are not in the cache may be downloaded.
        reading: how the data are read: columns of a table, the source of the class, links, rare classes.
        on_stage: called with what is done next, in words.
        threads: of the latency; by default one for each core this process may use.
        model: the latency model; by default that of this machine, from the cache or fitted now.

    Raises:
        UsageError: ``candidates`` or the budget cannot be read.
        LimitError: no network fits the budget; the message names the nearest one.
    """
    count, limits = proposed_count(candidates), Budget.parse(budget)
    if not isinstance(data, Dataset):
        data = open_data(str(data), **reading.to_dict())
    with restored_threads():
        if model is None:
            training.apply(training.choose(threads=threads))
            model = latency_model(on_stage=on_stage)
        with_weights = frozenset(name for each in start_from for name in networks_of_weights(each))
        suited = suited_networks(data, with_weights)
        on_stage(Message("predicting the latency of {count} networks", count=len(suited)))
        found = [
            considered(name, data, limits, model, recipe, changes or {}, start_from, with_weights, download)
            for name in suited
        ]
    return chosen(found, limits, count, model, weights=bool(start_from))


def suited_networks(data: Dataset, with_weights: Collection[str] = ()) -> list[str]:
    """Names of the classifiers made for images of about the size of these; variants only if in ``with_weights``."""
    small = int(np.median(data.sizes.min(axis=1))) <= SMALL_SIDE
    entries = [models.entry(name) for name in models.list_models()]
    return [
        entry.full_name
        for entry in entries
        if not entry.reconstructs
        and (entry.input[1] <= SMALL_SIDE) == small
        and (not entry.variant or entry.full_name in with_weights)
    ]


def considered(
    name: str,
    data: Dataset,
    budget: Budget,
    model: LatencyModel,
    recipe: str = "modern",
    changes: Mapping[str, object] | None = None,
    start_from: Sequence[str] = (),
    with_weights: Collection[str] = (),
    download: bool = False,
) -> Considered:
    """What is known of a network before its training; ``why`` has the exceeded limits, or that no weights fit.

    Args:
        with_weights: names of the networks that ``start_from`` may be for.
    """
    entry = models.entry(name)
    early = budget_of(budget, ("params", "macs", "size")).broken_by(
        {"params": entry.params // HEADLESS, "macs": entry.macs // HEADLESS, "size": 4 * entry.params // HEADLESS}
    )
    if early:
        costs = {"params": entry.params, "macs": entry.macs, "size": 4 * entry.params}
        broken = budget_of(budget, ("params", "macs", "size")).broken_by(costs)
        return _of_entry(entry, over(broken), start_from)
    settings = recipe_for(name, recipe).change(**(changes or {}))
    weights, side = None, settings.image_size or entry.input[1]
    if name in with_weights:
        weights, side = _start(name, settings, data, start_from, download) or (None, side)
    if side < entry.smallest_size:
        return _of_entry(entry, Message("too deep for images of {side} pixels", side=side), start_from)
    with torch.device("meta"):
        net = models.create_model(name, num_classes=len(data.classes), in_channels=data.channels, image_size=side)
        operators = operators_of(net, (data.channels, side, side))
    macs = sum(operator.macs for operator in operators)
    params = sum(parameter.numel() for parameter in net.parameters())
    size = sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values())
    predicted = model.predict(operators)
    found = Considered(
        name, entry.family, params, macs, size, predicted, predicted * model.spread,
        printed_error(entry, weights), weights, "",
    )  # fmt: skip
    broken = budget_of(budget, PREDICTED).broken_by(found.costs())
    if broken:
        return replace(found, why=over(broken))
    if start_from and weights is None:
        return replace(found, why=Message("none of the weights named is for it"))
    return found


def chosen(
    found: Sequence[Considered], budget: Budget, count: int, model: LatencyModel, weights: bool = False
) -> Proposal:
    """The proposal: of the networks without a reason against them, at most ``count``, diverse, the best first.

    Raises:
        LimitError: none fits.
    """
    order = sorted(found, key=lambda each: (each.printed_error is None, each.printed_error or 0.0, each.macs))
    fitting = [each for each in order if not each.why]
    out = [each for each in order if each.why]
    if not fitting:
        # networks that the weights are for come first, then those with a prediction: of the others only a part
        # of the costs is known
        nearest = min(
            out,
            key=lambda each: (weights and each.weights is None, each.predicted_s is None, excess(each, budget)),
            default=None,
        )
        raise LimitError(
            "none of the {count} networks that suit these images can be proposed. The nearest is {model}: {why}. Raise "
            "the limit, or name networks.",
            count=len(found),
            model=nearest.model if nearest else "-",
            why=nearest.why if nearest else "-",
        )
    taken: list[Considered] = []
    for most in range(1, OF_A_FAMILY + 1):
        for each in fitting:
            of_family = Counter(other.family for other in taken)
            if len(taken) < count and of_family[each.family] < most and not variant_of(each, taken):
                taken.append(each)
    taken.sort(key=order.index)
    networks = tuple(replace(each, why=why_proposed(each, taken, weights)) for each in taken)
    missed = [each for each in fitting if each not in taken]
    over_budget = [each for each in out if excess(each, budget) > 1]
    nearly = sorted((each for each in over_budget if excess(each, budget) <= NEARLY), key=order.index)
    unfit = [each for each in out if excess(each, budget) <= 1]
    near = [
        *nearly[:NEAR_MISSES],
        *(replace(each, why=why_left_out(each, taken, count)) for each in missed[:NEAR_MISSES]),
        *unfit[:NEAR_MISSES],
    ]
    return Proposal(
        networks, tuple(near), len(found), len(over_budget), len(unfit), str(budget), model.fit_networks, model.fit_s
    )


def variant_of(each: Considered, taken: Sequence[Considered]) -> str:
    """The name of the same network, or of another variant of it, that is taken already; empty where none is."""
    base = each.model.partition("@")[0]
    return next((other.model for other in taken if other.model.partition("@")[0] == base), "")


def why_proposed(each: Considered, taken: Sequence[Considered], weights: bool) -> Message:
    same = [other for other in taken if other.family == each.family]
    place = Message("the best of its family") if each is same[0] else Message("the second of its family")
    if weights:
        place = Message("starts from {weights}; {place}", weights=each.weights, place=place)
    if each.printed_error is None:
        return Message("fits; {place}; no error is printed for such images", place=place)
    return Message("fits; {place}; printed error {error} %", place=place, error=f"{each.printed_error:g}")


def why_left_out(each: Considered, taken: Sequence[Considered], count: int) -> Message:
    if variant_of(each, taken):
        return Message("fits, but its variant {model} is proposed already", model=variant_of(each, taken))
    if sum(other.family == each.family for other in taken) >= OF_A_FAMILY:
        return Message("fits, but two networks of its family are proposed already")
    return Message("fits, but the {count} places went to others", count=count)


def over(broken: Sequence[str]) -> Message:
    return Message("over the budget: {costs}", costs=joined(broken))


def excess(each: Considered, budget: Budget) -> float:
    """The largest ratio of a cost that is known before the training to its limit; 0 without a limit."""
    costs = each.costs()
    ratios = [(costs.get(limit.quantity.name) or 0.0) / limit.at_most for limit in budget.limits]
    return max(ratios, default=0.0)


def budget_of(budget: Budget, quantities: Sequence[str]) -> Budget:
    """The limits of these quantities only."""
    return Budget(tuple(limit for limit in budget.limits if limit.quantity.name in quantities))


def printed_error(entry: Entry, weights: str | None = None) -> float | None:
    """Top-1 error in percent: of the published weights named, else the first verified one on the network's card."""
    for line in table():
        if line.network == entry.full_name and line.full_name == weights:
            return line.top1_error
    wanted = {"top1_error", "error"} & set(ERRORS)
    figures = [each for each in entry.card.figures if each.quantity in wanted and each.verified]
    return float(figures[0].value) if figures else None


def _start(name: str, recipe: Recipe, data: Dataset, weights: Sequence[str], download: bool) -> tuple[str, int] | None:
    try:
        return weights_that_fit(name, recipe, data, weights, download)
    except UsageError:  # none fits, which the proposal says
        return None


def _of_entry(entry: Entry, why: Message, start_from: Sequence[str]) -> Considered:
    """A network that is out already, with the figures of the catalogue."""
    return Considered(
        entry.full_name, entry.family, entry.params, entry.macs, 4 * entry.params, None, None,
        printed_error(entry), None, why,
    )  # fmt: skip
