"""A network of the atlas with Hugging Face Accelerate:  python examples/accelerate_loop.py [EPOCHS]

The same script runs on several processes or GPUs with  accelerate launch examples/accelerate_loop.py
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed

import convatlas as ca
from digits import CLASSES, SIDE, loaders


def main(epochs: int = 5) -> float:
    """Train LeNet-5; returns the share of test images that are classified correctly."""
    set_seed(0)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    train, _, test = loaders()
    net = ca.create_model("lenet5@modern", num_classes=CLASSES, in_channels=1, image_size=SIDE)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    net, optimizer, train, test = accelerator.prepare(net, optimizer, train, test)
    for _ in range(epochs):
        net.train()
        for images, labels in train:
            loss = F.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
    net.eval()
    hits = []
    with torch.inference_mode():
        for images, labels in test:
            hits.append(accelerator.gather_for_metrics(net(images).argmax(dim=1) == labels))
    accuracy = torch.cat(hits).float().mean().item()
    accelerator.print(f"test top-1 {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
