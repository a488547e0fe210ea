"""Short recipes of today, for whoever wants a good network soon rather than the paper's own training.

convatlas train resnet20_cifar --data CIFAR --recipe modern
"""

from __future__ import annotations

from convatlas.recipes._recipe import Recipe

# networks with batch norm stand a high learning rate that rises and falls once
MODERN = Recipe(
    name="modern",
    source="one-cycle schedule: Smith and Topin, arXiv:1708.07120; no decay on biases and norms: He et al., "
    "arXiv:1812.01187, section 3.1",
    epochs=15,
    min_updates=360,
    batch_size=128,
    optimizer="sgd",
    lr=0.2,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    schedule="one-cycle",
    schedule_settings={"rise": 0.2, "start": 0.15},
)

# networks without any normalisation are trained by a rule that scales its own steps
MODERN_UNNORMALISED = MODERN.change(
    source="decoupled weight decay: Loshchilov and Hutter, arXiv:1711.05101",
    optimizer="adamw",
    lr=2e-3,
    nesterov=False,
    weight_decay=0.02,
)

# the deep ones without normalisation stand only small steps
MODERN_DEEP_UNNORMALISED = MODERN_UNNORMALISED.change(lr=3e-4)
