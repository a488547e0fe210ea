"""Can every ImageNet network of the atlas learn at all? Each overfits 32 photos, one of a class, as built by the paper.

    python benchmarks/trainability.py ../shared/data/photos results/trainability.jsonl [NAME...]

Images are reduced (the third column of the record), dropout is off, Adam and bf16 autocast; a network passes when it
names all 32 training images right. One JSON line per network, appended as it is done. Networks that are in the file
already are skipped.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import convatlas as ca
from convatlas.models import entry

STEPS = 150
FIXED_SIZES = {"alexnet": 99, "zfnet": 95}


def photos(folder: Path, side: int) -> torch.Tensor:
    """(32, 3, side, side), standardised; one photo of each of 32 classes."""
    files = [next(iter(sorted(child.glob("*.[jJ]*")))) for child in sorted(folder.iterdir()) if child.is_dir()][:32]
    pixels = [np.asarray(Image.open(file).convert("RGB").resize((side, side))) for file in files]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
    return (images - images.mean()) / images.std()


def side_for(name: str) -> int:
    return FIXED_SIZES.get(name, max(64, -(-entry(name).smallest_size // 32) * 32))


def overfit(name: str, folder: Path) -> dict[str, object]:
    """Train until all 32 are right, at most STEPS steps."""
    torch.manual_seed(0)
    side = side_for(name)
    net = ca.create_model(name, image_size=side).to(memory_format=torch.channels_last).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    images = photos(folder, side).to(memory_format=torch.channels_last)
    labels = torch.arange(32)
    normed = any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    lr = 1e-3 if normed else 1e-4
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    losses, hits, start = [], 0, time.perf_counter()
    for _ in range(STEPS):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = net(images)
        logits = getattr(outputs, "logits", outputs).float()
        loss = nn.functional.cross_entropy(logits, labels)
        total = loss + sum(
            outputs.weight * nn.functional.cross_entropy(head.float(), labels)
            for head in getattr(outputs, "auxiliary", ())
        )
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        losses.append(loss.item())
        hits = int((logits.argmax(1) == labels).sum())
        if hits == 32:
            break
    return {
        "network": name,
        "images": 32,
        "image_size": side,
        "lr": lr,
        "steps": len(losses),
        "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4),
        "train_top1": hits / 32,
        "time_s": round(time.perf_counter() - start, 1),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def main(folder: str, record: str, *names: str) -> None:
    path = Path(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {json.loads(line)["network"] for line in path.read_text().splitlines()} if path.exists() else set()
    imagenet = [name for name in ca.list_models(variants=False) if entry(name).num_classes == 1000]
    for name in names or sorted(imagenet, key=lambda name: entry(name).macs):
        if name not in done:
            line = json.dumps(overfit(name, Path(folder)))
            with path.open("a") as file:
                file.write(line + os.linesep)
            print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
