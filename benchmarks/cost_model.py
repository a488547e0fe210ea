"""What an ImageNet training costs on n devices, from the measured rate of one: docs/cost-model.md as a table.

    python benchmarks/cost_model.py --model resnet50 --images-per-s 400 --gb-per-s 25
    python benchmarks/cost_model.py --model resnet50 --batch 8 --measure --gb-per-s 1.25

The first fills the table from a rate measured elsewhere; the second measures the training rate of this machine first
(forward, loss, backward and update on images that are already there). Derived: the bytes of the gradients, by counting
the network's parameters. Given by the caller, and so assumed: the bandwidth each device has for the all-reduce.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass

import torch

from convatlas import models, training, units
from convatlas.batch import Batch
from convatlas.training import losses

IMAGENET = 1_281_167  # training images of ILSVRC2012 (Russakovsky et al., arXiv:1409.0575, table 2)
BACKWARD = 2 / 3  # share of a step: backward makes two products where forward makes one; update left out


@dataclass(frozen=True)
class Cost:
    """Of one training on ``devices`` devices, each with ``batch`` images; times in seconds."""

    devices: int
    compute_s: float
    all_reduce_s: float
    step_hidden_s: float  # the all-reduce hidden behind the backward pass as far as that lasts
    step_exposed_s: float  # nothing hidden
    training_hidden_s: float
    training_exposed_s: float
    efficiency_hidden: float  # images per second and device, relative to one device by itself
    efficiency_exposed: float
    images_per_s: float  # of all together, that the input must deliver; hidden


def cost(devices: int, batch: int, images_per_s: float, gradient_bytes: int, bytes_per_s: float, epochs: int) -> Cost:
    """docs/cost-model.md, equations 1 to 4."""
    compute = batch / images_per_s
    all_reduce = 2 * (devices - 1) / devices * gradient_bytes / bytes_per_s
    hidden = compute + max(0.0, all_reduce - BACKWARD * compute)
    exposed = compute + all_reduce
    steps = epochs * -(-IMAGENET // (devices * batch))
    return Cost(
        devices, compute, all_reduce, hidden, exposed, steps * hidden, steps * exposed, compute / hidden,
        compute / exposed, devices * batch / hidden,
    )  # fmt: skip


def measured(model: str, batch: int, updates: int) -> tuple[float, dict[str, object]]:
    """Images per second of this machine in training; the median of ``updates`` updates after three to warm up."""
    hardware = training.apply(training.choose())
    entry = models.entry(model)
    torch.manual_seed(0)
    net = hardware.place(models.create_model(model, num_classes=1000)).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, foreach=True)
    images = torch.randn(batch, *entry.input, device=hardware.device)
    images = images.contiguous(memory_format=torch.channels_last) if hardware.channels_last else images
    labels = torch.randint(0, 1000, (batch,), device=hardware.device)
    subject = Batch(images, labels)
    times = []
    for _ in range(3 + updates):
        clock = time.perf_counter()
        autocast = hardware.autocast()
        result = training.train_step(net, subject, losses.cross_entropy(), optimizer, autocast=autocast)
        float(result.loss)  # waits for the device
        times.append(time.perf_counter() - clock)
    return batch / statistics.median(times[3:]), hardware.to_dict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batch", type=int, default=32, help="images per device and update")
    parser.add_argument("--epochs", type=int, default=90)
    rate = parser.add_mutually_exclusive_group(required=True)
    rate.add_argument("--images-per-s", type=float, help="training rate of one device, measured elsewhere")
    rate.add_argument("--measure", action="store_true", help="measure it here")
    parser.add_argument("--updates", type=int, default=5, help="updates to measure")
    parser.add_argument("--gb-per-s", type=float, required=True, help="bandwidth of the all-reduce per device, 1e9 B/s")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    with torch.device("meta"):
        net = models.create_model(options.model, num_classes=1000)
    gradient_bytes = 4 * sum(parameter.numel() for parameter in net.parameters())
    hardware: dict[str, object] = {}
    images_per_s = options.images_per_s
    if options.measure:
        images_per_s, hardware = measured(options.model, options.batch, options.updates)
    rows = [
        cost(n, options.batch, images_per_s, gradient_bytes, 1e9 * options.gb_per_s, options.epochs)
        for n in options.devices
    ]
    if options.json:
        print(json.dumps({"images_per_s": images_per_s, "gradient_bytes": gradient_bytes, "hardware": hardware,
                          "rows": [asdict(row) for row in rows]}, indent=2))  # fmt: skip
        return
    print(f"{options.model}, {options.batch} images per device, {options.epochs} epochs of {IMAGENET:,} images")
    print(f"one device: {images_per_s:,.2f} images/s ({'measured here' if options.measure else 'given'})")
    print(
        f"gradients: {gradient_bytes:,} bytes (derived); all-reduce at {options.gb_per_s:g} GB/s per device (given)\n"
    )
    print("| devices | compute | all-reduce | step | efficiency | training | input needed |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row.devices} | {units.duration(row.compute_s)} | {1e3 * row.all_reduce_s:,.0f} ms "
            f"| {row.step_hidden_s:.3f} to {row.step_exposed_s:.3f} s "
            f"| {units.percent(row.efficiency_hidden)} to {units.percent(row.efficiency_exposed)} "
            f"| {row.training_hidden_s / 3600:,.1f} to {row.training_exposed_s / 3600:,.1f} h "
            f"| {row.images_per_s:,.0f} images/s |"
        )


if __name__ == "__main__":
    main()
