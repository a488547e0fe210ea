"""Names of the mobile networks' layers in torchvision, timm and Keras, and ours.

Their blocks are counted, and inside a block the layers are counted or named by what they do; which layers a block has,
the network here says.
"""

from __future__ import annotations

import re

from torch import nn

from convatlas.models.mobile_blocks import InvertedResidual
from convatlas.models.mobilenet_v1 import DepthwiseSeparable
from convatlas.models.weights.source import Rename, Rules, renamed

PARTS = ("expand", "depthwise", "se", "project")  # of an inverted residual, in the order in which they run
CONV_NORM = ("conv", "bn")


def blocks_of(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The network's blocks in order, with their paths."""
    return [
        (path, each) for path, each in net.named_modules() if isinstance(each, InvertedResidual | DepthwiseSeparable)
    ]


def parts_of(block: nn.Module) -> list[str]:
    """The parts that a block has: some expand nothing, some have no squeeze-and-excitation."""
    return [part for part in PARTS if not isinstance(block.get_submodule(part), nn.Identity)]


# --- torchvision ------------------------------------------------------------------------------------------------------

TORCHVISION_BLOCK = re.compile(r"^features\.(\d+)\.(?:(\d+)\.)?(conv|block)\.(\d)\.(.*)$")
TORCHVISION_ENDS: Rules = (
    (r"^classifier\.0\.", "hidden."), (r"^classifier\.[13]\.", "fc."),
    (r"^features\.0\.0\.", "stem.conv."), (r"^features\.0\.1\.", "stem.bn."),
    (r"^features\.\d+\.0\.", "head.conv."), (r"^features\.\d+\.1\.", "head.bn."),
)  # fmt: skip


def torchvision(net: nn.Module) -> Rename:
    """MobileNetV2 and V3 count their blocks through, EfficientNet counts them by stage."""
    blocks = blocks_of(net)
    by_path = dict(blocks)

    def rename(name: str) -> str:
        match = TORCHVISION_BLOCK.match(name)
        if match is None:
            return renamed(name, TORCHVISION_ENDS)
        first, second, kind, step, rest = match.groups()
        place = int(first) - 1
        path = f"stage{first}.{second}" if second else blocks[place][0] if place < len(blocks) else ""
        if path not in by_path:
            return name
        parts = parts_of(by_path[path])
        number, last = int(step), len(parts) - 1
        if kind == "conv" and number >= last:  # MobileNetV2's projection and its norm stand in the block itself
            return f"{path}.project.{CONV_NORM[number - last]}.{rest}"
        if number > last:
            return name
        return f"{path}.{parts[number]}.{re.sub('^[01][.]', lambda m: f'{CONV_NORM[int(m[0][0])]}.', rest)}"

    return rename


# --- timm -------------------------------------------------------------------------------------------------------------

TIMM_ENDS: Rules = (
    (r"^conv_stem\.", "stem.conv."), (r"^bn1\.", "stem.bn."),
    (r"^conv_head\.", "head.conv."), (r"^bn2\.", "head.bn."),
    (r"^classifier\.", "fc."),
)  # fmt: skip
TIMM_INVERTED: Rules = (
    (r"^conv_pw\.", "expand.conv."), (r"^bn1\.", "expand.bn."),
    (r"^conv_dw\.", "depthwise.conv."), (r"^bn2\.", "depthwise.bn."),
    (r"^conv_pwl\.", "project.conv."), (r"^bn3\.", "project.bn."),
    (r"^se\.conv_reduce\.", "se.fc1."), (r"^se\.conv_expand\.", "se.fc2."),
)  # fmt: skip
# a block that expands nothing: depthwise, then 1x1
TIMM_SEPARABLE: Rules = (
    (r"^conv_dw\.", "depthwise.conv."), (r"^bn1\.", "depthwise.bn."),
    (r"^conv_pw\.", "project.conv."), (r"^bn2\.", "project.bn."),
    (r"^se\.conv_reduce\.", "se.fc1."), (r"^se\.conv_expand\.", "se.fc2."),
)  # fmt: skip


def timm(net: nn.Module) -> Rename:
    """``blocks.2.0.conv_pw`` is the expansion of the first block of our third stage."""
    by_path = dict(blocks_of(net))
    stages = timm_stages(net)

    def rename(name: str) -> str:
        match = re.match(r"^blocks\.(\d+)\.(\d+)\.(.*)$", name)
        if match is None:
            return renamed(name, TIMM_ENDS).replace("stem.", "Conv2d_0.") if stages else renamed(name, TIMM_ENDS)
        stage, number, rest = int(match[1]), int(match[2]), match[3]
        path = f"stage{stage + 1}.{number}" if not stages else f"Conv2d_{stages[stage] + number}"
        if path not in by_path:
            return name
        if stages:
            return f"{path}.{renamed(rest, TIMM_SEPARABLE).replace('project.', 'pointwise.')}"
        expands = "expand" in parts_of(by_path[path])
        return f"{path}.{renamed(rest, TIMM_INVERTED if expands else TIMM_SEPARABLE)}"

    return rename


def timm_stages(net: nn.Module) -> list[int]:
    """For MobileNetV1: the number of the first layer of each of timm's stages, which begin with a stride of 2."""
    layers = [each for _, each in blocks_of(net) if isinstance(each, DepthwiseSeparable)]
    starts = [number for number, layer in enumerate(layers, start=1) if max(layer.depthwise.conv.stride) > 1]
    return [1, *starts] if layers else []


# --- Keras ------------------------------------------------------------------------------------------------------------

KERAS_V1: Rules = (
    (r"^conv1$", "Conv2d_0.conv"), (r"^conv1_bn$", "Conv2d_0.bn"),
    (r"^conv_dw_(\d+)$", r"Conv2d_\1.depthwise.conv"), (r"^conv_dw_(\d+)_bn$", r"Conv2d_\1.depthwise.bn"),
    (r"^conv_pw_(\d+)$", r"Conv2d_\1.pointwise.conv"), (r"^conv_pw_(\d+)_bn$", r"Conv2d_\1.pointwise.bn"),
    (r"^conv_preds$", "fc"),
)  # fmt: skip
