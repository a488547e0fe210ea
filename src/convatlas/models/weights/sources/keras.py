"""keras.applications, read without Keras."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from torch import Tensor, nn

from convatlas.models.branches import ConvNorm
from convatlas.models.weights import mobile_names
from convatlas.models.weights.claims import Tensors
from convatlas.models.weights.labels import imagenet
from convatlas.models.weights.source import Rules, Source, Target
from convatlas.models.weights.sources.caffe import CAFFE
from convatlas.models.weights.sources.torchvision import INCEPTION, TORCHVISION

# the last part of a data set's path -> our parameter
PARAMETERS = {
    "kernel": "weight",
    "pointwise_kernel": "pointwise.weight",
    "depthwise_kernel": "depthwise.weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
LAYERS: dict[str, Rules] = {
    "resnet": (
        (r"^conv1_conv$", "conv1"),
        (r"^conv1_bn$", "bn1"),
        (r"^conv(\d)_block(\d+)_0_(conv|bn)$", r"conv\1_x.@\2.shortcut.\3"),
        (r"^conv(\d)_block(\d+)_(\d)_(conv|bn)$", r"conv\1_x.@\2.\4\3"),
        (r"^(?:predictions|probs|fc1000)$", "fc"),
    ),
    "vgg": (
        (r"^block(\d)_conv(\d)$", r"conv\1_\2"),
        (r"^fc1$", "fc6"),
        (r"^fc2$", "fc7"),
        (r"^predictions$", "fc8"),
    ),
    "densenet": (
        (r"^conv1[_/]conv$", "conv0"),
        (r"^conv1[_/]bn$", "norm0"),
        (r"^conv(\d)_block(\d+)_0_bn$", r"block#\1.@\2.norm1"),
        (r"^conv(\d)_block(\d+)_1_conv$", r"block#\1.@\2.conv1"),
        (r"^conv(\d)_block(\d+)_1_bn$", r"block#\1.@\2.norm2"),
        (r"^conv(\d)_block(\d+)_2_conv$", r"block#\1.@\2.conv2"),
        (r"^pool(\d)_bn$", r"transition#\1.norm"),
        (r"^pool(\d)_conv$", r"transition#\1.conv"),
        (r"^bn$", "norm5"),
        (r"^(?:predictions|fc1000)$", "classifier"),
    ),
    "xception": (
        (r"^block(\d|1[0-3])_sepconv(\d)$", r"block\1.separables.@\2"),
        (r"^block(\d|1[0-3])_sepconv(\d)_bn$", r"block\1.separables.@\2.bn"),
        (r"^(block14_sepconv\d)_bn$", r"\1.bn"),
    ),
    "inception_v3": ((r"^predictions$", "Logits"),),
    "inception_v4": (
        (r"^block8_10_conv$", "Block8_last.linear"),
        (r"^block(35|17|8)_(\d+)_conv$", r"Block\1.@\2.linear"),
        (r"^conv_7b$", "Conv2d_7b_1x1.conv"),
        (r"^conv_7b_bn$", "Conv2d_7b_1x1.bn"),
        (r"^predictions$", "Logits"),
    ),
}
DEPTHWISE = ".depthwise.conv.weight"  # our depthwise layers of the mobile networks
NUMBERED = re.compile(r"^(conv2d|batch_normalization)(?:_(\d+))?$")
BGR = ("resnet", "vgg")  # families whose published Keras weights were ported from Caffe


def our_layer(name: str, family: str) -> str:
    """Keras's layer name -> our module. ``@`` and ``#`` mark numbers that count from one more than ours."""
    for pattern, replacement in LAYERS.get(family, ()):
        if re.match(pattern, name):
            name = re.sub(pattern, replacement, name)
            return re.sub(r"[@#](\d+)", lambda number: str(int(number[1]) - 1), name)
    return name


def numbered_layers(net: nn.Module, family: str) -> dict[str, list[str]]:
    """Where Keras numbers its layers in the order of creation: ours in the same order."""
    if family == "xception":  # the four projected shortcuts are its only unnamed layers
        blocks = [name for name, block in net.named_children() if isinstance(getattr(block, "pool", None), nn.Module)]
        return {
            "conv2d": [f"{name}.shortcut.0" for name in blocks],
            "batch_normalization": [f"{name}.shortcut.1" for name in blocks],
        }
    inner = [
        name
        for name, module in net.named_modules()
        if isinstance(module, ConvNorm) and name != "Conv2d_7b_1x1" and not name.startswith("AuxLogits")
    ]
    return {"conv2d": [f"{name}.conv" for name in inner], "batch_normalization": [f"{name}.bn" for name in inner]}


def from_keras(tensors: Tensors, target: Target) -> Tensors:
    """What was read of a Keras file under our names, kernels turned from HWIO to OIHW."""
    if not any("/" in name for name in tensors):  # not as Keras names them: saved from another program
        return dict(tensors)
    net, family, stem = target.net, target.family, target.stem
    layers = {split(path)[0] for path in tensors}
    order = numbered_layers(net, family)
    places: dict[str, str] = {}
    for kind, ours in order.items():
        matches = (match for layer in layers if (match := NUMBERED.match(layer)) and match[1] == kind)
        numbers = sorted((int(match[2] or 0), match[0]) for match in matches)
        places |= {layer: place for (_, layer), place in zip(numbers, ours, strict=False)}
    ours_by_name: Tensors = {}
    for path, tensor in tensors.items():
        layer, parameter = split(path)
        if layer.startswith("normalization"):  # of pixels, inside EfficientNet
            continue
        place = mobile_names.keras(layer, net, family) if family in mobile_names.KERAS else our_layer(layer, family)
        name = f"{places.get(layer) or place}.{PARAMETERS.get(parameter, parameter)}"
        if parameter == "depthwise_kernel" and name not in target.shapes:  # a depthwise layer, not a separable one
            name = name.removesuffix("depthwise.weight") + "weight"
        elif parameter == "kernel" and name.endswith(DEPTHWISE):  # as Keras 3 names the kernel while it runs
            parameter = "depthwise_kernel"
        ours_by_name[name] = turned(tensor, parameter)
    for name, tensor in ours_by_name.items():  # MobileNet runs its fully connected layer as a convolution
        if tensor.dim() == 4 and len(target.shapes.get(name, ())) == 2:
            ours_by_name[name] = tensor.flatten(start_dim=1)
    if family == "vgg" and "fc6.weight" in ours_by_name:
        ours_by_name["fc6.weight"] = channels_first(ours_by_name["fc6.weight"])
    if family in BGR and stem in ours_by_name and ours_by_name[stem].shape[1] == 3:
        ours_by_name[stem] = ours_by_name[stem].flip(1)
    return ours_by_name


def split(path: str) -> tuple[str, str]:
    """``conv1_conv/conv1_conv/kernel:0`` -> (conv1_conv, kernel)."""
    parts = path.split("/")
    return parts[0] if len(parts) < 4 else "/".join(parts[: len(parts) // 2]), parts[-1].partition(":")[0]


def turned(tensor: Tensor, parameter: str) -> Tensor:
    if parameter == "depthwise_kernel":  # (H, W, C, M) -> (C * M, 1, H, W)
        height, width, channels, multiplier = tensor.shape
        return tensor.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    if tensor.dim() == 4:  # (H, W, I, O) -> (O, I, H, W)
        return tensor.permute(3, 2, 0, 1).contiguous()
    return tensor.t().contiguous() if tensor.dim() == 2 else tensor


def channels_first(weight: Tensor, channels: int = 512) -> Tensor:
    """fc6 reads a flattened map of 7 x 7 x 512 there and of 512 x 7 x 7 here; smaller where it was built smaller."""
    outputs, inputs = weight.shape
    side = math.isqrt(inputs // channels)
    if side * side * channels != inputs:
        return weight  # of another shape than any VGG here: the comparison of shapes says so
    return weight.reshape(outputs, side, side, channels).permute(0, 3, 1, 2).reshape(outputs, -1)


MOBILE = replace(INCEPTION, resize=256, crop=224)
EFFICIENTNETS = {
    "b0": 224,
    "b1": 240,
    "b2": 260,
    "b3": 300,
    "b4": 380,
    "b5": 456,
    "b6": 528,
    "b7": 600,
}  # sides of their images

SOURCE = Source(
    name="keras",
    order=4,
    convert=from_keras,
    families=frozenset(LAYERS) | frozenset(mobile_names.KERAS),
    bgr=frozenset(BGR),
    # Keras documents mean and std only (the modes of its preprocess_input): the sizes are ours
    preparation=CAFFE,
    preparations={
        "densenet121": TORCHVISION,
        "densenet169": TORCHVISION,
        "densenet201": TORCHVISION,
        "inception_v3": INCEPTION,
        "inception_resnet_v2": INCEPTION,
        "xception": INCEPTION,
        **dict.fromkeys(("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"), MOBILE),
        **{
            f"efficientnet_{scale}": replace(TORCHVISION, resize=round(side * 256 / 224), crop=side)
            for scale, side in EFFICIENTNETS.items()
        },
    },
    labels={1000: imagenet},
)
