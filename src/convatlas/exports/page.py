"""The contract of an exported file as JSON and as one HTML page."""

from __future__ import annotations

import json
from pathlib import Path

from convatlas import units
from convatlas.atomic import written_atomically
from convatlas.exports.contract import CHECKS, Contract
from convatlas.exports.description import CONTRACT, STATES
from convatlas.i18n import _, language, translated
from convatlas.visualization import html

PAGE = "contract.html"


def write_contract(contract: Contract, folder: Path) -> None:
    """Write ``contract.json`` and ``contract.html``.

    Raises:
        ConvAtlasError: the folder cannot be written to.
    """
    with written_atomically(folder / CONTRACT) as file:
        file.write((json.dumps(contract.to_dict(), ensure_ascii=False, indent=2) + "\n").encode())
    with written_atomically(folder / PAGE) as file:
        file.write(contract_page(contract).encode())


def contract_page(contract: Contract) -> str:
    """The page in the language in use."""
    title = _("Contract of {file}", file=contract.file)
    lead = html.join(html.strong(translated(contract.headline)), ".")
    columns = tuple(html.Column(heading, number=False) for heading in (_("check"), _("state"), _("what was found")))
    rows = [
        (translated(CHECKS[check.name]), translated(STATES[check.state]), translated(check.statement))
        for check in contract.checks
    ]
    conditions = contract.conditions
    facts = (
        (_("network"), contract.network),
        (_("format and precision"), f"{contract.format}, {contract.precision}"),
        (_("images"), _images(contract)),
        (_("engine"), f"{conditions['engine']} {conditions['engine_version']}"),
        (_("processor"), conditions["instruction_set"]),
        ("SHA-256", html.code(contract.sha256)),
    )
    notes = [html.note(translated(note)) for note in contract.notes]
    return html.page(
        title,
        html.header(title, lead),
        html.section(
            _("What was checked"),
            html.table(columns, rows, _("The file against the network in PyTorch, from the image file to the label.")),
            *notes,
        ),
        html.section(_("Conditions"), html.facts(facts)),
        lang=language(),
    )


def _images(contract: Contract) -> str:
    if not contract.n:
        return _("none")
    return _(
        "{n} of {all} of {data}, set {part}",
        n=units.exact(contract.n),
        all=units.exact(contract.n_of),
        data=contract.data,
        part=contract.part,
    )
