"""convatlas bench: the speed of this machine on these networks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from convatlas import units
from convatlas.cli._common import debug_option, json_option, print_json, print_table
from convatlas.cli._completion import network_names
from convatlas.cli._exported import is_exported, refuse_flags
from convatlas.cli._lang import lang_option
from convatlas.cli.train import settings_options
from convatlas.errors import UsageError
from convatlas.i18n import _, translated
from convatlas.message import Message
from convatlas.tables import Column

if TYPE_CHECKING:
    from convatlas.comparison.speed import MachineSpeed, Speed
    from convatlas.training import Hardware

Choice = tuple[str, str, str]  # what was chosen, its value, why


@click.command("bench", context_settings={"max_content_width": 110})
@click.argument("names", nargs=-1, metavar="[NAME|FILE]...", shell_complete=network_names)
@click.option("--batch-size", type=click.IntRange(1),
              help="Images of a batch; by default 128 up to 64 pixels and 16 above, 8 times that on GPUs.")  # fmt: skip
@click.option("--image-size", type=click.IntRange(1), help="Side of the images; each network's own by default.")
@click.option("--time", "seconds", type=float, default=15.0, show_default=True,
              help="Seconds of measurement for each network, without set-up and warm-up.")  # fmt: skip
@click.option("--fit-latency", is_flag=True,
              help="Fit the latency model of this machine for  convatlas compare --candidates auto.")  # fmt: skip
@settings_options("device", "threads", "precision", "channels_last", "allocator")
@json_option
@lang_option
@debug_option
def command(
    names: tuple[str, ...],
    batch_size: int | None,
    image_size: int | None,
    seconds: float,
    fit_latency: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure the speed of networks on this machine, and compare it with the machine's peak.

    Training speed is that of whole updates on random images: forward, backward and SGD, without reading and
    augmentation. The peak is measured by a product of two large matrices and a copy of a large tensor. Without a NAME a
    network for small images and one for large ones are timed. Of an exported FILE latency, images per second, memory
    and start-up are measured.

    \b
    convatlas bench
    convatlas bench resnet50 squeezenet1_1 --batch-size 32 --time 30
    convatlas bench exported/model.onnx --threads 1 --time 5
    convatlas bench lenet5 --precision fp32 --threads 1 --json
    convatlas bench --fit-latency
    """
    if not 0 < seconds < float("inf"):
        raise UsageError("--time {seconds:g}: seconds above 0 are expected.", seconds=seconds)
    if fit_latency:
        if names:
            raise UsageError("--fit-latency measures networks of its own. Leave the names out.")
        _fit_latency(settings["threads"], as_json)
        return
    if any(map(is_exported, names)):
        bench_files(names, batch_size, {"image_size": image_size, **settings}, seconds, as_json)
        return
    from convatlas.comparison.speed import DEFAULT_NETWORKS, measure_speed
    from convatlas.models import entry
    from convatlas.training import apply, choose
    from convatlas.training.hardware import restored_threads

    names = names or DEFAULT_NETWORKS
    for name in names:
        entry(name)  # an unknown name is reported before anything is measured
    given = {key: value for key, value in settings.items() if value is not None}
    with restored_threads():
        speed = measure_speed(
            names,
            apply(choose(**given)),
            batch_size=batch_size,
            image_size=image_size,
            time_s=seconds,
            on_stage=lambda text: click.echo(translated(text), err=True),
        )
    choices = chosen(speed.hardware, given)
    if as_json:
        rows = [{"what": what, "value": value, "why": why} for what, value, why in choices]
        print_json({**speed.to_dict(), "chosen": rows})
    else:
        show(speed, choices)


def bench_files(
    files: tuple[str, ...], batch_size: int | None, settings: dict[str, Any], seconds: float, as_json: bool
) -> None:
    """The speed of exported files, each in its own engine and precision."""
    from convatlas.deployed.output import print_speeds
    from convatlas.deployed.speed import measure

    others = [name for name in files if not is_exported(name)]
    if others:
        raise UsageError(
            "{network} is a network and {file} an exported file: time them in two commands.",
            network=others[0],
            file=next(filter(is_exported, files)),
        )
    threads = settings.pop("threads")
    refuse_flags(files[0], settings)
    speeds = [measure(file, batch_size=batch_size or 1, threads=threads, time_s=seconds) for file in files]
    print_speeds(speeds, as_json)


def _fit_latency(threads: int | None, as_json: bool) -> None:
    """Fit the latency model anew and store it in the cache folder."""
    from convatlas.comparison.latency_model import LatencyModels, fit_latency_model
    from convatlas.training import apply, choose
    from convatlas.training.hardware import restored_threads

    with restored_threads():
        apply(choose(threads=threads))
        model = fit_latency_model(on_stage=lambda text: click.echo(translated(text), err=True))
    store = LatencyModels()
    store.put(model)
    operators = sum(map(len, model.operators))
    if as_json:
        print_json(
            {
                "latency_model": {
                    "machine": dict(model.machine),
                    "networks": list(model.fit_networks),
                    "operators": operators,
                    "fit_s": model.fit_s,
                    "file": str(store.path),
                }
            }
        )
        return
    click.echo(
        _(
            "Latency model of {cpu}, {threads} threads, torch {torch}: {operators} operators of {count} networks, "
            "measured in {time}. Stored in {path}.",
            cpu=model.machine["cpu"],
            threads=model.machine["threads"],
            torch=model.machine["torch"],
            operators=units.exact(operators),
            count=len(model.fit_networks),
            time=units.duration(model.fit_s),
            path=store.path,
        )
    )


def chosen(hardware: Hardware, given: dict[str, Any]) -> list[Choice]:
    """How the networks compute here, and why so."""
    if "threads" in given:
        why_threads = Message("set by an option")
    elif "OMP_NUM_THREADS" in os.environ:
        why_threads = Message("set by OMP_NUM_THREADS")
    else:
        why_threads = Message("one per core that this process may use; a second thread per core is not faster")
    asked = (
        Message("set by an option")
        if "channels_last" in given
        else Message("convolutions compute in it without reordering")
    )
    if given.get("allocator") is False:
        why_kept = Message("set by an option")
    elif hardware.keeps_freed_memory:
        why_kept = Message("the memory of large tensors is not mapped again for every operator")
    else:
        why_kept = Message("the system's allocator cannot be told to keep freed memory, or tensors lie on the GPU")
    layout = Message("channels last") if hardware.channels_last else Message("channels first")
    why_huge = (
        Message("fewer page faults and address look-ups")
        if hardware.huge_pages
        else Message("not available on this system, or turned off")
    )
    return [
        (Message("precision"), hardware.precision, hardware.why),
        (Message("memory format"), layout, asked),
        (Message("threads"), str(hardware.threads), why_threads),
        (
            Message("allocator"),
            Message("keeps freed memory") if hardware.keeps_freed_memory else Message("system default"),
            why_kept,
        ),
        (Message("huge pages"), Message("yes") if hardware.huge_pages else Message("no"), why_huge),
    ]


def show(speed: Speed, choices: list[Choice]) -> None:
    precision = speed.hardware.precision
    title = _("{processor}; measured: the median, and what 8 of 10 calls lie between", processor=speed.processor)
    columns = (
        Column(_("network")),
        Column(_("input"), drop=4),
        Column(_("batch"), number=True, drop=2),
        Column(_("training, images/s"), number=True),
        Column(_("inference, images/s"), number=True, drop=1),
        Column(_("one image, ms"), number=True, drop=3),
        Column(_("of the matrix peak"), number=True, drop=5),
    )
    rows = (
        (
            each.model,
            "x".join(map(str, each.input)),
            each.batch_size,
            with_spread(each.training.rate(each.batch_size)),
            with_spread(each.inference.rate(each.batch_size)),
            with_spread(each.single.milliseconds()),
            units.percent(each.share(speed.machine, precision), 1),
        )
        for each in speed.networks
    )
    print_table(columns, rows, title)
    click.echo()
    show_machine(speed.machine)
    click.echo()
    print_table((Column(_("chosen")), Column(_("value"), wraps=True), Column(_("why"), wraps=True)), choices)
    click.echo()
    click.echo(
        _(
            "of the matrix peak: derived, 6 * MACs * images/s of training over the {precision} matrix product; "
            "an update is about three forward passes of 2 operations a multiply-add",
            precision=precision,
        )
    )
    click.echo(_("A wide range means that other programs used the machine; all speeds are then too low."))


def show_machine(machine: MachineSpeed) -> None:
    """What the machine does at best: products in each precision, and the copy."""
    rows = [
        (
            _("matrix product, {precision}", precision=precision),
            with_spread(machine.flops_per_s(precision), 1e9) + " GFLOP/s",
            _("{side} x {side}; a multiply-add is two operations", side=machine.sides[precision]),
        )
        for precision in machine.products
    ]
    copied = machine.to_dict()["copy_bytes_per_s"]
    rows.append((_("memory"), with_spread(copied, 1e9) + " GB/s", _("copy of 256 MiB; what is read and written")))
    columns = (Column(_("this machine")), Column(_("measured"), number=True), Column(_("details"), drop=1, wraps=True))
    print_table(columns, rows)


def with_spread(figure: dict[str, float], unit: float = 1.0) -> str:
    """``1,204 (1,150 to 1,231)``."""
    median, low, high = (digits(figure[key] / unit) for key in ("median", "low", "high"))
    return f"{median} ({_('{low} to {high}', low=low, high=high)})"


def digits(value: float) -> str:
    """Three significant digits, none of a whole part left out."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
