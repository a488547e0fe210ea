"""Rename tables: the names of a source's tensors -> ours, family by family. Rules are tried in order, and all apply.

The names on the right are the papers' layers; the parity tests prove every table with random weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import nn

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
Rename = Callable[[str], str]

# torchvision's ResNet; timm's and fb.resnet.torch's descendants have the same names
RESNET: Rules = (
    (r"^layer([1-4])\.", lambda m: f"conv{int(m[1]) + 1}_x."),
    (r"\.downsample\.0\.", ".shortcut.conv."),
    (r"\.downsample\.1\.", ".shortcut.bn."),
)
AKAMASTER: Rules = ((r"^module\.", ""), (r"^layer([1-3])\.", r"stage\1."), (r"^linear\.", "fc."))
ALEXNET: Rules = (
    *((rf"^features\.{index}\.", f"{name}.") for index, name in
      ((0, "conv1"), (3, "conv2"), (6, "conv3"), (8, "conv4"), (10, "conv5"))),
    (r"^classifier\.1\.", "fc6."), (r"^classifier\.4\.", "fc7."), (r"^classifier\.6\.", "fc8."),
)  # fmt: skip
VGG: Rules = (
    (r"^classifier\.0\.", "fc6."), (r"^classifier\.3\.", "fc7."), (r"^classifier\.6\.", "fc8."),
    (r"^pre_logits\.fc1\.", "fc6."), (r"^pre_logits\.fc2\.", "fc7."), (r"^head\.fc\.", "fc8."),  # timm
)  # fmt: skip
SQUEEZENET: Rules = ((r"\.squeeze\.", ".squeeze1x1."), (r"^classifier\.1\.", "conv10."))
DENSENET: Rules = (
    (r"^features\.", ""),
    (r"^denseblock(\d)\.denselayer(\d+)\.", lambda m: f"block{m[1]}.{int(m[2]) - 1}."),
    (r"\.(norm|conv)\.([12])\.", r".\1\2."),  # checkpoints older than torchvision 0.3
)
GOOGLENET: Rules = (
    (r"^conv2\.", "conv2_reduce."), (r"^conv3\.", "conv2."),
    (r"^inception", "inception_"),
    (r"\.branch1\.", ".conv1x1."),
    (r"\.branch2\.0\.", ".reduce3x3."), (r"\.branch2\.1\.", ".conv3x3."),
    (r"\.branch3\.0\.", ".reduce5x5."), (r"\.branch3\.1\.", ".conv5x5."),
    (r"\.branch4\.1\.", ".pool_proj."),
    (r"^aux1\.", "auxiliary_4a."), (r"^aux2\.", "auxiliary_4d."),
    (r"^(auxiliary_4.)\.fc1\.", r"\1.fc."), (r"^(auxiliary_4.)\.fc2\.", r"\1.classifier."),
)  # fmt: skip


def mixed(modules: str, **branches: str) -> Rules:
    """A rule per step of a torchvision module: its name there -> ours, below ``Mixed_`` and the module's letters."""
    return tuple((rf"^(Mixed_(?:{modules}))\.{theirs}\.", rf"\1.{ours}.") for theirs, ours in branches.items())


INCEPTION_V3: Rules = (
    *mixed(
        "5b|5c|5d",
        branch5x5_1="branch2.conv1x1", branch5x5_2="branch2.conv5x5",
        branch3x3dbl_1="branch3.conv1x1", branch3x3dbl_2="branch3.conv3x3", branch3x3dbl_3="branch3.conv3x3_2",
    ),
    *mixed(
        "6a",
        branch3x3="branch1.conv3x3",
        branch3x3dbl_1="branch2.conv1x1", branch3x3dbl_2="branch2.conv3x3", branch3x3dbl_3="branch2.conv3x3_2",
    ),
    *mixed(
        "6b|6c|6d|6e",
        branch7x7_1="branch2.conv1x1", branch7x7_2="branch2.conv1x7", branch7x7_3="branch2.conv7x1",
        branch7x7dbl_1="branch3.conv1x1", branch7x7dbl_2="branch3.conv7x1", branch7x7dbl_3="branch3.conv1x7",
        branch7x7dbl_4="branch3.conv7x1_2", branch7x7dbl_5="branch3.conv1x7_2",
    ),
    *mixed(
        "7a",
        branch3x3_1="branch1.conv1x1", branch3x3_2="branch1.conv3x3",
        branch7x7x3_1="branch2.conv1x1", branch7x7x3_2="branch2.conv1x7", branch7x7x3_3="branch2.conv7x1",
        branch7x7x3_4="branch2.conv3x3",
    ),
    *mixed(
        "7b|7c",
        branch3x3_1="branch2.conv1x1",
        branch3x3_2a="branch2.split.branch1.conv1x3", branch3x3_2b="branch2.split.branch2.conv3x1",
        branch3x3dbl_1="branch3.conv1x1", branch3x3dbl_2="branch3.conv3x3",
        branch3x3dbl_3a="branch3.split.branch1.conv1x3", branch3x3dbl_3b="branch3.split.branch2.conv3x1",
    ),
    *mixed("..", branch1x1="branch1.conv1x1", branch_pool="branch4.conv1x1"),
    (r"^AuxLogits\.conv0\.", "AuxLogits.conv1x1."), (r"^AuxLogits\.conv1\.", "AuxLogits.conv5x5."),
    (r"^fc\.", "Logits."),
)  # fmt: skip

XCEPTION_TIMM: Rules = (
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
INCEPTION_V4_TIMM: Rules = (
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
INCEPTION_RESNET_V2_TIMM: Rules = (
    (r"^conv2d_1a\.", "Conv2d_1a_3x3."), (r"^conv2d_2a\.", "Conv2d_2a_3x3."), (r"^conv2d_2b\.", "Conv2d_2b_3x3."),
    (r"^conv2d_3b\.", "Conv2d_3b_1x1."), (r"^conv2d_4a\.", "Conv2d_4a_3x3."), (r"^conv2d_7b\.", "Conv2d_7b_1x1."),
    (r"^mixed_", "Mixed_"),
    (r"^repeat\.", "Block35."), (r"^repeat_1\.", "Block17."), (r"^repeat_2\.", "Block8."),
    (r"^block8\.", "Block8_last."),
    (r"^(Block[^.]+(?:\.\d+)?)\.branch", r"\1.branches.branch"),
    (r"\.conv2d\.", ".linear."),
    (r"^classif\.", "Logits."),
)  # fmt: skip


def renamer(source: str, family: str, net: nn.Module) -> Rename | None:
    """The function from a source's names to ours; None where the source has no network of the family."""
    rules: Rules | None = {
        ("torchvision", "alexnet"): ALEXNET,
        ("torchvision", "vgg"): VGG,
        ("torchvision", "googlenet"): GOOGLENET,
        ("torchvision", "inception_v3"): INCEPTION_V3,
        ("torchvision", "resnet"): RESNET,
        ("torchvision", "squeezenet"): SQUEEZENET,
        ("torchvision", "densenet"): DENSENET,
        ("timm", "vgg"): VGG,
        ("timm", "inception_v3"): INCEPTION_V3,
        ("timm", "resnet"): RESNET,
        ("timm", "densenet"): DENSENET,
        ("timm", "xception"): XCEPTION_TIMM,
        ("akamaster", "resnet_cifar"): AKAMASTER,
        ("convatlas", family): (),
    }.get((source, family))
    if (source, family) == ("timm", "inception_v4"):
        rules = INCEPTION_RESNET_V2_TIMM if hasattr(net, "Block35") else INCEPTION_V4_TIMM
    if rules is None:
        return None

    def rename(name: str) -> str:
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if family in ("vgg", "squeezenet"):
            name = by_position(name, net)
        if (source, family) == ("timm", "inception_v4"):
            name = by_branch(name, net)
        return name

    return rename


def by_position(name: str, net: nn.Module) -> str:
    """``features.N`` is the Nth of our layers: both lists run conv, (norm,) ReLU, ..., pooling in the same order."""
    match = re.match(r"features\.(\d+)\.(.*)", name)
    children = [child for child, _ in net.named_children()]
    if match is None or int(match[1]) >= len(children):
        return name
    return f"{children[int(match[1])]}.{match[2]}"


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
