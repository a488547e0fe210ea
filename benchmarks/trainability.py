"""Can every network of the atlas learn at all? Two small questions to each; a JSON line per network and attempt.

    python benchmarks/trainability.py photos ../shared/data/photos results/atlas/overfit_32_photos.jsonl [NAME...]
    python benchmarks/trainability.py cifar CIFAR results/atlas/three_epochs_cifar10.jsonl [NAME...]

photos  A network made for ImageNet learns 32 photos, one of a class, by heart: all 32 in one batch, dropout off, no
        decay, auxiliary heads in the loss. It passes when a training step names all 32 right. It starts as its paper
        prints; where that fails, from the modern start, which is the first where the paper itself began elsewhere.
cifar   A network made for small images sees a part of CIFAR-10 for 3 epochs of the modern recipe, GoogLeNet too, at
        96 pixels and with its auxiliary heads in the loss. It passes when the loss falls and more than 35 % of 2,000
        test images are named right (guessing: 10 %).

Images are reduced where the full size would cost hours: the records say to what. Lines are appended as they are made,
so that a stop loses nothing. Networks that have a line already are skipped; named, they are tried again, but for those
that passed.
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
PLATEAU, PATIENCE = math.log(PHOTOS) - 0.1, 100  # guessing is ln 32; who is there after so many updates has not started
# the sides at which the last maps still hold more than one pixel, or the fully connected layers fit; 64 elsewhere
SIDES = {"alexnet": 99, "zfnet": 95, "googlenet": 96, "inception_v3": 128, "inception_v4": 128}
HEAVY = {"vgg": 32, "prelu_net": 32}  # families whose networks take seconds an update at 64
# by what the rate of the printed start is divided: the paper warms its 110 layers up at a tenth of its rate, which at
# once is too large for them (1512.03385, section 4.2); densenet100_k24's loss rose at the whole rate
GENTLER = {
    **dict.fromkeys(("resnet110_cifar", "resnet1202_cifar"), 3.0),
    "densenet_bc250_k24_cifar": 2.0,
}
BOLDER = {"resnet1202_cifar": 2.0}  # by what that of the modern start is multiplied: 281 updates are few
# where the printed start is none from scratch, or is known to fail: the modern start comes first, with the reason
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
# training images and image size; the heavy ones get less
FULL = (5000, 32)
REDUCED = {
    **{f"resnet{depth}_cifar": (5000, 16) for depth in (20, 32, 44, 56, 110)},
    # the deeper a plain network, the slower it learns: the paper's own finding
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
    """(32, 3, side, side), standardised; the first photo of each of the first 32 classes."""
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
    """Both starts with their learning rates, in the order in which they are tried."""
    order = [("printed", printed), ("modern", modern)]
    return order[::-1] if name in MODERN_FIRST else order


def overfit(name: str, folder: Path, hardware: Hardware, limit_s: float) -> Iterator[Record]:
    """An attempt from the printed start; where it fails, one from the modern start at a smaller rate."""
    images = photos(folder, photo_side(name)).to(memory_format=torch.channels_last)
    lr = 1e-3 if normalised(name) else 5e-4
    for init, rate in starts(name, lr, lr / 3):
        record = learn_by_heart(name, images, init, "adamw", rate, hardware, limit_s)
        yield record
        if record["passed"]:
            return


def normalised(name: str) -> bool:
    with torch.device("meta"):
        return any(isinstance(module, nn.BatchNorm2d) for module in ca.create_model(name).modules())


def learn_by_heart(
    name: str, images: Tensor, init: str, rule: str, lr: float, hardware: Hardware, limit_s: float
) -> Record:
    """Updates on the one batch until all 32 are named right, the loss stays on its plateau, or the time is over."""
    torch.manual_seed(0)
    net = hardware.place(ca.create_model(name, num_classes=PHOTOS, image_size=images.shape[2], init=init)).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    optimizer = optim.build(rule, optim.parameter_groups(net, weight_decay=0.0), lr=lr)
    labels, loss_fn = torch.arange(PHOTOS), losses.cross_entropy()
    seen, hits, start = [], 0, time.process_time()
    while hits < PHOTOS and len(seen) < UPDATES and time.process_time() - start < limit_s:
        optim.set_lr(optimizer, lr * min(1.0, (len(seen) + 1) / WARM_UP))
        result = training.train_step(
            net, Batch(images, labels), loss_fn, optimizer, autocast=hardware.autocast(), max_grad_norm=1.0
        )
        seen.append(float(result.loss))
        hits = int(result.hits)
        if not math.isfinite(seen[-1]) or (len(seen) == PATIENCE and min(seen) > PLATEAU):
            break
    return {
        "network": name,
        "init": init,
        "images": PHOTOS,
        "image_size": images.shape[2],
        "optimizer": rule,
        "lr": round(lr, 6),
        "updates": len(seen),
        "first_loss": round(seen[0], 4),
        "last_loss": round(seen[-1], 4),
        "train_top1": hits / PHOTOS,
        "passed": hits == PHOTOS,
        "cpu_s": round(time.process_time() - start, 1),
    }


def three_epochs(name: str, dataset: data.Dataset, hardware: Hardware, limit_s: float) -> Iterator[Record]:
    """3 epochs from the printed start; where they fail, again from the modern one.

    With batch norm at a third of the rate; without, at three times of it, which the modern start can stand.
    """
    count, side = REDUCED.get(name, FULL)
    recipe = recipe_for(name).change(batch_size=BATCH)
    lr = recipe.lr * BATCH / 128 if recipe.optimizer == "sgd" else recipe.lr / 2  # fewer images an update
    for init, rate in starts(
        name, lr / GENTLER.get(name, 1.0), BOLDER.get(name, 1.0) * (lr / 3 if normalised(name) else lr * 3)
    ):
        record = see_three_times(
            name, dataset, count, side, init, recipe.change(epochs=EPOCHS, lr=rate), hardware, limit_s
        )
        yield record
        if record["passed"]:
            return


def see_three_times(
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
    rule = data.preprocessing_for(dataset, side, dataset.channels)
    store = data.load_images(dataset, rule)
    rule = rule.with_stats(*data.channel_stats(store, train))
    batches = Batches(
        store,
        dataset.labels,
        train,
        batch_size=recipe.batch_size,
        rule=rule,
        augment=Augmentation(pad=0, flip="on"),
        drop_last=True,
    )
    held_out = Batches(store, dataset.labels, test, batch_size=250, rule=rule, shuffle=False)

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
        seen = []
        for batch in batches.epoch(epoch):
            progress = Progress(step, len(batches), EPOCHS * len(batches), [])
            optim.set_lr(optimizer, recipe.lr * schedule(progress))
            result = training.train_step(
                net, batch, loss_fn, optimizer, autocast=hardware.autocast(), max_grad_norm=5.0
            )
            seen.append(float(result.loss))
            step += 1
            if not math.isfinite(seen[-1]) or time.process_time() - start > limit_s:
                break
        per_epoch.append(round(sum(seen) / len(seen), 4))
        if len(seen) < len(batches):
            break
    top1 = share_of_hits(net, held_out, hardware)
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
def share_of_hits(net: nn.Module, batches: Batches, hardware: Hardware) -> float:
    net.eval()
    hits = images = 0
    for pixels, labels, _ in batches.epoch(0):
        with hardware.autocast():
            logits = net(pixels)
        hits += int((logits.argmax(1) == labels).sum())
        images += len(labels)
    return hits / images


def subjects(classes: int) -> list[str]:
    """The cheapest first: those with batch norm need a tenth of the updates."""
    names = [name for name in ca.list_models() if asked_of(name, classes)]
    return sorted(names, key=lambda name: cost(name) * (1 if normalised(name) else 10))


def asked_of(name: str, classes: int) -> bool:
    """Whether the question with so many classes is asked of a network; GoogLeNet is asked both."""
    return entry(name).num_classes == classes or (classes == 10 and name == "googlenet")


def cost(name: str) -> float:
    """Multiply-adds of one update, about."""
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
    parser.add_argument("names", nargs="*", help="all networks the question fits, if none are named")
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--limit-s", type=float, default=400.0, help="an attempt that takes more processor time is given up"
    )
    asked = parser.parse_intermixed_args()  # names may stand behind options
    hardware = training.apply(training.choose("cpu", asked.threads))
    asked.record.parent.mkdir(parents=True, exist_ok=True)
    dataset = data.open_data(str(asked.data)) if asked.question == "cifar" else None
    for name in asked.names or subjects(1000 if dataset is None else 10):
        if any(line["network"] == name and (line["passed"] or not asked.names) for line in attempts(asked.record)):
            continue
        if dataset is None:
            append(asked.record, overfit(name, asked.data, hardware, asked.limit_s), hardware)
        else:
            append(asked.record, three_epochs(name, dataset, hardware, asked.limit_s), hardware)


if __name__ == "__main__":
    main()
