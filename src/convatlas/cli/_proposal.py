"""How a proposal of networks is printed: before the trainings, and beside the measured latencies after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from convatlas import tables, units
from convatlas.i18n import _, translated
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.comparison import Comparison, Considered, Proposal


def proposal_text(proposal: Proposal) -> str:
    """The proposed networks, the near misses and where the predictions come from."""
    parts = [translated(proposal.summary), _table(_("proposed"), proposal.networks)]
    if proposal.near_misses:
        parts.append(_table(_("not proposed"), proposal.near_misses))
    parts.append(
        _(
            "latency: predicted, the median at batch size 1 and its 95th percentile, by a model fitted on {count} "
            "networks of the atlas on this machine; size: derived; error: printed, on ImageNet or CIFAR-10",
            count=len(proposal.fitted),
        )
    )
    return "\n\n".join(parts)


def show_proposal(proposal: Proposal, console: Console) -> None:
    """Print a proposal, as progress, before the first training."""
    console.print(proposal_text(proposal), highlight=False, markup=False, soft_wrap=True)


def predicted_and_measured(found: Comparison) -> str:
    """The predicted latency of each proposed network beside the measured one."""
    columns = (
        Column(_("network")),
        Column(_("predicted p50"), number=True),
        Column(_("measured p50"), number=True),
        Column(_("error of the prediction"), number=True),
    )
    rows = [
        (
            row.model,
            units.duration(row.predicted_s),
            units.duration(row.latency.p50_s),
            f"{100 * (row.predicted_s / row.latency.p50_s - 1):+.0f} %",
        )
        for row in found.rows
        if row.predicted_s is not None
    ]
    return tables.text(columns, rows)


def _table(title: str, networks: Sequence[Considered]) -> str:
    columns = (
        Column(title),
        Column("MACs", number=True, drop=2),
        Column(_("size"), number=True),
        Column(_("predicted"), number=True),
        Column("p95", number=True, drop=1),
        Column(_("why"), wraps=True),
    )
    rows = [
        (
            each.model,
            units.short(each.macs),
            units.bytes_(each.size_bytes),
            "-" if each.predicted_s is None else units.duration(each.predicted_s),
            "-" if each.predicted_p95_s is None else units.duration(each.predicted_p95_s),
            translated(each.why),
        )
        for each in networks
    ]
    return tables.text(columns, rows)
