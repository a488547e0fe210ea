"""docs/{en,ko}/experiments.md from the claims and their records:  python -m convatlas.experiments.page RESULTS LANGUAGE

RESULTS holds a folder per claim with the record of its standard run, ``experiment.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from convatlas.experiments.form import Experiment
from convatlas.experiments.registry import experiment_names, get_experiment
from convatlas.experiments.report import contrast_text, decision_text, value
from convatlas.i18n import _, set_language


def page(results: Path) -> str:
    """The page in the language in use."""
    experiments = [get_experiment(name) for name in experiment_names()]
    records = {each.name: record_of(results / each.name) for each in experiments}
    decided = [record["decision"] for record in records.values() if record is not None]
    lines = [
        f"# {_('The claims of the literature as experiments')}",
        "",
        _("{n} claims. Standard records: {records}, of which {decided} are decided.",
          n=len(experiments), records=len(decided), decided=sum(each != "not decided" for each in decided)),
        _("An experiment is rerun by its command; its criterion is fixed in the claim's file before the run."),
        "",
    ]  # fmt: skip
    for experiment in experiments:
        lines += section(experiment, records[experiment.name])
    return "\n".join(lines).rstrip() + "\n"


def section(experiment: Experiment, record: dict[str, Any] | None) -> list[str]:
    """The lines of one claim."""
    lines = [f"## {experiment.name}", "", str(experiment.claim), ""]
    lines.append(f"- **{_('Source')}**: {experiment.source}")
    lines += [f"- **{_('printed')}**: {each.figure} ({each.source})" for each in experiment.printed]
    lines.append(f"- **{_('criterion, fixed before the run')}**: {experiment.criterion}")
    if record is None:
        minutes = f"{experiment.scales['standard'].minutes:g}"
        lines.append(f"- **{_('Verdict')}**: " + _("no standard record yet; it takes about {n} min", n=minutes))
    else:
        lines.append(f"- **{_('Verdict')}**: {decision_text(record['decision'])}")
        lines += [f"  - {line}" for line in measured(experiment, record)]
    lines += [f"- **{_('Limits')}**: {experiment.limits}", ""]
    lines += ["```sh", f"convatlas experiment {experiment.name} --scale standard --data DATA", "```", ""]
    return lines


def measured(experiment: Experiment, record: dict[str, Any]) -> list[str]:
    """A line for each contrast of a record."""
    lines = []
    for contrast, found in zip(experiment.contrasts, record["contrasts"], strict=True):
        unit, (low, high) = experiment.metric(contrast.metric).unit, found["interval"]
        lines.append(
            f"{contrast_text(experiment, contrast)}: {value(found['mean'], unit)} ({low:+.3g} … {high:+.3g}), "
            + decision_text(found["decision"])
        )
    return lines


def record_of(folder: Path) -> dict[str, Any] | None:
    """The record of a standard run; None where there is none."""
    file = folder / "experiment.json"
    if not file.exists():
        return None
    record: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return record


if __name__ == "__main__":
    set_language(sys.argv[2])
    print(page(Path(sys.argv[1])), end="")
