"""Loggers that record a run in TensorBoard, Weights & Biases or MLflow, besides the journal ``metrics.jsonl``.

A logger has four methods (`Logger`), and its package is imported only when it is used. All three write to the disk of
this machine only, unless the user's environment says otherwise (``WANDB_MODE=online``, ``MLFLOW_TRACKING_URI``). A
logger that fails is left out with a note; the run does not depend on it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from convatlas.errors import Interrupted, MissingDependencyError, RecipeError, UnknownNameError
from convatlas.message import Message
from convatlas.training.loop import State, TrainingListener


class Logger(Protocol):
    """Receives the start, the numbers, the files and the end of a run."""

    def start(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        """The run in ``folder`` starts, or resumes after ``step`` updates. Entries of later updates are obsolete."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after ``step`` updates."""

    def artifact(self, path: Path) -> None:
        """A file of the run is complete: its weights, its report."""

    def finish(self, status: str) -> None:
        """The run ended: ``status`` is "finished", "stopped" (by a signal) or "failed"."""


class TensorBoard:
    """Event files, shown by ``tensorboard --logdir RUN/tensorboard``. They contain numbers but no files."""

    def __init__(self) -> None:
        if importlib.util.find_spec("tensorboardX"):
            from tensorboardX import SummaryWriter
        elif importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter
        else:
            raise MissingDependencyError("tensorboardX", "tensorboard", "--log tensorboard")
        self._make = SummaryWriter

    def start(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        # hides the events of updates that a resumed run makes again
        self._writer = self._make(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
        rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}", step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def artifact(self, path: Path) -> None:
        """Event files cannot contain files."""

    def finish(self, status: str) -> None:
        self._writer.close()


class WeightsAndBiases:
    """An offline run in the folder of the run, which ``wandb sync`` can upload."""

    def __init__(self) -> None:
        if not importlib.util.find_spec("wandb"):
            raise MissingDependencyError("wandb", "wandb", "--log wandb")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._wandb = wandb

    def start(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        self._folder = folder
        self._run = self._wandb.init(
            project="convatlas",
            name=folder.name,
            id=re.sub(r"[^\w-]+", "-", folder.name),
            resume="allow",
            dir=str(folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=dict(settings),
            settings=self._wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def artifact(self, path: Path) -> None:
        self._run.save(str(path), base_path=str(self._folder), policy="now")

    def finish(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)


class MLflow:
    """One ``mlflow.db`` beside all runs, shown by ``mlflow ui --backend-store-uri sqlite:///runs/mlflow.db``."""

    def __init__(self) -> None:
        for package in ("mlflow", "sqlalchemy"):
            if not importlib.util.find_spec(package):
                raise MissingDependencyError(package, "mlflow", "--log mlflow")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        self._make = MlflowClient

    def start(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        store = folder.resolve().parent
        client = self._make(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}"))
        experiment = client.get_experiment_by_name("convatlas")
        if experiment is None:
            place = None if "MLFLOW_TRACKING_URI" in os.environ else (store / "mlflow-files").as_uri()
            number = client.create_experiment("convatlas", artifact_location=place)
        else:
            number = experiment.experiment_id
        # a resumed run continues its entry; a step that is logged again appears twice, the newer value last
        known = client.search_runs([number], f"tags.folder = '{folder.resolve()}'")
        self._client, self._new = client, not known
        tags = {"folder": str(folder.resolve())}
        run = known[0] if known else client.create_run(number, run_name=folder.name, tags=tags)
        self._run = run.info.run_id
        for name, value in settings.items() if self._new else ():
            client.log_param(self._run, name, value)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def artifact(self, path: Path) -> None:
        self._client.log_artifact(self._run, str(path))

    def finish(self, status: str) -> None:
        self._client.set_terminated(self._run, {"finished": "FINISHED", "stopped": "KILLED"}.get(status, "FAILED"))


KINDS: dict[str, Callable[[], Logger]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow}


def by_names(names: str) -> list[Logger]:
    """Make the loggers of a comma-separated list, and import their packages.

    Raises:
        UnknownNameError: there is no such logger.
        RecipeError: a logger is named twice.
        MissingDependencyError: the package of a logger is not installed.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in KINDS:
            raise UnknownNameError("logger", name, KINDS)
    if len(set(wanted)) < len(wanted):
        raise RecipeError("log = {names!r} names a logger twice.", names=names)
    return [KINDS[name]() for name in wanted]


class Tracking(TrainingListener):
    """Passes the events of a run to ``listener`` and to the loggers; leaves out one that fails, with a ``note``."""

    def __init__(self, loggers: Sequence[Logger], listener: TrainingListener, note: Callable[[str], None]) -> None:
        self._loggers, self._listener, self._note = list(loggers), listener, note

    def on_step(self, state: State, loss: float, images_per_s: float) -> None:
        self._listener.on_step(state, loss, images_per_s)
        self.log(state.step, {"train_loss_now": loss, "images_per_s": images_per_s})

    def on_epoch(self, epoch: dict[str, Any]) -> None:
        self._listener.on_epoch(epoch)
        self.log(epoch["step"], epoch)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Log the finite numbers among ``values``."""
        numbers = {
            name: float(value)
            for name, value in values.items()
            if isinstance(value, int | float) and name != "step" and math.isfinite(value)
        }
        self._each(lambda logger: logger.log(step, numbers))

    def artifact(self, path: Path) -> None:
        self._each(lambda logger: logger.artifact(path))

    @contextlib.contextmanager
    def of_run(self, folder: Path, settings: Mapping[str, Any], step: int) -> Iterator[Tracking]:
        """The context of a run, which starts the loggers and finishes them with the status of the run."""
        self._each(lambda logger: logger.start(folder, settings, step))
        status = "failed"
        try:
            yield self
            status = "finished"
        except Interrupted:
            status = "stopped"
            raise
        finally:
            self._each(lambda logger: logger.finish(status))

    def _each(self, call: Callable[[Logger], None]) -> None:
        for logger in list(self._loggers):
            try:
                call(logger)
            except Exception as error:  # an error of another package must not stop the training
                self._loggers.remove(logger)
                self._note(
                    Message(
                        "{logger} failed and is left out from here on: {error}",
                        logger=type(logger).__name__,
                        error=error,
                    )
                )
