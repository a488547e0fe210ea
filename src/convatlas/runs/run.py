"""`Run`: a finished or interrupted training, read back from its directory."""

from __future__ import annotations

import copy
import datetime
import functools
import json
import tomllib
from pathlib import Path
from typing import Any

from torch import nn

from convatlas import models, tables, units
from convatlas.data import Dataset, Preprocessing, Split, open_data, read_split
from convatlas.errors import CheckpointError, DataError, UsageError
from convatlas.i18n import _
from convatlas.models import bridges, own
from convatlas.recipes.recipe import Recipe
from convatlas.runs.directory import CONFIG as CONFIG
from convatlas.runs.options import OPTIONS, RunOptions
from convatlas.runs.places import METRICS as METRICS
from convatlas.training import checkpoint, journal

WEIGHTS = "model.safetensors"
ENVIRONMENT = "env.json"
SPLIT = "split.csv"
REPORT = "report.html"
OWN_SOURCE = "own_network.py"  # the text of the class of a network of the user's own


def own_record(net: nn.Module, entry: models.Entry) -> dict[str, str]:
    """The table ``own`` of config.toml: the class of a network of the user's own, where it is from, and its text."""
    kind = type(net)
    bridged = own.is_own(entry.full_name) and not own.is_file(entry.full_name)
    return {
        "class": entry.label,
        "defined_in": f"{kind.__module__}.{kind.__qualname__}",
        **({"package": bridges.parse(entry.full_name).package} if bridged else {}),
        "source": "" if bridged else own.source_text(net),  # a package has versions; its classes are not kept
    }


class Run:
    """The directory of a finished or interrupted training.

    Args:
        net: the module that was trained, where it is one of the user's own that was not named as ``FILE.py:Class``;
            its class makes the network, and its weights are not read.
        path: the run directory.

    Raises:
        DataError: the directory does not exist, or is not a run directory.
    """

    def __init__(self, path: str | Path, *, net: nn.Module | None = None) -> None:
        self.path, self._net = Path(path), net
        if not (self.path / CONFIG).is_file():
            raise DataError(
                "{path} is not a run directory: it contains no {config}. Run directories are written "
                "by  convatlas train.",
                path=self.path,
                config=CONFIG,
            )

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Network, data, recipe and result, for a notebook."""
        result = self.result
        columns = (tables.Column(_("quantity")), tables.Column(_("value")))
        rows = [
            (_("network"), self.label),
            (_("data"), self.config["data"]["source"]),
            (_("recipe"), self.recipe.name),
        ]
        if result is not None and result["test_top1"] is not None:
            rows.append((_("test top-1"), units.percent(result["test_top1"])))
            rows.append((f"95 % {_('interval')}", units.interval(*result["test_ci95"])))
        return tables.html(columns, rows, title=str(self.path))

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The tables of config.toml: run, data, recipe, options, preprocessing, machine, start."""
        try:
            return tomllib.loads((self.path / CONFIG).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DataError("{path} cannot be read: {error}.", path=self.path / CONFIG, error=error) from error

    @property
    def model(self) -> str:
        return str(self.config["run"]["model"])

    @property
    def seed(self) -> int:
        return int(self.config["run"]["seed"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.config["data"]["classes"])

    @property
    def recipe(self) -> Recipe:
        return Recipe.from_dict(self.config["recipe"])

    @property
    def options(self) -> RunOptions:
        """The options with the values that were chosen; in version 0.1.0 they are settings of the recipe."""
        values = self.config.get("options", self.config["recipe"])
        return RunOptions(**{name: value for name, value in values.items() if name in OPTIONS})

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing.from_dict(self.config["preprocessing"])

    @property
    def started(self) -> datetime.datetime:
        """When the run was started, in local time; of an earlier version, when its env.json was written."""
        text = self.environment.get("started")
        if text is not None:
            return datetime.datetime.fromisoformat(text).astimezone()
        return datetime.datetime.fromtimestamp((self.path / ENVIRONMENT).stat().st_mtime).astimezone()

    @property
    def split_path(self) -> Path:
        return self.path / SPLIT

    @property
    def finished(self) -> bool:
        return (self.path / WEIGHTS).is_file()

    @property
    def size_bytes(self) -> int:
        """Size of the weights file."""
        return (self.path / WEIGHTS).stat().st_size

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return journal.read(self.path / METRICS)

    def epochs(self) -> list[dict[str, Any]]:
        return [line for line in self.metrics() if line["event"] == "epoch"]

    @property
    def result(self) -> dict[str, Any] | None:
        """The last line of metrics.jsonl of a finished run: its accuracies, their protocol, the time; else None."""
        return next((line for line in reversed(self.metrics()) if line["event"] == "done"), None)

    @property
    def environment(self) -> dict[str, Any]:
        return dict(json.loads((self.path / ENVIRONMENT).read_text("utf-8")))

    @property
    def label(self) -> str:
        """The network's name in texts: the class of one of the user's own."""
        return str(self.config["own"]["class"]) if "own" in self.config else self.model

    @property
    def subject(self) -> str | nn.Module:
        """What was trained: the network's name, or the module of the user's own.

        Raises:
            UsageError: that module was not given, or its class has changed.
        """
        if "own" not in self.config:
            return self.model
        record = self.config["own"]
        subject: str | nn.Module | None = self.model if own.is_own(self.model) else self._net
        if subject is None:
            raise UsageError(
                "{path} is a run of your own module {network}, which convatlas cannot build. Give the module: "
                "Run(folder, net=net) in Python. Its text is in {source}.",
                path=self.path,
                network=record["class"],
                source=self.path / OWN_SOURCE,
            )
        net = subject if isinstance(subject, nn.Module) else models.create_model(subject, **self._counts())
        now = own.source_text(net)
        if now and record["source"] and not own.same_program(now, record["source"]):
            raise UsageError(
                "the class {network} has changed since {path} was trained. Put its text back, which is in {source}, "
                "or train anew.",
                network=record["class"],
                path=self.path,
                source=self.path / OWN_SOURCE,
            )
        return subject

    def _counts(self) -> dict[str, Any]:
        run = self.config["run"]
        return {
            "num_classes": len(self.classes),
            "in_channels": run["in_channels"],
            "image_size": run["image_size"],
        }

    def untrained_network(self) -> nn.Module:
        run = self.config["run"]
        if "own" in self.config:
            subject = self.subject
            if isinstance(subject, nn.Module):
                return copy.deepcopy(subject).to("cpu")
            return models.create_model(subject, **self._counts())
        head: dict[str, Any] = {} if models.entry(self.model).reconstructs else {"num_classes": len(self.classes)}
        return models.create_model(
            self.model,
            **head,
            in_channels=run["in_channels"],
            image_size=run["image_size"],
        )

    def network(self) -> nn.Module:
        """The network with the chosen weights of the run, in evaluation mode, on the CPU.

        Raises:
            CheckpointError: the training did not finish, or the weights are damaged or of another network.
        """
        if not self.finished:
            raise CheckpointError(
                "{path} has no {weights}: the training did not finish. Continue it:  convatlas train --resume {path}",
                path=self.path,
                weights=WEIGHTS,
            )
        tensors, _identity = checkpoint.load(self.path / WEIGHTS)
        net = self.untrained_network()
        checkpoint.load_network(tensors, net, prefix="")
        return net.eval()

    def dataset(self) -> Dataset:
        """Open the data that the run was trained on."""
        data = self.config["data"]
        return open_data(data["source"], on_bad=data["on_bad"], max_bad=data["max_bad"], **data.get("reading", {}))

    def split(self, dataset: Dataset) -> Split:
        return read_split(self.split_path, dataset)
