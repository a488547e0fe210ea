"""Model the time of an ImageNet training on n devices from the training rate of one.

It makes the table of docs/en/how-to/cost-model.md:

    python benchmarks/cost_model.py --model resnet50 --images-per-s 400 --gb-per-s 25
    python benchmarks/cost_model.py --model resnet50 --batch 8 --measure --gb-per-s 1.25

The first command uses a training rate that was measured elsewhere. The second measures the rate of this machine:
forward, loss, backward and update, with the images already in memory. The bytes of the gradients are derived from the
network's parameters. The bandwidth of each device in the all-reduce is given by the user, so it is an assumption.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass

import torch

from convatlas import models, training, units
from convatlas.batch import Batch
from convatlas.training import losses
from timing import interleaved_seconds

IMAGENET = 1_281_167  # training images of ILSVRC2012 (Russakovsky et al., arXiv:1409.0575, table 2)
# fraction of an update: two products for each one of the forward pass; the optimizer is neglected
BACKWARD = 2 / 3


@dataclass(frozen=True)
class Cost:
    """Times of one training in seconds: ``hidden`` with full overlap of the all-reduce, ``exposed`` without any."""

    devices: int
    compute_s: float
    all_reduce_s: float
    step_hidden_s: float
    step_exposed_s: float
    training_hidden_s: float
    training_exposed_s: float
    efficiency_hidden: float  # images per second and device, relative to a single device
    efficiency_exposed: float
    images_per_s: float  # over all devices, which the input must deliver, with overlap


def cost(devices: int, batch: int, images_per_s: float, gradient_bytes: int, bytes_per_s: float, epochs: int) -> Cost:
    """The formulas 1 to 4 of docs/en/how-to/cost-model.md."""
    compute = batch / images_per_s
    all_reduce = 2 * (devices - 1) / devices * gradient_bytes / bytes_per_s
    hidden = compute + max(0.0, all_reduce - BACKWARD * compute)
    exposed = compute + all_reduce
    steps = epochs * -(-IMAGENET // (devices * batch))
    return Cost(
        devices, compute, all_reduce, hidden, exposed, steps * hidden, steps * exposed, compute / hidden,
        compute / exposed, devices * batch / hidden,
    )  # fmt: skip


def measure_rate(model: str, batch: int, updates: int) -> tuple[float, dict[str, object]]:
    """Training rate of this machine in images per second: median of ``updates`` updates, after three for warm-up."""
    hardware = training.apply(training.choose())
    entry = models.entry(model)
    torch.manual_seed(0)
    net = hardware.place(models.create_model(model, num_classes=1000)).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, foreach=True)
    images = torch.randn(batch, *entry.input, device=hardware.device)
    images = images.contiguous(memory_format=torch.channels_last) if hardware.channels_last else images
    labels = torch.randint(0, 1000, (batch,), device=hardware.device)

    def update() -> None:
        result = training.train_step(
            net, Batch(images, labels), losses.cross_entropy(), optimizer, autocast=hardware.autocast()
        )
        float(result.loss)  # waits for the device

    return batch / interleaved_seconds({"update": update}, updates, warm_up_rounds=3)["update"], hardware.to_dict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batch", type=int, default=32, help="images per device and update")
    parser.add_argument("--epochs", type=int, default=90)
    rate = parser.add_mutually_exclusive_group(required=True)
    rate.add_argument("--images-per-s", type=float, help="training rate of one device")
    rate.add_argument("--measure", action="store_true", help="measure the rate on this machine")
    parser.add_argument("--updates", type=int, default=5, help="number of measured updates")
    parser.add_argument(
        "--gb-per-s", type=float, required=True, help="bandwidth of each device in the all-reduce, in 1e9 bytes/s"
    )
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    with torch.device("meta"):
        net = models.create_model(options.model, num_classes=1000)
    gradient_bytes = 4 * sum(parameter.numel() for parameter in net.parameters())
    hardware: dict[str, object] = {}
    images_per_s = options.images_per_s
    if options.measure:
        images_per_s, hardware = measure_rate(options.model, options.batch, options.updates)
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
