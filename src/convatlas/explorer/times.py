"""The measured time of every layer. Needs torch."""

from __future__ import annotations

from typing import Any

import torch

from convatlas.explorer.networks import SCHEMA, blocks
from convatlas.explorer.ready import Workbench
from convatlas.explorer.subjects import Subject
from convatlas.inspection import layer_times
from convatlas.training.hardware import processor_name

NOISE_SEED = 0


def times_document(bench: Workbench, subject: Subject) -> dict[str, Any]:
    """``api/times``: the seconds of each row and of each block, batch 1, in this process on noise. Measured.

    Raises:
        ForwardError: the network does not fit its input.
    """
    summary = subject.summary()
    found = bench.network(subject)
    generator = torch.Generator().manual_seed(NOISE_SEED)
    images = torch.randn(1, found.preprocessing.channels, *found.preprocessing.size, generator=generator)
    times = layer_times(found.net, images)
    rows = [times.rows.get(row.name, 0.0) for row in summary.rows]
    return {
        "schema": SCHEMA,
        "kind": "measured",
        "rows": {row.name: seconds for row, seconds in zip(summary.rows, rows, strict=True)},
        "blocks": {block["path"]: sum(rows[slice(*block["rows"])]) for block in blocks(summary)},
        "rows_s": sum(rows),
        "whole_s": times.whole_s,
        "passes": times.passes,
        "batch": times.batch,
        "threads": times.threads,
        "machine": processor_name("cpu"),
    }
