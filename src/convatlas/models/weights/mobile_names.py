"""Names of the mobile networks' layers in torchvision, timm and Keras, and ours.

Their blocks are counted, and inside a block the layers are counted or named by what they do; which layers a block has,
the network here says.
"""

from __future__ import annotations

import re

from torch import nn

from convatlas.models.efficientnet_v2 import FusedInvertedResidual
from convatlas.models.mobile_blocks import InvertedResidual
from convatlas.models.mobilenet_v1 import DepthwiseSeparable
from convatlas.models.weights.source import Rename, Rules, renamed

PARTS = ("expand", "depthwise", "se", "project")  # of an inverted residual, in the order in which they run
FUSED_PARTS = ("fused", "project")
CONV_NORM = ("conv", "bn")


def blocks_of(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The network's blocks in order, with their paths."""
    kinds = InvertedResidual | FusedInvertedResidual | DepthwiseSeparable
    return [(path, each) for path, each in net.named_modules() if isinstance(each, kinds)]


def parts_of(block: nn.Module) -> list[str]:
    """The parts that a block has: some expand nothing, some have no squeeze-and-excitation."""
    parts = FUSED_PARTS if isinstance(block, FusedInvertedResidual) else PARTS
    return [part for part in parts if not isinstance(block.get_submodule(part), nn.Identity)]


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
# the last 1x1 of MobileNetV3 is a stage of its own, and its hidden layer a convolution
TIMM_V3_ENDS: Rules = (
    (r"^conv_head\.", "hidden."),
    (r"^blocks\.\d+\.0\.conv\.", "head.conv."), (r"^blocks\.\d+\.0\.bn1\.", "head.bn."),
    *TIMM_ENDS,
)  # fmt: skip
TIMM_INVERTED: Rules = (
    (r"^conv_pw\.", "expand.conv."), (r"^bn1\.", "expand.bn."),
    (r"^conv_dw\.", "depthwise.conv."), (r"^bn2\.", "depthwise.bn."),
    (r"^conv_pwl\.", "project.conv."), (r"^bn3\.", "project.bn."),
    (r"^se\.conv_reduce\.", "se.fc1."), (r"^se\.conv_expand\.", "se.fc2."),
)  # fmt: skip
TIMM_FUSED: Rules = (
    (r"^conv(_exp)?\.", "fused.conv."), (r"^bn1\.", "fused.bn."),
    (r"^conv_pwl\.", "project.conv."), (r"^bn2\.", "project.bn."),
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
    if any(isinstance(each, DepthwiseSeparable) for each in by_path.values()):
        return timm_v1(by_path)
    ends = TIMM_V3_ENDS if hasattr(net, "hidden") else TIMM_ENDS

    def rename(name: str) -> str:
        match = re.match(r"^blocks\.(\d+)\.(\d+)\.(.*)$", name)
        path = f"stage{int(match[1]) + 1}.{match[2]}" if match else ""
        if match is None or path not in by_path:
            return renamed(name, ends)
        parts = parts_of(by_path[path])
        rules = TIMM_FUSED if "fused" in parts else TIMM_INVERTED if "expand" in parts else TIMM_SEPARABLE
        return f"{path}.{renamed(match[3], rules)}"

    return rename


def timm_v1(layers: dict[str, nn.Module]) -> Rename:
    """MobileNetV1, whose stages in timm begin with a stride of 2; ours are numbered through."""
    strides = [max(layer.depthwise.conv.stride) for layer in layers.values() if isinstance(layer, DepthwiseSeparable)]
    starts = [1, *(number for number, stride in enumerate(strides, start=1) if stride > 1)]

    def rename(name: str) -> str:
        match = re.match(r"^blocks\.(\d+)\.(\d+)\.(.*)$", name)
        if match is None or int(match[1]) >= len(starts):
            return renamed(name, TIMM_ENDS).replace("stem.", "Conv2d_0.")
        number = starts[int(match[1])] + int(match[2])
        return f"Conv2d_{number}.{renamed(match[3], TIMM_SEPARABLE).replace('project.', 'pointwise.')}"

    return rename


# --- Keras ------------------------------------------------------------------------------------------------------------

KERAS_V1: Rules = (
    (r"^conv1$", "Conv2d_0.conv"), (r"^conv1_bn$", "Conv2d_0.bn"),
    (r"^conv_dw_(\d+)$", r"Conv2d_\1.depthwise.conv"), (r"^conv_dw_(\d+)_bn$", r"Conv2d_\1.depthwise.bn"),
    (r"^conv_pw_(\d+)$", r"Conv2d_\1.pointwise.conv"), (r"^conv_pw_(\d+)_bn$", r"Conv2d_\1.pointwise.bn"),
    (r"^conv_preds$", "fc"),
)  # fmt: skip
KERAS_V2: Rules = (
    (r"^Conv1$", "stem.conv"), (r"^bn_Conv1$", "stem.bn"),
    (r"^Conv_1$", "head.conv"), (r"^Conv_1_bn$", "head.bn"),
    (r"^expanded_conv_", "block_0_"),
    (r"^block_(\d+)_(expand|depthwise|project)$", r"block_\1.\2.conv"),
    (r"^block_(\d+)_(expand|depthwise|project)_BN$", r"block_\1.\2.bn"),
    (r"^predictions$", "fc"),
)  # fmt: skip
KERAS_V3: Rules = (
    (r"^conv$", "stem.conv"), (r"^conv_bn$", "stem.bn"),
    (r"^conv_1$", "head.conv"), (r"^conv_1_bn$", "head.bn"),
    (r"^conv_2$", "hidden"), (r"^logits$", "fc"),
    (r"^expanded_conv_(?!\d)", "expanded_conv_0_"),
    (r"^expanded_conv_(\d+)_(expand|depthwise|project)$", r"block_\1.\2.conv"),
    (r"^expanded_conv_(\d+)_(expand|depthwise|project)_bn$", r"block_\1.\2.bn"),
    (r"^expanded_conv_(\d+)_squeeze_excite_conv$", r"block_\1.se.fc1"),
    (r"^expanded_conv_(\d+)_squeeze_excite_conv_1$", r"block_\1.se.fc2"),
)  # fmt: skip
KERAS_EFFICIENTNET: Rules = (
    (r"^stem_conv$", "stem.conv"), (r"^stem_bn$", "stem.bn"),
    (r"^top_conv$", "head.conv"), (r"^top_bn$", "head.bn"),
    (r"^block(\d)([a-z])_", lambda m: f"stage{m[1]}.{ord(m[2]) - ord('a')}."),
    (r"\.(expand|project)_conv$", r".\1.conv"), (r"\.(expand|project)_bn$", r".\1.bn"),
    (r"\.dwconv$", ".depthwise.conv"), (r"^(stage\d\.\d+)\.bn$", r"\1.depthwise.bn"),
    (r"\.se_reduce$", ".se.fc1"), (r"\.se_expand$", ".se.fc2"),
    (r"^predictions$", "fc"),
)  # fmt: skip
KERAS = {
    "mobilenet_v1": KERAS_V1,
    "mobilenet_v2": KERAS_V2,
    "mobilenet_v3": KERAS_V3,
    "efficientnet": KERAS_EFFICIENTNET,
}


def keras(layer: str, net: nn.Module, family: str) -> str:
    """Keras's layer name -> our module; MobileNetV2 and V3 count their blocks through."""
    name = renamed(layer, KERAS[family])
    match = re.match(r"^block_(\d+)\.(.*)$", name)
    blocks = blocks_of(net)
    return f"{blocks[int(match[1])][0]}.{match[2]}" if match and int(match[1]) < len(blocks) else name
