"""A network of the atlas in a plain PyTorch loop:  python examples/plain_pytorch.py [EPOCHS]

A network of convatlas is an ordinary ``torch.nn.Module``: it takes images (N, C, H, W) and returns logits (N, K).
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F

import convatlas as ca
from digits import CLASSES, SIDE, loaders


def main(epochs: int = 5) -> float:
    """Train LeNet-5; returns the share of test images that are classified correctly."""
    torch.manual_seed(0)
    train, _, test = loaders()
    net = ca.create_model("lenet5@modern", num_classes=CLASSES, in_channels=1, image_size=SIDE)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for epoch in range(epochs):
        net.train()
        for images, labels in train:
            loss = F.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.3f}")
    net.eval()
    with torch.inference_mode():
        hits = [(net(images).argmax(dim=1) == labels) for images, labels in test]
    accuracy = torch.cat(hits).float().mean().item()
    print(f"test top-1 {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
