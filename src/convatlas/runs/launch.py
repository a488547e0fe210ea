"""Training in several processes: the run that a restarted launch continues, and the check that all ranks agree.

When a rank dies, torchrun restarts all ranks with the same command. So that a restart continues the run instead of
starting another one, rank 0 writes the name of the run to a note ``OUT/.torchrun-ID.json``, and removes it when the run
is finished. ID is torchrun's run id (``--rdzv-id``) or, without one, the address and port of the launch. A note without
a run id is used in a restart only, because the next launch can have the same address.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from convatlas.errors import DataError, UsageError
from convatlas.runs import directory
from convatlas.runs.prepare import Setup
from convatlas.runs.run import CONFIG
from convatlas.training.distributed import ProcessGroup


@dataclass(frozen=True)
class Launch:
    """A launch by torchrun, and its note.

    Attributes:
        note: the file that names the run; None without torchrun.
        named: whether the user gave a run id, which identifies this training.
        restarts: how often torchrun restarted the ranks of this machine.
        digest: of the network, the data, the recipe and the seed.
    """

    note: Path | None
    named: bool
    restarts: int
    digest: str

    @classmethod
    def of(cls, out: Path, arguments: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Launch:
        digest = hashlib.sha256(json.dumps(arguments, sort_keys=True, default=str).encode()).hexdigest()
        if "TORCHELASTIC_RUN_ID" not in environment:
            return cls(None, False, 0, digest)
        named = environment["TORCHELASTIC_RUN_ID"] != "none"
        place = f"{environment.get('MASTER_ADDR')}-{environment.get('MASTER_PORT')}"
        name = re.sub(r"[^\w.-]+", "_", environment["TORCHELASTIC_RUN_ID"] if named else place)
        restarts = int(environment.get("TORCHELASTIC_RESTART_COUNT", "0"))
        return cls(out / f".torchrun-{name}.json", named, restarts, digest)

    def run_to_continue(self, process_group: ProcessGroup) -> Path | None:
        """Return the run that an earlier start of this launch began. Rank 0 reads the note for all ranks.

        Raises:
            UsageError: the run id belongs to another training, which is not finished.
        """
        (restarts,) = process_group.max_over_ranks(self.restarts)  # a machine that joined late has counted none
        name = ""
        with process_group.raise_on_all_ranks():
            if process_group.is_main and self.note is not None and (self.named or restarts) and self.note.is_file():
                note = json.loads(self.note.read_text("utf-8"))
                run = Path(note["run"])
                if (run / CONFIG).is_file():
                    if note["wishes"] != self.digest:
                        raise UsageError(
                            "the run id of this launch is that of {run}, which is another training and not finished. "
                            "Choose another --rdzv-id, or continue it:  convatlas train --resume {run}",
                            run=run,
                        )
                    name = str(run)
        name = process_group.broadcast_text(name)
        return Path(name) if name else None

    def remember(self, run: Path) -> None:
        """Write the note."""
        if self.note is not None:
            directory.write_json(self.note, {"run": str(run), "wishes": self.digest})

    def forget(self) -> None:
        """Remove the note."""
        if self.note is not None:
            self.note.unlink(missing_ok=True)


def check_ranks_agree(setup: Setup) -> None:
    """Check that all ranks have the same data, split, recipe and software.

    Raises:
        DataError: this rank differs from rank 0.
    """
    process_group, split = setup.process_group, setup.training_data.split
    parts = hashlib.sha256(b"".join(part.tobytes() for part in (split.train, split.val, split.test))).hexdigest()
    settings = setup.recipe.to_dict() | setup.options.to_dict()
    own = {
        "data": setup.training_data.dataset.fingerprint,
        "split": parts,
        "recipe": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "precision": setup.hardware.precision,
        "memory format": setup.hardware.channels_last,
        "torch": torch.__version__,
    }
    of_rank_0 = json.loads(process_group.broadcast_text(json.dumps(own)))
    with process_group.raise_on_all_ranks():
        for name, value in own.items():
            if value != of_rank_0[name]:
                raise DataError(
                    "{name} here is {value}, on rank 0 it is {there}. Every process must be given the same "
                    "command, data and software.",
                    name=name,
                    value=value,
                    there=of_rank_0[name],
                )
