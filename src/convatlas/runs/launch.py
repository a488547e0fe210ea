"""A training of several processes: what all of them must have alike, and which run a restarted launch goes on with.

torchrun restarts all ranks when one of them dies, with the very same command. So that a restart continues the run
instead of beginning another, rank 0 leaves a note ``OUT/.torchrun-ID.json`` of the run this launch is making; it is
taken away when the run is finished. ID is torchrun's run id (``--rdzv-id``) or, where none was given, the address and
port of the launch; a note without a run id counts only in a restart, for the next launch has the same address.
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
    """What torchrun started, and its note.

    Attributes:
        note: the file that names the run; None where torchrun started nothing.
        named: the user gave a run id, which is this training's alone.
        restarts: how often torchrun restarted this rank's machine.
        wishes: a digest of what is to be trained on what.
    """

    note: Path | None
    named: bool
    restarts: int
    wishes: str

    @classmethod
    def of(cls, out: Path, wishes: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Launch:
        digest = hashlib.sha256(json.dumps(wishes, sort_keys=True, default=str).encode()).hexdigest()
        if "TORCHELASTIC_RUN_ID" not in environment:
            return cls(None, False, 0, digest)
        named = environment["TORCHELASTIC_RUN_ID"] != "none"
        place = f"{environment.get('MASTER_ADDR')}-{environment.get('MASTER_PORT')}"
        name = re.sub(r"[^\w.-]+", "_", environment["TORCHELASTIC_RUN_ID"] if named else place)
        restarts = int(environment.get("TORCHELASTIC_RESTART_COUNT", "0"))
        return cls(out / f".torchrun-{name}.json", named, restarts, digest)

    def begun(self, process_group: ProcessGroup) -> Path | None:
        """The run that an earlier start of this launch has begun; rank 0 reads the note, all get the answer.

        Raises:
            UsageError: the run id was used for another training, which is not finished.
        """
        (restarts,) = process_group.agree(self.restarts)  # a machine that joined late has counted none
        said = ""
        with process_group.together():
            if process_group.leads and self.note is not None and (self.named or restarts) and self.note.is_file():
                note = json.loads(self.note.read_text("utf-8"))
                run = Path(note["run"])
                if (run / CONFIG).is_file():
                    if note["wishes"] != self.wishes:
                        raise UsageError(
                            "the run id of this launch is that of {run}, which is another training and not finished. "
                            "Choose another --rdzv-id, or continue it:  convatlas train --resume {run}",
                            run=run,
                        )
                    said = str(run)
        return Path(said) if (said := process_group.tell(said)) else None

    def remember(self, run: Path) -> None:
        if self.note is not None:
            directory.write_json(self.note, {"run": str(run), "wishes": self.wishes})

    def forget(self) -> None:
        if self.note is not None:
            self.note.unlink(missing_ok=True)


def same_everywhere(setup: Setup) -> None:
    """Refuse to begin where the ranks would not compute the same thing.

    Raises:
        DataError: another rank has other data, another split or other software.
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
    leading = json.loads(process_group.tell(json.dumps(own)))
    with process_group.together():
        for name, value in own.items():
            if value != leading[name]:
                raise DataError(
                    "{name} here is {value}, on rank 0 it is {there}. Every process must be given the same "
                    "command, data and software.",
                    name=name,
                    value=value,
                    there=leading[name],
                )
