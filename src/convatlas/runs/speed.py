"""Which way of computing an update is the fastest for this network here, where the run is long enough to ask.

What the user leaves open (``precision`` auto, ``channels_last`` not given, ``compile`` auto) is chosen by the
instruction set, and then by a trial of a few updates if that costs at most two hundredths of the run, or was made
before. What was chosen is written into the run's ``config.toml``, so a resumed run computes as it began.
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

Rehearse = Callable[[UpdateMode], Update]  # an update of the run's network, of a copy of it, computed that way


def open_ways(options: RunOptions, here: Hardware) -> list[UpdateMode]:
    """What the options leave open, what the instruction set suggests first."""
    precision = [here.precision]
    if options.precision == "auto" and here.precision == "bf16":
        precision.append("fp32")  # without bf16 instructions autocast is slower, however long one measures
    layouts = [here.channels_last] if options.channels_last is not None else [True, False]
    return trial.update_modes(precision, layouts)


def trial_key(network: str, shape: tuple[int, ...], here: Hardware, tried: list[UpdateMode]) -> str:
    """What a measurement belongs to: machine, software, network, batch, and the update_modes that were compared."""
    of_machine = f"{hardware.processor_name(here.device)}, {here.threads} threads, torch {torch.__version__}"
    batch = " x ".join(str(side) for side in shape)
    return f"{of_machine}; {network}, {batch}; {here.allocator}; {'; '.join(str(way) for way in tried)}"


def settle(
    here: Hardware,
    options: RunOptions,
    network: str,
    shape: tuple[int, ...],
    updates: int,
    rehearse: Rehearse,
    cache: Path,
) -> Hardware:
    """``here`` with what is fastest for ``updates`` updates on batches of ``shape`` (N, C, H, W); ``why`` says why.

    Raises:
        UsageError: compiling was asked for, and does not work here.
    """
    records, tried = trial.Records(cache), open_ways(options, here)
    key = trial_key(network, shape, here, tried)
    found = records.get(key) if options.trial else []
    before = bool(found)
    asked = options.trial and (len(tried) > 1 or options.compile == "auto")
    if not found and asked and trial.worth_a_trial(len(tried), updates):
        found = trial.measure(tried, rehearse)
        records.put(key, found)
    if not found:
        return dataclasses.replace(here, compile=options.compile == "on")
    best = trial.fastest(found)
    said = "; ".join(timing.line(shape[0]) for timing in found)
    measured = Message("an earlier trial: {said}" if before else "a trial: {said}", said=said)
    compile_it, why_compile = _compiling(options, best, updates, records, key, rehearse, here.device)
    return dataclasses.replace(
        here,
        precision=best.way.precision,
        channels_last=best.way.channels_last,
        compile=compile_it,
        why=joined((part for part in (here.why, measured, why_compile, *records.notes) if part), "; "),
    )


def _compiling(
    options: RunOptions, eager: Timing, updates: int, records: trial.Records, key: str, rehearse: Rehearse, device: str
) -> tuple[bool, str]:
    """Whether to compile, and why in words."""
    if options.compile != "auto":
        return options.compile == "on", ""
    if not trial.worth_compiling_a_trial(eager, updates):
        return False, ""  # too short a run to ask
    if reason := compilation.obstacle(device):
        return False, reason
    way = dataclasses.replace(eager.way, compiled=True)
    found = records.get(f"{key}; {way}")
    if not found:
        found = trial.measure([way], rehearse)
        records.put(f"{key}; {way}", found)
    repaid = trial.repays(found[0], eager, updates)
    saved = (eager.update_s - found[0].update_s) * updates
    return repaid, Message(
        "compiling takes {compile_s:.0f} s and saves {saved:.0f} s of {eager:.0f} s: done"
        if repaid
        else "compiling takes {compile_s:.0f} s and saves {saved:.0f} s of {eager:.0f} s: left out",
        compile_s=found[0].compile_s,
        saved=saved,
        eager=eager.update_s * updates,
    )
