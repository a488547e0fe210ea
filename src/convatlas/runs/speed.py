"""Choose the fastest update mode for a network on this machine, by a trial where the run is long enough.

The settings that the user leaves open (``precision`` auto, no ``channels_last``, ``compile`` auto) are first decided by
the instruction set. A trial of a few updates follows if it costs at most 2 % of the run, or if its timings are known
already. The choice is written into the ``config.toml`` of the run, so a resumed run uses it without a trial.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from convatlas.message import Message, joined
from convatlas.runs.options import RunOptions
from convatlas.training import Hardware, compilation, hardware, trial
from convatlas.training.trial import Timing, Update, UpdateMode

PrepareUpdate = Callable[[UpdateMode], Update]  # returns the update of a copy of the run's network in that mode


def open_modes(options: RunOptions, predicted: Hardware) -> list[UpdateMode]:
    """Return the modes that the options leave open, the predicted one first."""
    precision = [predicted.precision]
    if options.precision == "auto" and predicted.precision == "bf16":
        precision.append("fp32")  # without bf16 instructions autocast is always slower
    layouts = [predicted.channels_last] if options.channels_last is not None else [True, False]
    return trial.update_modes(precision, layouts)


def trial_key(network: str, shape: tuple[int, ...], predicted: Hardware, modes: list[UpdateMode]) -> str:
    """Return the key of a trial's timings: machine, software, network, batch, and the modes that are compared."""
    machine = f"{hardware.processor_name(predicted.device)}, {predicted.threads} threads, torch {torch.__version__}"
    batch = " x ".join(str(side) for side in shape)
    return f"{machine}; {network}, {batch}; {predicted.allocator}; {'; '.join(str(mode) for mode in modes)}"


def choose_update_mode(
    predicted: Hardware,
    options: RunOptions,
    network: str,
    shape: tuple[int, ...],
    updates: int,
    prepare_update: PrepareUpdate,
    cache: Path,
) -> Hardware:
    """Return ``predicted`` with the fastest mode for ``updates`` updates on batches of ``shape`` (N, C, H, W).

    The field ``why`` contains the timings.

    Raises:
        UsageError: the options ask for compiling, and it does not work here.
    """
    records, modes = trial.Records(cache), open_modes(options, predicted)
    key = trial_key(network, shape, predicted, modes)
    timings = records.get(key) if options.trial else []
    from_cache = bool(timings)
    undecided = options.trial and (len(modes) > 1 or options.compile == "auto")
    if not timings and undecided and trial.worth_a_trial(len(modes), updates):
        timings = trial.measure(modes, prepare_update)
        records.put(key, timings)
    if not timings:
        return dataclasses.replace(predicted, compile=options.compile == "on")
    best = trial.fastest(timings)
    lines = "; ".join(timing.describe(shape[0]) for timing in timings)
    measured = Message("an earlier trial: {timings}" if from_cache else "a trial: {timings}", timings=lines)
    compile_it, why_compile = _decide_compiling(options, best, updates, records, key, prepare_update, predicted.device)
    return dataclasses.replace(
        predicted,
        precision=best.mode.precision,
        channels_last=best.mode.channels_last,
        compile=compile_it,
        why=joined((part for part in (predicted.why, measured, why_compile, *records.notes) if part), "; "),
    )


def _decide_compiling(
    options: RunOptions,
    eager: Timing,
    updates: int,
    records: trial.Records,
    key: str,
    prepare_update: PrepareUpdate,
    device: str,
) -> tuple[bool, str]:
    """Decide whether to compile. Returns the decision and the reason for it."""
    if options.compile != "auto":
        return options.compile == "on", ""
    if not trial.worth_compiling_a_trial(eager, updates):
        return False, ""
    if reason := compilation.obstacle(device):
        return False, reason
    mode = dataclasses.replace(eager.mode, compiled=True)
    timings = records.get(f"{key}; {mode}")
    if not timings:
        timings = trial.measure([mode], prepare_update)
        records.put(f"{key}; {mode}", timings)
    compiled = timings[0]
    repaid = trial.repays(compiled, eager, updates)
    return repaid, Message(
        "compiling takes {compile_s:.0f} s and saves {saved:.0f} s of {eager:.0f} s: compiled"
        if repaid
        else "compiling takes {compile_s:.0f} s and saves {saved:.0f} s of {eager:.0f} s: not compiled",
        compile_s=compiled.compile_s,
        saved=(eager.update_s - compiled.update_s) * updates,
        eager=eager.update_s * updates,
    )
