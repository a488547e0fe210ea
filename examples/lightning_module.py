"""A network of the atlas in PyTorch Lightning:  python examples/lightning_module.py [EPOCHS]"""

from __future__ import annotations

import sys

import lightning as L
import torch
import torch.nn.functional as F

import convatlas as ca
from digits import CLASSES, SIDE, loaders


class Classifier(L.LightningModule):
    """Any network of ``convatlas.list_models()``."""

    def __init__(self, network: str, lr: float = 2e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = ca.create_model(network, num_classes=CLASSES, in_channels=1, image_size=SIDE)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    def test_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> None:
        images, labels = batch
        hits = (self(images).argmax(dim=1) == labels).float()
        self.log("test_top1", hits.mean(), batch_size=len(labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)


def main(epochs: int = 5) -> float:
    """Train LeNet-5; returns the share of test images that are classified correctly."""
    L.seed_everything(0, verbose=False)
    train, _, test = loaders()
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Classifier("lenet5@modern")
    trainer.fit(module, train)
    (result,) = trainer.test(module, test, verbose=False)
    print(f"test top-1 {result['test_top1']:.1%}")
    return result["test_top1"]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
