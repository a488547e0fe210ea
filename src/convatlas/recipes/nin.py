"""The CIFAR training of Network in Network, 2013. Lin, Chen and Yan, arXiv:1312.4400, section 4.

    convatlas train nin_cifar --data CIFAR --recipe paper

**Time.** Not run to its end here.
**To expect.** CIFAR-10 test: 8.81 % error with mirror images and shifts, 10.41 % without (section 4.2).
**Assumed.** Learning rate and weight decay are those of the authors' parameter file for cuda-convnet: a step of 1 on an
objective with coefficient 0.1 is a learning rate of 0.1, and a decay of 1e-5 outside that coefficient is 1e-4 here. The
paper prints neither the batch size (recalled) nor the two divisions by ten and the length (both assumed).
**Left out.** Global contrast normalisation and ZCA whitening (section 4.2): the whitening matrix has 3,072 x 3,072
numbers, 38 MB, which evaluation, prediction and export would need besides a network of 4 MB. Each channel is
standardised instead. The doubled learning rate of the biases is left out too.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

NIN_CIFAR_2013 = Recipe(
    name="nin_cifar_2013",
    source="Lin, Chen, Yan, arXiv:1312.4400, section 4, and the authors' parameter file; batch and length are assumed",
    epochs=230,
    batch_size=128,
    lr=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    schedule="plateau",
    schedule_settings={"gamma": 0.1, "times": 2, "patience": 10},
    augment=Augmentation(pad=4, flip="on"),
    keep="last",
    full_precision=True,
)

RECIPES = (NIN_CIFAR_2013,)
PAPER_OF = {"nin_cifar": NIN_CIFAR_2013}
