"""The stored layer tables of the atlas:  python -m convatlas.models.layer_tables  generates them.

``tables/NAME.json.gz`` is the tracer's Summary of a network at its paper's input, so that ``show`` and ``explain`` do
not need torch. A test counts the networks again and fails when a table is out of date.
"""

from __future__ import annotations

import gzip
import json
import sys
from importlib import resources
from pathlib import Path

from convatlas.arithmetic.summary import Summary
from convatlas.errors import UsageError
from convatlas.models.create import create_model
from convatlas.models.registry import entry, list_models

FOLDER = "tables"


def table(name: str) -> Summary | None:
    """The stored Summary of a network of the atlas at its paper's input; None where none of this version is stored.

    Raises:
        UnknownNameError: no such network.
    """
    file = resources.files("convatlas.models").joinpath(FOLDER, f"{entry(name).full_name}.json.gz")
    if not file.is_file():
        return None
    try:
        return Summary.from_dict(json.loads(gzip.decompress(file.read_bytes())))
    except UsageError:  # written by another version
        return None


def counted(name: str) -> Summary:
    """The Summary of a network of the atlas at its paper's input, counted now."""
    import torch

    from convatlas.arithmetic import summarize

    with torch.device("meta"):
        net = create_model(name)
    return summarize(net, entry(name).input, model=name)


def packed(summary: Summary) -> bytes:
    """The bytes of a table's file; equal tables have equal bytes."""
    text = json.dumps(summary.to_dict(), ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def write_all(folder: Path) -> None:
    """Write a file per network, and remove the files of networks that no longer exist."""
    folder.mkdir(exist_ok=True)
    names = list_models()
    for name in names:
        (folder / f"{name}.json.gz").write_bytes(packed(counted(name)))
        print(name, file=sys.stderr)
    for file in folder.glob("*.json.gz"):
        if file.name.removesuffix(".json.gz") not in names:
            file.unlink()


if __name__ == "__main__":
    write_all(Path(__file__).with_name(FOLDER))
