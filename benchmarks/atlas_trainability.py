"""Test whether every network of the atlas can learn; writes one JSON line per network and attempt.

    python benchmarks/atlas_trainability.py photos ../shared/data/photos results/atlas/overfit_32_photos.jsonl [NAME...]
    python benchmarks/atlas_trainability.py cifar CIFAR results/atlas/three_epochs_cifar10.jsonl [NAME...]

photos  A network made for ImageNet overfits 32 photos, one per class: all 32 in one batch, no dropout, no weight decay,
        auxiliary heads in the loss. It passes when a training step classifies all 32 correctly. The first attempt uses
        the paper's initialisation; if it fails, the second uses the modern one. Networks in `MODERN_FIRST` use the
        modern initialisation first.
cifar   A network made for small images trains for 3 epochs with the modern recipe on a part of CIFAR-10. GoogLeNet is
        included, at 96 pixels and with its auxiliary heads in the loss. A network passes when the loss decreases and
        more than 35 % of 2,000 test images are classified correctly (chance: 10 %).

Images are smaller where the full size would take hours; the records have the size. Lines are appended one by one, so an
interruption loses nothing. Networks with a line are skipped, unless they are named and have not passed.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import convatlas as ca
from convatlas import data, training
from convatlas.batch import Batch
from convatlas.data import Augmentation, Batches
from convatlas.models import entry
from convatlas.recipes.registry import recipe_for
from convatlas.runs.prepare import build_schedule
from convatlas.training import Hardware, losses, optim
from convatlas.training.schedule import Progress

Record = dict[str, Any]

PHOTOS, UPDATES, WARM_UP = 32, 500, 10
# the loss of chance is ln 32; an attempt that is still there after PATIENCE updates is stopped
PLATEAU, PATIENCE = math.log(PHOTOS) - 0.1, 100
# image sides at which the last maps have more than one pixel, or the fully connected layers fit; 64 for other families
SIDES = {"alexnet": 99, "zfnet": 95, "googlenet": 96, "inception_v3": 128, "inception_v4": 128}
HEAVY = {"vgg": 32, "prelu_net": 32}  # families whose networks take seconds per update at 64 pixels
# divisors of the learning rate for the paper's initialisation. The paper warms up 110 layers at a tenth of its rate,
# because the full rate is too large at first (1512.03385, section 4.2); densenet100_k24's loss rose at the full rate
LR_DIVISOR = {
    **dict.fromkeys(("resnet110_cifar", "resnet1202_cifar"), 3.0),
    "densenet_bc250_k24_cifar": 2.0,
}
LR_FACTOR_MODERN = {"resnet1202_cifar": 2.0}  # for the modern initialisation: 281 updates are few
# networks that try the modern initialisation first, because the paper's does not start from scratch or is known to
# fail; the reasons go into the records
A_FIRST = "the paper starts the deeper nets from a trained A (1409.1556, section 3.1)"
RECTIFIED = "rectified logits: from the printed start classes fall below zero for good"
SMALL_FIRST = "the small first weights of its fully connected layers are for images in [-128, 128] (section 2.2)"
WIDE = "the widest: from the printed start, at its rate, the loss of densenet100_k24 rose for an epoch"
SUMMED = "600 normalised branches add up: from the printed start the first logits are tens"
DEGRADED = "a deep plain net: the rate that suits the printed start sends it to the plateau"
MODERN_FIRST = {
    **dict.fromkeys(("vgg13", "vgg16_c", "vgg16", "vgg19"), A_FIRST),
    **dict.fromkeys(("squeezenet_simple_bypass", "squeezenet_complex_bypass", "nin_cifar"), RECTIFIED),
    **dict.fromkeys(("prelu_net_a", "prelu_net_a@relu", "prelu_net_b", "prelu_net_c"), SMALL_FIRST),
    **dict.fromkeys(("plain56_cifar", "plain110_cifar"), DEGRADED),
    "resnet1202_cifar": SUMMED,
    **dict.fromkeys(("densenet100_k24_cifar", "densenet_bc190_k40_cifar"), WIDE),
    "googlenet": "no batch norm to make up for Caffe's xavier in so few updates",
}

EPOCHS, TEST_IMAGES, BATCH, PASSED = 3, 2000, 32, 0.35
# (training images, image size); less for networks that take long
FULL = (5000, 32)
REDUCED = {
    **{f"resnet{depth}_cifar": (5000, 16) for depth in (20, 32, 44, 56, 110)},
    # the deeper a plain network, the slower it learns, as the paper reports
    "plain20_cifar": (5000, 16),
    "plain32_cifar": (10000, 16),
    "plain44_cifar": (15000, 16),
    "plain56_cifar": (20000, 16),
    "plain110_cifar": (10000, 16),
    "nin_cifar": (15000, 16),
    "googlenet": (5000, 96),
    "densenet40_k12_cifar": (4000, 16),
    "densenet40_k12_cifar@torch": (4000, 16),
    "densenet_bc100_k12_cifar": (4000, 16),
    "densenet100_k12_cifar": (2500, 8),
    "densenet100_k24_cifar": (2000, 8),
    "densenet_bc250_k24_cifar": (2000, 8),
    "densenet_bc190_k40_cifar": (2000, 8),
    "resnet1202_cifar": (3000, 8),
}


def photos(folder: Path, side: int) -> Tensor:
    """(32, 3, side, side), standardised: the first photo of each of the first 32 classes."""
    files = [next(iter(sorted(child.glob("*.[jJ]*")))) for child in sorted(folder.iterdir()) if child.is_dir()]
    pixels = [np.asarray(Image.open(file).convert("RGB").resize((side, side))) for file in files[:PHOTOS]]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
    return (images - images.mean()) / images.std()


def photo_side(name: str) -> int:
    family = entry(name).family
    if family in HEAVY and not normalised(name):
        return HEAVY[family]
    return 64 if name == "alexnet@torchvision" else SIDES.get(family, 64)


def starts(name: str, printed: float, modern: float) -> list[tuple[str, float]]:
    """Both initialisations with their learning rates, in the order in which they are tried."""
    order = [("printed", printed), ("modern", modern)]
    return order[::-1] if name in MODERN_FIRST else order


def overfit(name: str, folder: Path, hardware: Hardware, limit_s: float) -> Iterator[Record]:
    """The attempts of the question ``photos``: the second only if the first fails."""
    images = photos(folder, photo_side(name)).to(memory_format=torch.channels_last)
    lr = 1e-3 if normalised(name) else 5e-4
    for init, rate in starts(name, lr, lr / 3):
        record = overfit_attempt(name, images, init, "adamw", rate, hardware, limit_s)
        yield record
        if record["passed"]:
            return


def normalised(name: str) -> bool:
    with torch.device("meta"):
        return any(isinstance(module, nn.BatchNorm2d) for module in ca.create_model(name).modules())


def overfit_attempt(
    name: str, images: Tensor, init: str, optimizer_name: str, lr: float, hardware: Hardware, limit_s: float
) -> Record:
    """Update on one batch until all 32 are classified correctly, the loss stays on its plateau, or time is over."""
    torch.manual_seed(0)
    net = hardware.place(ca.create_model(name, num_classes=PHOTOS, image_size=images.shape[2], init=init)).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    optimizer = optim.build(optimizer_name, optim.parameter_groups(net, weight_decay=0.0), lr=lr)
    labels, loss_fn = torch.arange(PHOTOS), losses.cross_entropy()
    batch_losses, hits, start = [], 0, time.process_time()
    while hits < PHOTOS and len(batch_losses) < UPDATES and time.process_time() - start < limit_s:
        optim.set_lr(optimizer, lr * min(1.0, (len(batch_losses) + 1) / WARM_UP))
        result = training.train_step(
            net, Batch(images, labels), loss_fn, optimizer, autocast=hardware.autocast(), max_grad_norm=1.0
        )
        batch_losses.append(float(result.loss))
        hits = int(result.hits)
        on_plateau = len(batch_losses) == PATIENCE and min(batch_losses) > PLATEAU
        if not math.isfinite(batch_losses[-1]) or on_plateau:
            break
    return {
        "network": name,
        "init": init,
        "images": PHOTOS,
        "image_size": images.shape[2],
        "optimizer": optimizer_name,
        "lr": round(lr, 6),
        "updates": len(batch_losses),
        "first_loss": round(batch_losses[0], 4),
        "last_loss": round(batch_losses[-1], 4),
        "train_top1": hits / PHOTOS,
        "passed": hits == PHOTOS,
        "cpu_s": round(time.process_time() - start, 1),
    }


def three_epochs(name: str, dataset: data.Dataset, hardware: Hardware, limit_s: float) -> Iterator[Record]:
    """The attempts of the question ``cifar``: the second only if the first fails.

    With the modern initialisation, the learning rate is a third with batch norm and three times as large without.
    """
    count, side = REDUCED.get(name, FULL)
    recipe = recipe_for(name).change(batch_size=BATCH)
    lr = (
        recipe.lr * BATCH / 128 if recipe.optimizer == "sgd" else recipe.lr / 2
    )  # the batches are smaller than the recipe's
    for init, rate in starts(
        name, lr / LR_DIVISOR.get(name, 1.0), LR_FACTOR_MODERN.get(name, 1.0) * (lr / 3 if normalised(name) else lr * 3)
    ):
        record = three_epochs_attempt(
            name, dataset, count, side, init, recipe.change(epochs=EPOCHS, lr=rate), hardware, limit_s
        )
        yield record
        if record["passed"]:
            return


def three_epochs_attempt(
    name: str,
    dataset: data.Dataset,
    count: int,
    side: int,
    init: str,
    recipe: ca.Recipe,
    hardware: Hardware,
    limit_s: float,
) -> Record:
    """Train on the first ``count`` training images, test on the first 2,000 test images."""
    train, test = (np.flatnonzero(dataset.parts == part)[:n] for part, n in (("train", count), ("test", TEST_IMAGES)))
    preprocessing = data.preprocessing_for(dataset, side, dataset.channels)
    store = data.load_images(dataset, preprocessing)
    preprocessing = preprocessing.with_stats(*data.channel_stats(store, train))
    batches = Batches(
        store,
        dataset.labels,
        train,
        batch_size=recipe.batch_size,
        preprocessing=preprocessing,
        augment=Augmentation(pad=0, flip="on"),
        drop_last=True,
    )
    held_out = Batches(store, dataset.labels, test, batch_size=250, preprocessing=preprocessing, shuffle=False)

    torch.manual_seed(0)
    net = hardware.place(ca.create_model(name, in_channels=dataset.channels, image_size=side, init=init)).train()
    optimizer = optim.build(
        recipe.optimizer,
        optim.parameter_groups(net, recipe.weight_decay),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
    )
    schedule, loss_fn = build_schedule(recipe), losses.cross_entropy()
    per_epoch: list[float] = []
    step, start = 0, time.process_time()
    for epoch in range(EPOCHS):
        batch_losses = []
        for batch in batches.epoch(epoch):
            progress = Progress(step, len(batches), EPOCHS * len(batches), [])
            optim.set_lr(optimizer, recipe.lr * schedule(progress))
            result = training.train_step(
                net, batch, loss_fn, optimizer, autocast=hardware.autocast(), max_grad_norm=5.0
            )
            batch_losses.append(float(result.loss))
            step += 1
            if not math.isfinite(batch_losses[-1]) or time.process_time() - start > limit_s:
                break
        per_epoch.append(round(sum(batch_losses) / len(batch_losses), 4))
        if len(batch_losses) < len(batches):
            break
    top1 = accuracy(net, held_out, hardware)
    finished = step == EPOCHS * len(batches)
    return {
        "network": name,
        "init": init,
        "images": count,
        "image_size": side,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer,
        "lr": round(recipe.lr, 6),
        "updates": step,
        "loss_by_epoch": per_epoch,
        "test_images": len(test),
        "test_top1": round(top1, 4),
        "passed": finished and per_epoch[-1] < per_epoch[0] and top1 > PASSED,
        "cpu_s": round(time.process_time() - start, 1),
    }


@torch.inference_mode()
def accuracy(net: nn.Module, batches: Batches, hardware: Hardware) -> float:
    net.eval()
    hits = images = 0
    for pixels, labels, _ in batches.epoch(0):
        with hardware.autocast():
            logits = net(pixels)
        hits += int((logits.argmax(1) == labels).sum())
        images += len(labels)
    return hits / images


def tested_networks(classes: int) -> list[str]:
    """The cheapest first; networks with batch norm need a tenth of the updates."""
    names = [name for name in ca.list_models() if is_tested(name, classes)]
    return sorted(names, key=lambda name: cost(name) * (1 if normalised(name) else 10))


def is_tested(name: str, classes: int) -> bool:
    """Whether the test with that many classes includes a network; both tests include GoogLeNet."""
    return entry(name).num_classes == classes or (classes == 10 and name == "googlenet")


def cost(name: str) -> float:
    """Approximate multiply-adds of the forward pass of one image."""
    line = entry(name)
    side = photo_side(name) if line.num_classes == 1000 else REDUCED.get(name, FULL)[1]
    return line.macs * (side / line.input[1]) ** 2


def attempts(record: Path) -> list[Record]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def append(record: Path, lines: Iterable[Record], hardware: Hardware) -> None:
    for line in lines:
        run = {"precision": hardware.precision, "threads": hardware.threads, "torch": torch.__version__}
        why = {"why_modern_first": MODERN_FIRST[line["network"]]} if line["network"] in MODERN_FIRST else {}
        text = json.dumps(line | run | why)
        with record.open("a") as file:
            file.write(text + "\n")
        print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=("photos", "cifar"))
    parser.add_argument("data", type=Path)
    parser.add_argument("record", type=Path)
    parser.add_argument("names", nargs="*", help="networks to test (default: all that the question applies to)")
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--limit-s", type=float, default=400.0, help="an attempt that takes more processor time is stopped"
    )
    options = parser.parse_intermixed_args()  # names may follow options
    hardware = training.apply(training.choose("cpu", options.threads))
    options.record.parent.mkdir(parents=True, exist_ok=True)
    dataset = data.open_data(str(options.data)) if options.question == "cifar" else None
    for name in options.names or tested_networks(1000 if dataset is None else 10):
        if any(line["network"] == name and (line["passed"] or not options.names) for line in attempts(options.record)):
            continue
        if dataset is None:
            append(options.record, overfit(name, options.data, hardware, options.limit_s), hardware)
        else:
            append(options.record, three_epochs(name, dataset, hardware, options.limit_s), hardware)


if __name__ == "__main__":
    main()
