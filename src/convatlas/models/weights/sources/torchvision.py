"""torchvision's networks, and its published weights."""

from __future__ import annotations

import re
from dataclasses import replace

from torch import nn

from convatlas.models.loaded import Preparation
from convatlas.models.weights import mobile_names, modern_names
from convatlas.models.weights.labels import imagenet
from convatlas.models.weights.source import Published, Rules, Source, by_rules, converter

# --- names ------------------------------------------------------------------------------------------------------------

# torchvision's ResNet; timm's and fb.resnet.torch's descendants have the same names
RESNET: Rules = (
    (r"^layer([1-4])\.", lambda m: f"conv{int(m[1]) + 1}_x."),
    (r"\.downsample\.0\.", ".shortcut.conv."),
    (r"\.downsample\.1\.", ".shortcut.bn."),
)
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


def by_position(name: str, net: nn.Module) -> str:
    """The name of a numbered layer: ``features.N`` is our Nth layer.

    Both lists run conv, (norm,) ReLU, ..., pooling in the same order.
    """
    match = re.match(r"features\.(\d+)\.(.*)", name)
    children = [child for child, _ in net.named_children()]
    if match is None or int(match[1]) >= len(children):
        return name
    return f"{children[int(match[1])]}.{match[2]}"


FAMILIES = {
    "alexnet": by_rules(ALEXNET),
    "vgg": by_rules(VGG, by_position),
    "googlenet": by_rules(GOOGLENET),
    "inception_v3": by_rules(INCEPTION_V3),
    "resnet": by_rules(RESNET),
    "squeezenet": by_rules(SQUEEZENET, by_position),
    "densenet": by_rules(DENSENET),
    **dict.fromkeys(("mobilenet_v2", "mobilenet_v3", "efficientnet", "efficientnet_v2"), mobile_names.torchvision),
    **dict.fromkeys(("resnext", "wide_resnet"), by_rules(RESNET)),
    "shufflenet_v2": by_rules(modern_names.SHUFFLENET_TORCHVISION),
    "regnet": by_rules(modern_names.REGNET_TORCHVISION),
    "convnext": by_rules(modern_names.CONVNEXT_TORCHVISION),
    "mnasnet": by_rules(modern_names.MNASNET_TORCHVISION),
}

# --- preparation ------------------------------------------------------------------------------------------------------

TORCHVISION = Preparation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=256, crop=224)
# torchvision's ported GoogLeNet and Inception: transform_input turns the usual mean and std into these
GOOGLENET_PREPARATION = Preparation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), resize=256, crop=224)
INCEPTION = replace(GOOGLENET_PREPARATION, resize=342, crop=299)
RESIZED_TO_232 = replace(TORCHVISION, resize=232)


def efficient(resize: int, crop: int, interpolation: str = "bicubic") -> Preparation:
    """Of EfficientNet, each of whose sizes has its own images."""
    return replace(TORCHVISION, resize=resize, crop=crop, interpolation=interpolation)


# --- published weights, from torchvision 0.29's get_model_weights -----------------------------------------------------

HOST = "https://download.pytorch.org/models"
LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet"
# network, weights, file (its name ends in the first digits of its SHA-256), top-1 and top-5 error in %, preparation
WEIGHTS = (
    ("alexnet@torchvision", "IMAGENET1K_V1", "alexnet-owt-7be5be79.pth", 43.478, 20.934, TORCHVISION),
    ("googlenet@torchvision", "IMAGENET1K_V1", "googlenet-1378be20.pth", 30.222, 10.47, GOOGLENET_PREPARATION),
    ("inception_v3@torchvision", "IMAGENET1K_V1", "inception_v3_google-0cc3c7bd.pth", 22.706, 6.55, INCEPTION),
    ("squeezenet1_0@torchvision", "IMAGENET1K_V1", "squeezenet1_0-b66bff10.pth", 41.908, 19.58, TORCHVISION),
    ("squeezenet1_1@torchvision", "IMAGENET1K_V1", "squeezenet1_1-b8a52dc0.pth", 41.822, 19.376, TORCHVISION),
    ("vgg11@torchvision", "IMAGENET1K_V1", "vgg11-8a719046.pth", 30.98, 11.372, TORCHVISION),
    ("vgg11@torchvision_bn", "IMAGENET1K_V1", "vgg11_bn-6002323d.pth", 29.63, 10.19, TORCHVISION),
    ("vgg13@torchvision", "IMAGENET1K_V1", "vgg13-19584684.pth", 30.072, 10.754, TORCHVISION),
    ("vgg13@torchvision_bn", "IMAGENET1K_V1", "vgg13_bn-abd245e5.pth", 28.414, 9.626, TORCHVISION),
    ("vgg16@torchvision", "IMAGENET1K_V1", "vgg16-397923af.pth", 28.408, 9.618, TORCHVISION),
    ("vgg16@torchvision_bn", "IMAGENET1K_V1", "vgg16_bn-6c64b313.pth", 26.64, 8.484, TORCHVISION),
    ("vgg19@torchvision", "IMAGENET1K_V1", "vgg19-dcbb9e9d.pth", 27.624, 9.124, TORCHVISION),
    ("vgg19@torchvision_bn", "IMAGENET1K_V1", "vgg19_bn-c79401a0.pth", 25.782, 8.158, TORCHVISION),
    ("resnet18@torchvision", "IMAGENET1K_V1", "resnet18-f37072fd.pth", 30.242, 10.922, TORCHVISION),
    ("resnet34@torchvision", "IMAGENET1K_V1", "resnet34-b627a593.pth", 26.686, 8.58, TORCHVISION),
    ("resnet50@torchvision", "IMAGENET1K_V1", "resnet50-0676ba61.pth", 23.87, 7.138, TORCHVISION),
    ("resnet50@torchvision", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth", 19.142, 4.566, RESIZED_TO_232),
    ("resnet101@torchvision", "IMAGENET1K_V1", "resnet101-63fe2227.pth", 22.626, 6.454, TORCHVISION),
    ("resnet101@torchvision", "IMAGENET1K_V2", "resnet101-cd907fc2.pth", 18.114, 4.22, RESIZED_TO_232),
    ("resnet152@torchvision", "IMAGENET1K_V1", "resnet152-394f9c45.pth", 21.688, 5.954, TORCHVISION),
    ("resnet152@torchvision", "IMAGENET1K_V2", "resnet152-f82ba261.pth", 17.716, 3.998, RESIZED_TO_232),
    ("densenet121", "IMAGENET1K_V1", "densenet121-a639ec97.pth", 25.566, 8.028, TORCHVISION),
    ("densenet161", "IMAGENET1K_V1", "densenet161-8d451a50.pth", 22.862, 6.44, TORCHVISION),
    ("densenet169", "IMAGENET1K_V1", "densenet169-b2777c0a.pth", 24.4, 7.194, TORCHVISION),
    ("densenet201", "IMAGENET1K_V1", "densenet201-c1103571.pth", 23.104, 6.63, TORCHVISION),
    ("mobilenet_v2@torchvision", "IMAGENET1K_V1", "mobilenet_v2-b0353104.pth", 28.122, 9.714, TORCHVISION),
    ("mobilenet_v2@torchvision", "IMAGENET1K_V2", "mobilenet_v2-7ebf99e0.pth", 27.846, 9.178, RESIZED_TO_232),
    ("mobilenet_v3_small@torchvision", "IMAGENET1K_V1", "mobilenet_v3_small-047dcff4.pth", 32.332, 12.598, TORCHVISION),
    ("mobilenet_v3_large@torchvision", "IMAGENET1K_V1", "mobilenet_v3_large-8738ca79.pth", 25.958, 8.66, TORCHVISION),
    ("mobilenet_v3_large@torchvision", "IMAGENET1K_V2", "mobilenet_v3_large-5c1a4163.pth", 24.726, 7.434,
     RESIZED_TO_232),
    ("efficientnet_b0@torchvision", "IMAGENET1K_V1", "efficientnet_b0_rwightman-7f5810bc.pth", 22.308, 6.468,
     efficient(256, 224)),
    ("efficientnet_b1@torchvision", "IMAGENET1K_V1", "efficientnet_b1_rwightman-bac287d4.pth", 21.358, 5.814,
     efficient(256, 240)),
    ("efficientnet_b1@torchvision", "IMAGENET1K_V2", "efficientnet_b1-c27df63c.pth", 20.162, 5.066,
     efficient(255, 240, "bilinear")),
    ("efficientnet_b2@torchvision", "IMAGENET1K_V1", "efficientnet_b2_rwightman-c35c1473.pth", 19.392, 4.69,
     efficient(288, 288)),
    ("efficientnet_b3@torchvision", "IMAGENET1K_V1", "efficientnet_b3_rwightman-b3899882.pth", 17.992, 3.946,
     efficient(320, 300)),
    ("efficientnet_b4@torchvision", "IMAGENET1K_V1", "efficientnet_b4_rwightman-23ab8bcd.pth", 16.616, 3.406,
     efficient(384, 380)),
    ("efficientnet_b5@torchvision", "IMAGENET1K_V1", "efficientnet_b5_lukemelas-1a07897c.pth", 16.556, 3.372,
     efficient(456, 456)),
    ("efficientnet_b6@torchvision", "IMAGENET1K_V1", "efficientnet_b6_lukemelas-24a108a5.pth", 15.992, 3.084,
     efficient(528, 528)),
    ("efficientnet_b7@torchvision", "IMAGENET1K_V1", "efficientnet_b7_lukemelas-c5b4e57e.pth", 15.878, 3.092,
     efficient(600, 600)),
    ("mnasnet_b1@torchvision", "IMAGENET1K_V1", "mnasnet1.0_top1_73.512-f206786ef8.pth", 26.544, 8.49, TORCHVISION),
    ("shufflenet_v2_x0_5", "IMAGENET1K_V1", "shufflenetv2_x0.5-f707e7126e.pth", 39.448, 18.254, TORCHVISION),
    ("shufflenet_v2_x1_0", "IMAGENET1K_V1", "shufflenetv2_x1-5666bf0f80.pth", 30.638, 11.684, TORCHVISION),
    ("shufflenet_v2_x1_5", "IMAGENET1K_V1", "shufflenetv2_x1_5-3c479a10.pth", 27.004, 8.914, RESIZED_TO_232),
    ("shufflenet_v2_x2_0", "IMAGENET1K_V1", "shufflenetv2_x2_0-8be3c8ee.pth", 23.77, 6.994, RESIZED_TO_232),
    ("resnext50_32x4d", "IMAGENET1K_V1", "resnext50_32x4d-7cdf4587.pth", 22.382, 6.302, TORCHVISION),
    ("resnext50_32x4d", "IMAGENET1K_V2", "resnext50_32x4d-1a0047aa.pth", 18.802, 4.66, RESIZED_TO_232),
    ("resnext101_32x8d", "IMAGENET1K_V1", "resnext101_32x8d-8ba56ff5.pth", 20.688, 5.474, TORCHVISION),
    ("resnext101_32x8d", "IMAGENET1K_V2", "resnext101_32x8d-110c445d.pth", 17.166, 3.772, RESIZED_TO_232),
    ("resnext101_64x4d", "IMAGENET1K_V1", "resnext101_64x4d-173b62eb.pth", 16.754, 3.546, RESIZED_TO_232),
    ("wide_resnet50_2", "IMAGENET1K_V1", "wide_resnet50_2-95faca4d.pth", 21.532, 5.914, TORCHVISION),
    ("wide_resnet50_2", "IMAGENET1K_V2", "wide_resnet50_2-9ba9bcbe.pth", 18.398, 4.242, RESIZED_TO_232),
    ("wide_resnet101_2", "IMAGENET1K_V1", "wide_resnet101_2-32ee1156.pth", 21.152, 5.716, TORCHVISION),
    ("wide_resnet101_2", "IMAGENET1K_V2", "wide_resnet101_2-d733dc28.pth", 17.49, 3.98, RESIZED_TO_232),
    ("regnet_x_400mf@torchvision", "IMAGENET1K_V1", "regnet_x_400mf-adf1edd5.pth", 27.166, 9.05, TORCHVISION),
    ("regnet_x_400mf@torchvision", "IMAGENET1K_V2", "regnet_x_400mf-62229a5f.pth", 25.136, 7.678, RESIZED_TO_232),
    ("regnet_x_800mf", "IMAGENET1K_V1", "regnet_x_800mf-ad17e45c.pth", 24.788, 7.652, TORCHVISION),
    ("regnet_x_800mf", "IMAGENET1K_V2", "regnet_x_800mf-94a99ebd.pth", 22.478, 6.174, RESIZED_TO_232),
    ("regnet_x_1_6gf", "IMAGENET1K_V1", "regnet_x_1_6gf-e3633e7f.pth", 22.96, 6.56, TORCHVISION),
    ("regnet_x_1_6gf", "IMAGENET1K_V2", "regnet_x_1_6gf-a12f2b72.pth", 20.332, 5.078, RESIZED_TO_232),
    ("regnet_x_3_2gf", "IMAGENET1K_V1", "regnet_x_3_2gf-f342aeae.pth", 21.636, 6.008, TORCHVISION),
    ("regnet_x_3_2gf", "IMAGENET1K_V2", "regnet_x_3_2gf-7071aa85.pth", 18.804, 4.57, RESIZED_TO_232),
    ("regnet_y_400mf", "IMAGENET1K_V1", "regnet_y_400mf-c65dace8.pth", 25.954, 8.284, TORCHVISION),
    ("regnet_y_400mf", "IMAGENET1K_V2", "regnet_y_400mf-e6988f5f.pth", 24.196, 7.258, RESIZED_TO_232),
    ("regnet_y_800mf@torchvision", "IMAGENET1K_V1", "regnet_y_800mf-1b27b58c.pth", 23.58, 6.864, TORCHVISION),
    ("regnet_y_800mf@torchvision", "IMAGENET1K_V2", "regnet_y_800mf-58fc7688.pth", 21.172, 5.498, RESIZED_TO_232),
    ("regnet_y_1_6gf", "IMAGENET1K_V1", "regnet_y_1_6gf-b11a554e.pth", 22.05, 6.034, TORCHVISION),
    ("regnet_y_1_6gf", "IMAGENET1K_V2", "regnet_y_1_6gf-0d7bc02a.pth", 19.124, 4.556, RESIZED_TO_232),
    ("regnet_y_3_2gf", "IMAGENET1K_V1", "regnet_y_3_2gf-b5a9779c.pth", 21.052, 5.424, TORCHVISION),
    ("regnet_y_3_2gf", "IMAGENET1K_V2", "regnet_y_3_2gf-9180c971.pth", 18.018, 4.028, RESIZED_TO_232),
    ("regnet_x_8_0gf", "IMAGENET1K_V1", "regnet_x_8gf-03ceed89.pth", 20.656, 5.314, TORCHVISION),
    ("regnet_x_8_0gf", "IMAGENET1K_V2", "regnet_x_8gf-2b70d774.pth", 18.318, 4.322, RESIZED_TO_232),
    ("regnet_x_16gf", "IMAGENET1K_V1", "regnet_x_16gf-2007eb11.pth", 19.942, 5.056, TORCHVISION),
    ("regnet_x_16gf", "IMAGENET1K_V2", "regnet_x_16gf-ba3796d7.pth", 17.284, 3.804, RESIZED_TO_232),
    ("regnet_x_32gf", "IMAGENET1K_V1", "regnet_x_32gf-9d47f8d0.pth", 19.378, 4.752, TORCHVISION),
    ("regnet_x_32gf", "IMAGENET1K_V2", "regnet_x_32gf-6eb8fdc6.pth", 16.986, 3.712, RESIZED_TO_232),
    ("regnet_y_8_0gf@torchvision", "IMAGENET1K_V1", "regnet_y_8gf-d0d0e4a8.pth", 19.968, 4.952, TORCHVISION),
    ("regnet_y_8_0gf@torchvision", "IMAGENET1K_V2", "regnet_y_8gf-dc2b1b54.pth", 17.172, 3.67, RESIZED_TO_232),
    ("regnet_y_16gf", "IMAGENET1K_V1", "regnet_y_16gf-9e6ed7dd.pth", 19.576, 4.76, TORCHVISION),
    ("regnet_y_16gf", "IMAGENET1K_V2", "regnet_y_16gf-3e4a00f9.pth", 17.114, 3.672, RESIZED_TO_232),
    ("regnet_y_32gf", "IMAGENET1K_V1", "regnet_y_32gf-4dee3f7a.pth", 19.122, 4.66, TORCHVISION),
    ("regnet_y_32gf", "IMAGENET1K_V2", "regnet_y_32gf-8db6d4b5.pth", 16.632, 3.502, RESIZED_TO_232),
    ("efficientnet_v2_s@torchvision", "IMAGENET1K_V1", "efficientnet_v2_s-dd5fe13b.pth", 15.772, 3.122,
     efficient(384, 384, "bilinear")),
    ("efficientnet_v2_m@torchvision", "IMAGENET1K_V1", "efficientnet_v2_m-dc08266a.pth", 14.888, 2.844,
     efficient(480, 480, "bilinear")),
    ("efficientnet_v2_l@torchvision", "IMAGENET1K_V1", "efficientnet_v2_l-59c71312.pth", 14.192, 2.212,
     replace(GOOGLENET_PREPARATION, resize=480, crop=480, interpolation="bicubic")),
    ("convnext_tiny", "IMAGENET1K_V1", "convnext_tiny-983f1562.pth", 17.48, 3.854, replace(TORCHVISION, resize=236)),
    ("convnext_small", "IMAGENET1K_V1", "convnext_small-0c510722.pth", 16.384, 3.35, replace(TORCHVISION, resize=230)),
    ("convnext_base", "IMAGENET1K_V1", "convnext_base-6075fbad.pth", 15.938, 3.13, RESIZED_TO_232),
    ("convnext_large", "IMAGENET1K_V1", "convnext_large-ea097f82.pth", 15.586, 3.024, RESIZED_TO_232),
)  # fmt: skip

SOURCE = Source(
    name="torchvision",
    order=1,
    convert=converter(FAMILIES),
    families=frozenset(FAMILIES),
    preparation=TORCHVISION,
    preparations={
        "googlenet": GOOGLENET_PREPARATION,
        "inception_v3": INCEPTION,
        "efficientnet_b0": efficient(256, 224),
        "efficientnet_b1": efficient(256, 240),
        "efficientnet_b2": efficient(288, 288),
        "efficientnet_b3": efficient(320, 300),
        "efficientnet_b4": efficient(384, 380),
        "efficientnet_b5": efficient(456, 456),
        "efficientnet_b6": efficient(528, 528),
        "efficientnet_b7": efficient(600, 600),
    },
    labels={1000: imagenet},
    published=tuple(
        Published(
            network=network,
            source="torchvision",
            name=name,
            url=f"{HOST}/{file}",
            sha256_prefix=file.removesuffix(".pth").rpartition("-")[2],
            licence=LICENCE,
            top1_error=top1,
            top5_error=top5,
            preparation=preparation,
        )
        for network, name, file, top1, top5, preparation in WEIGHTS
    ),
)
