"""`train` and `resume`: connect a network, a data set and the training loop, and write the run directory."""

from __future__ import annotations

import datetime
import types
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from convatlas import training
from convatlas.data import Dataset, ReadingOptions, write_split
from convatlas.data.dataset import printable
from convatlas.errors import CheckpointError, UsageError
from convatlas.evaluation import Evaluation, evaluate
from convatlas.figures import ERRORS, FigureComparison, Measurement
from convatlas.message import Message, joined
from convatlas.models import own
from convatlas.models.figures import compare_figures
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import PAPER_RECIPES, recipe_for
from convatlas.runs import directory
from convatlas.runs.header import header
from convatlas.runs.launch import Launch, check_ranks_agree
from convatlas.runs.listener import RunListener as RunListener
from convatlas.runs.notebook import NotebookListener, in_notebook
from convatlas.runs.options import RunOptions, apply
from convatlas.runs.places import check_name
from convatlas.runs.prepare import (
    Setup,
    build_schedule,
    compile_for_updates,
    entry_for,
    prepare,
    prepare_resumed,
    validator,
)
from convatlas.runs.reconstruction import reconstruct, report
from convatlas.runs.report_inside import inside_of
from convatlas.runs.resumption import changes_of, record, reopened, resumption
from convatlas.runs.run import CONFIG, ENVIRONMENT, METRICS, OWN_SOURCE, REPORT, SPLIT, WEIGHTS, Run, own_record
from convatlas.runs.training_data import TrainingData
from convatlas.training import Plan, checkpoint, distributed, journal
from convatlas.training.loggers import Logger, Tracking, by_names
from convatlas.visualization.run_report import run_report


def shown(listener: RunListener | None, process_group: distributed.ProcessGroup) -> RunListener:
    """The listener of this process; in a notebook that named none, one that shows the progress."""
    if not process_group.is_main:
        return RunListener()
    return listener or (NotebookListener() if in_notebook() else RunListener())


def train(
    model: str | nn.Module,
    data: str | Path | Dataset | TrainingData = "digits",
    recipe: str | Recipe = "modern",
    *,
    options: RunOptions | None = None,
    seed: int = 0,
    out: str | Path = "runs",
    name: str | None = None,
    split: str | Path | None = None,
    on_bad: Literal["fail", "skip"] = "fail",
    max_bad: float = 0.05,
    reading: ReadingOptions = ReadingOptions(),  # noqa: B008
    time_s: float | None = None,
    download: bool = False,
    listener: RunListener | None = None,
    loggers: Sequence[Logger] = (),
    **settings: Any,
) -> Run:
    """Train a network of the atlas, or one of your own, and write a run directory.

    The validation set chooses the weights. The test set is evaluated once, at the end.

    In processes that torchrun started, all of them call this with the same arguments and train one network together.
    The batch size is the global one, and only rank 0 writes files and calls ``listener``. All of them return when the
    run is finished. A launch that torchrun restarts continues from its newest checkpoint.

    Args:
        model: a name of `list_models`; ``FILE.py:Class``, a class of your own; ``timm:NAME`` or ``tv:NAME``, a network
            of timm or torchvision; or a module of your own, which is trained itself and holds the chosen weights
            afterwards. The run records its class and the class's text; to resume, evaluate or predict with the run
            later, give the module again: ``resume(folder, net=net)``, ``Run(folder, net=net)``.
        data: what `open_data` opens, or a `TrainingData` shared with other trainings.
        recipe: ``"modern"``, ``"paper"``, a recipe's name, or a `Recipe`.
        options: device, threads, checkpoints and so on; None stands for the defaults.
        out: the parent of the run directory.
        name: of the run directory; by default the network, the data and a number.
        split: a split file to use instead of making a split.
        on_bad: what to do with an image that cannot be read: "fail", or "skip" it and list it.
        max_bad: largest share of all images that may be skipped.
        reading: how the data are read: columns of a table, the source of the class, links, rare classes.
        time_s: approximate duration of the training in seconds. A few updates are timed to determine the epochs.
        download: whether published weights to start from may be downloaded.
        loggers: record the run there too, besides the loggers that ``log`` names.
        settings: settings of the recipe or of the options to change, e.g. ``epochs=3, mixup=0.2, threads=2``.
        seed: determines the initial weights, the split, the order of the images and their augmentation.

    Raises:
        UsageError: an unknown name, a setting out of range, an image too small for the network.
        DataError: the data cannot be used.
        TrainingError: the loss diverged, or the disk is full.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was written.
        LostRankError: of several processes, another one ended or failed.
    """
    if not isinstance(model, str | nn.Module):
        raise UsageError(
            "model is the name of a network, see list_models(), FILE.py:Class, or a torch.nn.Module; got {kind}.",
            kind=Message("the class {network}: give an instance", network=model.__name__)
            if isinstance(model, type)
            else type(model).__name__,
        )
    net = model if isinstance(model, nn.Module) else None
    entry = entry_for(model)
    if not isinstance(recipe, str | Recipe):
        raise UsageError("recipe is a name or a Recipe; got {kind}.", kind=type(recipe).__name__)
    chosen = recipe_for(entry, recipe) if isinstance(recipe, str) else recipe
    chosen, options = apply(chosen, options, settings)
    if name is not None:
        check_name(name)
    process_group = distributed.join(options.rank_timeout_s)
    listener = shown(listener, process_group)
    arguments = {
        "model": entry.full_name,
        "data": str(data),
        "recipe": chosen.to_dict(),
        "options": options.to_dict(),
        "seed": seed,
    }
    launch = Launch.of(Path(out), arguments)
    interrupted = launch.run_to_continue(process_group)
    if interrupted is not None:
        run = resume(interrupted, net=net, listener=listener, loggers=loggers)
        if process_group.is_main:
            launch.forget()
        return run
    if chosen.start_from is not None and Path(chosen.start_from).exists():
        chosen = chosen.change(start_from=str(Path(chosen.start_from).resolve()))
    if chosen.rename is not None:
        chosen = chosen.change(rename=str(Path(chosen.rename).resolve()))
    with process_group.raise_on_all_ranks(), process_group.main_process_first():
        training_data = data if isinstance(data, TrainingData) else TrainingData(
            data,
            seed=seed,
            split=Path(split) if split else None,
            on_bad=on_bad,
            max_bad=max_bad,
            validation_images=chosen.validation_images,
            progress=listener.on_images,
            reading=reading,
        )  # fmt: skip
        own_time_s = time_s if process_group.is_main else None
        setup = prepare(model, training_data, chosen, seed, own_time_s, options=options, download=download)
    if time_s is not None:
        setup = setup.with_epochs(int(process_group.broadcast_text(str(setup.recipe.epochs))))
    check_ranks_agree(setup)
    made = ""
    with process_group.raise_on_all_ranks():
        if process_group.is_main:
            folder = directory.make(Path(out), setup.entry.label, training_data.dataset.source, name)
            write_settings(folder, setup)
            launch.remember(folder)
            made = str(folder)
    run = run_training(Path(process_group.broadcast_text(made)), setup, listener, loggers)
    if process_group.is_main:
        launch.forget()
    return run


def resume(
    folder: str | Path,
    *,
    data: str | Path | Dataset | TrainingData | None = None,
    net: nn.Module | None = None,
    listener: RunListener | None = None,
    loggers: Sequence[Logger] = (),
    **settings: Any,
) -> Run:
    """Continue an interrupted run from its newest undamaged checkpoint. A finished run is returned unchanged.

    On the same machine with the same number of threads the final weights have the same bits as without the
    interruption.

    Args:
        data: where the data are now, if they have moved.
        net: the module that was trained, where it is one of your own that was not named as ``FILE.py:Class``.
        settings: settings to change from here on: epochs, lr, patience, and those of the machine, of checkpoints and of
            loggers. What changed is written to config.toml, to the journal and to the result.

    Raises:
        UsageError: the run is of a module of your own, and none was given.
        CheckpointError: every checkpoint of the run is damaged.
        DataError: the data have changed since the run was started.
        RecipeError: a setting that cannot change in the middle of a run.
        UsageError: settings to change in a finished run.
    """
    run = Run(folder, net=net)
    resumed = resumption(run, settings)
    changed = dict(resumed.changed)
    process_group = distributed.join(resumed.options.rank_timeout_s)
    listener = shown(listener, process_group)
    if run.finished and run.result is not None:
        if changed:
            raise UsageError(
                "{run} is finished, so {names} cannot change any more. Start a new run from its weights:  "
                "convatlas train {model} --start-from {run}",
                run=run.path,
                names=", ".join(changed),
                model=run.model,
            )
        listener.on_note(Message("{run} is finished already", run=run.path))
        return run
    with process_group.raise_on_all_ranks(), process_group.main_process_first():
        training_data = reopened(run, data, progress=listener.on_images)
        before, source = run.config["data"]["source"], described_source(training_data.dataset)
        if data is not None and source != before:
            changed["data"] = (before, source)
        if checkpoint.saved(run.path):
            setup = prepare_resumed(run, training_data, resumed.recipe, resumed.options)
        else:
            setup = prepare(run.subject, training_data, resumed.recipe, run.seed, options=resumed.options)
    check_ranks_agree(setup)
    for name, (was, now) in changed.items():
        listener.on_note(Message("{name} was {was} and is {now} from here on", name=name, was=was, now=now))
    for name, then, now in (
        ("processes", run.config["machine"].get("processes", 1), process_group.size),
        ("threads", run.config["machine"]["threads"], setup.hardware.threads),
        ("torch", run.environment["torch"], torch.__version__),
    ):
        if then != now and name not in changed:
            listener.on_note(
                Message(
                    "{name} was {then} and is {now}: the result may differ in its last bits",
                    name=name,
                    then=then,
                    now=now,
                )
            )
    return run_training(run.path, setup, listener, loggers, changed)


def write_settings(folder: Path, setup: Setup) -> None:
    """Write config.toml, env.json and split.csv, from which the run can be resumed or repeated."""
    data = setup.training_data.dataset
    write_split(folder / SPLIT, data, setup.training_data.split)
    directory.write_json(
        folder / ENVIRONMENT,
        training.environment() | {"started": datetime.datetime.now().astimezone().isoformat(timespec="seconds")},
    )
    tables: dict[str, dict[str, Any]] = {
        "run": {
            "model": setup.entry.full_name,
            "seed": setup.seed,
            "in_channels": data.channels,
            "image_size": setup.preprocessing.size[0],
        },
        "data": {
            "source": described_source(data),
            "layout": data.layout,
            "fingerprint": data.fingerprint,
            "on_bad": setup.training_data.on_bad,
            "max_bad": setup.training_data.max_bad,
            "classes": list(data.classes),
            "split": setup.training_data.split.rule,
            **({"reading": data.reading.to_dict()} if data.reading.to_dict() else {}),
        },
        "recipe": setup.recipe.to_dict(),
        "options": setup.options.to_dict() | resolved(setup.hardware),
        "preprocessing": setup.preprocessing.to_dict(),
        "machine": setup.hardware.to_dict()
        | ({"processes": setup.process_group.size} if setup.process_group.size > 1 else {}),
    }
    if setup.start is not None:
        tables["start"] = setup.start
    if setup.entry.own:
        tables["own"] = own_record(setup.net, setup.entry)
        if tables["own"]["source"]:
            directory.write_text(folder / OWN_SOURCE, tables["own"]["source"])
    directory.write_toml(folder / CONFIG, tables)


def described_source(data: Dataset) -> str:
    """Where the data are, in a form that is valid in every working directory."""
    return str(Path(data.source).resolve()) if Path(data.source).exists() else data.source


def resolved(hardware: training.Hardware) -> dict[str, Any]:
    """Return the values chosen for the options that were left open, so that a resumed run uses them too."""
    return {
        "threads": hardware.threads,
        "precision": hardware.precision,
        "channels_last": hardware.channels_last,
        "compile": "on" if hardware.compile else "off",
        "trial": False,
    }


def run_training(
    folder: Path,
    setup: Setup,
    listener: RunListener,
    loggers: Sequence[Logger] = (),
    changed: Mapping[str, tuple[Any, Any]] = types.MappingProxyType({}),
) -> Run:
    """Train from the newest checkpoint, or from the start; then choose the weights and evaluate them once.

    Args:
        changed: settings of a resumed run that differ from those it was started with; see `Resumption`.
    """
    recipe, options, process_group = setup.recipe, setup.options, setup.process_group
    listener.on_start(header(setup), recipe.epochs, len(setup.batches))
    learner = setup.learner()
    with ExitStack() as stack:
        with process_group.raise_on_all_ranks():
            if process_group.is_main:
                stack.enter_context(directory.locked(folder))
            state = first_state(folder, setup, learner, listener)
            record(folder, setup, learner, state, changed)
        check_same_step(process_group, folder, state.step)
        own_loggers = [*loggers, *by_names(options.log)] if process_group.is_main else []
        tracking = Tracking(own_loggers, listener, listener.on_note)
        stack.enter_context(tracking.of_run(folder, recipe.to_dict() | options.to_dict(), state.step))
        module, compile_s = compile_for_updates(setup)
        state.compile_s += compile_s
        state = training.fit(
            replace(learner, compiled=module),
            setup.of_this_rank(setup.batches),
            setup.loss(),
            loop_plan(setup),
            hardware=setup.hardware,
            folder=folder,
            validate=validator(setup),
            state=state,
            listener=tracking,
            process_group=process_group,
        )
        with process_group.raise_on_all_ranks(), training.evaluation_weights(learner.callbacks):
            if process_group.is_main:
                finish(folder, setup, state, training.describe_weights(learner.callbacks))
                tracking.artifact(folder / WEIGHTS)
                tracking.artifact(folder / REPORT)
                checkpoint.remove_all(folder)  # the weights are in model.safetensors
    return Run(folder, net=setup.net if setup.entry.own and not own.is_own(setup.entry.full_name) else None)


def first_state(folder: Path, setup: Setup, learner: training.Learner, listener: RunListener) -> training.State:
    """Return the state to continue from: that of the newest checkpoint, which is loaded, or a new one."""
    if checkpoint.saved(folder):
        state, problems = training.resume(folder, learner)
        for problem in problems:
            listener.on_note(joined((problem, Message("The one before it is used.")), " "))
        return state
    state = training.State()
    if setup.start is not None and setup.process_group.is_main:
        # the weights that the run starts from may no longer exist when it is resumed
        training.save_state(folder, learner, state)
    return state


def check_same_step(process_group: distributed.ProcessGroup, folder: Path, step: int) -> None:
    """Raise CheckpointError if the ranks loaded different checkpoints."""
    latest, negated_earliest = process_group.max_over_ranks(step, -step)
    if latest != -negated_earliest:
        raise CheckpointError(
            "the processes found different checkpoints in {folder}, after {earliest} and {latest} updates. "
            "Put --out on a file system that all machines share.",
            folder=folder,
            earliest=-negated_earliest,
            latest=latest,
        )


def loop_plan(setup: Setup) -> Plan:
    """Return the settings of the training loop."""
    recipe, options = setup.recipe, setup.options
    return Plan(
        epochs=recipe.epochs,
        lr=recipe.lr,
        seed=setup.seed,
        schedule=build_schedule(recipe),
        max_grad_norm=recipe.max_grad_norm,
        accumulate=recipe.accumulate,
        classifies=not setup.entry.reconstructs,
        patience=recipe.patience,
        checkpoint_every_s=options.checkpoint_every_s,
        checkpoint_every_steps=options.checkpoint_every_steps,
    )


def finish(folder: Path, setup: Setup, state: training.State, weights: str) -> None:
    """Write model.safetensors, the last line of the journal with the test result, and the report."""
    epochs = state.step // len(setup.batches)  # fewer than the recipe's if patience ended the training
    if setup.recipe.keep == "best":
        tensors, _ = checkpoint.load(checkpoint.best(folder))
        checkpoint.load_network(tensors, setup.net)
        epoch = state.best_epoch
    else:
        epoch = epochs - 1
    assert epoch is not None  # with keep = "best" there is a validation set
    images_trained = epochs * len(setup.training_data.split.train)
    training_result: dict[str, Any] = {
        "run": str(folder),
        "model": setup.entry.label,
        "epochs": epochs,
        "epochs_asked": setup.recipe.epochs,
        "train_s": round(state.train_s, 3),
        **({"compile_s": round(state.compile_s, 3)} if setup.hardware.compile else {}),
        "images_per_s": round(images_trained / state.train_s, 1) if state.train_s else None,
        "chosen_epoch": epoch,
        "weights": weights,
        "seed": setup.seed,
    }
    if changes := changes_of(Run(folder)):
        training_result["resumed"] = changes
    evaluate_net = evaluate_reconstruction if setup.entry.reconstructs else evaluate_classifier
    result, report = evaluate_net(
        setup, training_result, state.scores[epoch] if state.scores else None, Run(folder).epochs()
    )
    with journal.Journal(folder / METRICS, state.journal_bytes) as lines:
        lines.write("done", **result)
        lines.sync()
    identity = {
        "model": setup.entry.label,
        "classes": list(setup.training_data.dataset.classes),
        "preprocessing": setup.preprocessing.to_dict(),
        "chosen_epoch": epoch,
    }
    checkpoint.save(folder / WEIGHTS, dict(setup.net.state_dict()), identity)
    directory.write_text(folder / REPORT, report)


def evaluate_classifier(
    setup: Setup, result: dict[str, Any], score: float | None, epochs: list[dict[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Evaluate a classifier on the test set. Returns the completed result of the run, and its report."""
    data = setup.training_data.dataset
    names = tuple(printable(data.names[int(index)]) for index in setup.training_data.split.test)
    evaluation = evaluate(setup.net, setup.test.epoch(0), data.classes, names=names)
    figures = figures_of(setup, evaluation)
    result |= {
        "val_top1": score,
        "test_top1": evaluation.top1,
        "test_top5": evaluation.top5,
        "test_n": evaluation.n,
        "test_ci95": list(evaluation.ci95),
        "protocol": evaluation.protocol,
        "figures": [figure_record(figure) for figure in figures],
    }
    inside = inside_of(setup, evaluation, epochs)
    return result, run_report(header(setup), epochs, result, evaluation, setup.test_image, figures, inside)


def evaluate_reconstruction(
    setup: Setup, result: dict[str, Any], score: float | None, epochs: list[dict[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Measure a reconstruction on the test set. Returns the completed result of the run, and its report.

    The entries that only a classifier has are None.
    """
    measured = reconstruct(setup.net, setup.test, setup.preprocessing, setup.hardware.autocast())
    result |= {
        "val_top1": None,
        "val_mse": None if score is None else -score,
        "test_top1": None,
        "test_mse": measured.mse,
        "test_pixels_rms": measured.pixels_rms,
        "test_n": measured.n,
        "protocol": "reconstruction",
        "figures": [],
    }
    return result, report(header(setup), epochs, result, measured)


def figures_of(setup: Setup, evaluation: Evaluation) -> list[FigureComparison]:
    """Return the paper's error rates with what this run measured, for a run with the paper's own recipe.

    Printed and measured values have their own protocols, because the data may differ from the paper's.
    """
    if setup.recipe.name not in PAPER_RECIPES:
        return []
    protocol = f"{setup.training_data.dataset.source}, {evaluation.n} test images, {evaluation.protocol}"
    shares = {"error": evaluation.top1, "top1_error": evaluation.top1, "top5_error": evaluation.top5}
    measured = {
        quantity: Measurement(round(100 * (1 - share), 4), protocol)
        for quantity, share in shares.items()
        if share is not None
    }
    return [figure for figure in compare_figures(setup.entry, measured) if figure.quantity in ERRORS]


def figure_record(figure: FigureComparison) -> dict[str, Any]:
    """One of the ``figures`` of the run's result."""
    return {
        "quantity": figure.quantity,
        "printed": figure.printed.text,
        "printed_protocol": figure.printed.protocol,
        "source": figure.source,
        "verified": figure.printed.verified,
        "measured_percent": None if figure.measured is None else figure.measured.value,
        "measured_protocol": "" if figure.measured is None else figure.measured.protocol,
        "verdict": figure.verdict,
    }
