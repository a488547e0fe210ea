"""timm's networks (pytorch-image-models)."""

from __future__ import annotations

import re
from dataclasses import replace

from torch import nn

from convatlas.models.weights import mobile_names, modern_names
from convatlas.models.weights.labels import imagenet
from convatlas.models.weights.source import Rename, Rules, Source, by_rules, converter
from convatlas.models.weights.sources.torchvision import (
    DENSENET,
    INCEPTION,
    INCEPTION_V3,
    RESNET,
    TORCHVISION,
    VGG,
    by_position,
)

XCEPTION: Rules = (
    (r"^conv([12])\.", r"block1_conv\1."), (r"^bn([12])\.", r"block1_conv\1_bn."),
    (r"^conv([34])\.", lambda m: f"block14_sepconv{int(m[1]) - 2}."),
    (r"^bn([34])\.", lambda m: f"block14_sepconv{int(m[1]) - 2}.bn."),
    (r"^block(\d+)\.", lambda m: f"block{int(m[1]) + 1}."),
    (r"^(block2)\.rep\.(\d)\.", lambda m: f"{m[1]}.rep.{int(m[2]) + 1}."),  # no first ReLU
    (r"\.rep\.([147])\.", lambda m: f".separables.{int(m[1]) // 3}."),
    (r"\.rep\.([258])\.", lambda m: f".separables.{int(m[1]) // 3}.bn."),
    (r"\.conv1\.weight$", ".depthwise.weight"),
    (r"^(block14_sepconv.)\.conv1\.", r"\1.depthwise."),
    (r"\.skip\.", ".shortcut.0."), (r"\.skipbn\.", ".shortcut.1."),
    (r"^fc\.", "predictions."),
)  # fmt: skip
INCEPTION_V4: Rules = (
    (r"^features\.0\.", "Conv2d_1a_3x3."), (r"^features\.1\.", "Conv2d_2a_3x3."), (r"^features\.2\.", "Conv2d_2b_3x3."),
    (r"^features\.3\.conv\.", "Mixed_3a.branch1.0."),
    (r"^features\.4\.", "Mixed_4a."),
    (r"^features\.5\.conv\.", "Mixed_5a.branch0.0."),
    (r"^features\.([6-9])\.", lambda m: f"Inception_A.{int(m[1]) - 6}."),
    (r"^features\.10\.", "Reduction_A."),
    (r"^features\.(1[1-7])\.", lambda m: f"Inception_B.{int(m[1]) - 11}."),
    (r"^features\.18\.", "Reduction_B."),
    (r"^features\.(19|20|21)\.", lambda m: f"Inception_C.{int(m[1]) - 19}."),
    (r"^last_linear\.", "Logits."),
)  # fmt: skip
INCEPTION_RESNET_V2: Rules = (
    (r"^conv2d_1a\.", "Conv2d_1a_3x3."), (r"^conv2d_2a\.", "Conv2d_2a_3x3."), (r"^conv2d_2b\.", "Conv2d_2b_3x3."),
    (r"^conv2d_3b\.", "Conv2d_3b_1x1."), (r"^conv2d_4a\.", "Conv2d_4a_3x3."), (r"^conv2d_7b\.", "Conv2d_7b_1x1."),
    (r"^mixed_", "Mixed_"),
    (r"^repeat\.", "Block35."), (r"^repeat_1\.", "Block17."), (r"^repeat_2\.", "Block8."),
    (r"^block8\.", "Block8_last."),
    (r"^(Block[^.]+(?:\.\d+)?)\.branch", r"\1.branches.branch"),
    (r"\.conv2d\.", ".linear."),
    (r"^classif\.", "Logits."),
)  # fmt: skip


def by_branch(name: str, net: nn.Module) -> str:
    """timm counts branches and their steps from 0: ``branch1.2`` is our ``branch2``'s third step.

    ``branch1_1a`` and ``branch1_1b`` are the two halves of a split at step 1.
    """
    match = re.match(r"(.*\.)branch(\d)(?:[._](\d)([ab])?)?\.(conv|bn)\.(.*)", name)
    if match is None:
        return name
    module, branch, step, half, layer, rest = match.groups()
    ours = f"{module}branch{int(branch) + 1}"
    try:
        steps = [child for child, _ in net.get_submodule(ours).named_children()]
        child = steps[int(step or 0)]
    except (AttributeError, IndexError):
        return name
    if half:
        part = f"{ours}.{child}.branch{'ab'.index(half) + 1}"
        child = next(step for step, _ in net.get_submodule(part).named_children())
        return f"{part}.{child}.{layer}.{rest}"
    return f"{ours}.{child}.{layer}.{rest}"


def inception_v4(net: nn.Module) -> Rename:
    """The file of Inception-v4 holds Inception-ResNet-v2 too, whose names are others."""
    return by_rules(INCEPTION_RESNET_V2 if hasattr(net, "Block35") else INCEPTION_V4, by_branch)(net)


FAMILIES = {
    "vgg": by_rules(VGG, by_position),
    "inception_v3": by_rules(INCEPTION_V3),
    "inception_v4": inception_v4,
    "resnet": by_rules(RESNET),
    "densenet": by_rules(DENSENET),
    "xception": by_rules(XCEPTION),
    **dict.fromkeys(
        ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "mnasnet", "efficientnet", "efficientnet_v2"),
        mobile_names.timm,
    ),
    **dict.fromkeys(("resnext", "wide_resnet"), by_rules(RESNET)),
    "senet": by_rules((*modern_names.SENET_LEGACY, *RESNET)),
    "regnet": by_rules(modern_names.REGNET_TIMM),
    "convnext": by_rules(modern_names.CONVNEXT_TIMM),
    "repvgg": by_rules(modern_names.REPVGG_TIMM),
}

# timm resizes to floor(crop / crop_pct); crop_pct of the weights it loads by default (1.0.31) is 0.875, 0.8975 or 0.95
TIMM_RESNET = replace(TORCHVISION, resize=235, interpolation="bicubic")
TIMM_DENSENET = replace(TORCHVISION, interpolation="bicubic")
TIMM_0875 = replace(INCEPTION, resize=341, interpolation="bicubic")
TIMM_08975 = replace(INCEPTION, resize=333, interpolation="bicubic")

SOURCE = Source(
    name="timm",
    order=2,
    convert=converter(FAMILIES),
    families=frozenset(FAMILIES),
    preparation=TORCHVISION,
    preparations={
        **{f"resnet{depth}": TIMM_RESNET for depth in (18, 34, 50, 101, 152)},
        **{f"densenet{depth}": TIMM_DENSENET for depth in (121, 161, 169, 201)},
        "inception_v3": TIMM_0875,
        "inception_v4": TIMM_0875,
        "inception_resnet_v2": TIMM_08975,
        "xception": TIMM_08975,
    },
    labels={1000: imagenet},
)
