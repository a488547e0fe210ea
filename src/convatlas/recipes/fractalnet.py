"""FractalNet's training of 2016. Larsson, Maire and Shakhnarovich, arXiv:1605.07648, section 4.

    convatlas train fractalnet20_cifar --data CIFAR --recipe paper

**Time.** Not run to its end here.
**To expect.** CIFAR-10 test error with shifts and mirror images: 5.22 % without drop-path and dropout, 4.60 % with both
(quoted).
**Recalled.** 400 epochs of SGD, batch 100, momentum 0.9, learning rate 0.02, divided by 10 whenever the number of
epochs left is halved. The text of section 4 was not found.
**Assumed.** No weight decay. Drop-path and dropout are the network's own.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

FRACTALNET_2016 = Recipe(
    name="fractalnet_2016",
    source="Larsson, Maire and Shakhnarovich, arXiv:1605.07648, section 4 (recalled)",
    epochs=400,
    batch_size=100,
    lr=0.02,
    momentum=0.9,
    schedule="multistep",
    schedule_settings={"shares": [0.5, 0.75, 0.875, 0.9375], "gamma": 0.1},
    augment=Augmentation(pad=4, flip="on"),
    keep="last",
    full_precision=True,
)

RECIPES = (FRACTALNET_2016,)
PAPER_OF = {"fractalnet": FRACTALNET_2016}
