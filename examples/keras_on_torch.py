"""A network of the atlas in Keras 3 with its PyTorch backend:  python examples/keras_on_torch.py [EPOCHS]"""

from __future__ import annotations

import os
import sys

os.environ["KERAS_BACKEND"] = "torch"  # before keras is imported

import keras

import convatlas as ca
from digits import CLASSES, SIDE, loaders


def main(epochs: int = 5) -> float:
    """Train LeNet-5; returns the share of test images that are classified correctly."""
    keras.utils.set_random_seed(0)
    train, validation, test = loaders()
    net = ca.create_model("lenet5@modern", num_classes=CLASSES, in_channels=1, image_size=SIDE)
    # the wrapper puts the network into training or evaluation mode as Keras asks; images stay (N, C, H, W)
    model = keras.Sequential([keras.Input((1, SIDE, SIDE)), keras.layers.TorchModuleWrapper(net)])
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=2e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(train, epochs=epochs, validation_data=validation, verbose=0)
    _, accuracy = model.evaluate(test, verbose=0)
    print(f"test top-1 {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
