"""MobileNet's training of 2017. Howard et al., arXiv:1704.04861, section 3.2, and the released training script.

    convatlas train mobilenet_v1 --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, one crop, top-1 and top-5 accuracy of the released weights: 70.9 % and 89.9 %
(tensorflow/models, mobilenet_v1.md); the paper has 70.6 % top-1.
**Printed.** In the released script (research/slim/nets/mobilenet_v1_train.py): batch 64, learning rate 0.045, times
0.94 every 2.5 epochs, crops and colours of Inception. RMSProp as for Inception-v3 is the paper's, recalled: the text of
its section 3.2 was not found.
**Assumed.** Weight decay 4e-5, the released definition's, and 100 epochs. **A departure.** The released definition
leaves the depthwise kernels out of the decay; here all kernels have it. One process makes the updates; the paper's
replicas were asynchronous.
"""

from __future__ import annotations

from convatlas.recipes.inception import INCEPTION_V3_2015
from convatlas.recipes.recipe import Recipe

MOBILENET_V1_2017: Recipe = INCEPTION_V3_2015.change(
    name="mobilenet_v1_2017",
    source="Howard et al., arXiv:1704.04861, section 3.2 (recalled), and the released mobilenet_v1_train.py",
    epochs=100,
    batch_size=64,
    max_grad_norm=None,
    label_smoothing=0.0,
    schedule_settings={"gamma": 0.94, "every_epochs": 2.5},
)

RECIPES = (MOBILENET_V1_2017,)
PAPER_OF = {"mobilenet_v1": MOBILENET_V1_2017}
