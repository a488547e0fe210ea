"""Names of ShuffleNet's, RegNet's, SENet's and ConvNeXt's layers in torchvision and timm, and ours."""

from __future__ import annotations

from convatlas.models.weights.source import Rules

SHUFFLENET_TORCHVISION: Rules = (
    (r"^(conv[15])\.0\.", r"\1.conv."), (r"^(conv[15])\.1\.", r"\1.bn."),
    (r"\.branch1\.0\.", ".branch1.depthwise.conv."), (r"\.branch1\.1\.", ".branch1.depthwise.bn."),
    (r"\.branch1\.2\.", ".branch1.pointwise.conv."), (r"\.branch1\.3\.", ".branch1.pointwise.bn."),
    (r"\.branch2\.0\.", ".branch2.pointwise1.conv."), (r"\.branch2\.1\.", ".branch2.pointwise1.bn."),
    (r"\.branch2\.3\.", ".branch2.depthwise.conv."), (r"\.branch2\.4\.", ".branch2.depthwise.bn."),
    (r"\.branch2\.5\.", ".branch2.pointwise2.conv."), (r"\.branch2\.6\.", ".branch2.pointwise2.bn."),
)  # fmt: skip
REGNET_TORCHVISION: Rules = (
    (r"^stem\.0\.", "stem.conv."), (r"^stem\.1\.", "stem.bn."),
    (r"^trunk_output\.block(\d)\.block\d-(\d+)\.", r"stage\1.\2."),
    (r"\.proj\.0\.", ".shortcut.conv."), (r"\.proj\.1\.", ".shortcut.bn."),
    *((rf"\.f\.{letter}\.0\.", f".conv{number}.") for number, letter in enumerate("abc", start=1)),
    *((rf"\.f\.{letter}\.1\.", f".bn{number}.") for number, letter in enumerate("abc", start=1)),
    (r"\.f\.se\.", ".se."),
)  # fmt: skip
REGNET_TIMM: Rules = (
    (r"^s(\d)\.b(\d+)\.", lambda m: f"stage{m[1]}.{int(m[2]) - 1}."),
    (r"\.conv(\d)\.conv\.", r".conv\1."), (r"\.conv(\d)\.bn\.", r".bn\1."),
    (r"\.downsample\.", ".shortcut."),
    (r"^head\.fc\.", "fc."),
)  # fmt: skip
# timm's legacy_seresnet50, whose names are those of the first conversions from Caffe
SENET_LEGACY: Rules = ((r"^layer0\.", ""), (r"\.se_module\.", ".se."), (r"^last_linear\.", "fc."))
REPVGG_TIMM: Rules = (
    (r"^stem\.", "stage0."),
    (r"^stages\.(\d)\.", lambda m: f"stage{int(m[1]) + 1}."),
    (r"\.conv_kxk\.", ".dense."), (r"\.conv_1x1\.", ".pointwise."),
    (r"^head\.fc\.", "fc."),
)  # fmt: skip
# MnasNet's blocks and layers are numbered in sequences: a convolution, its norm, an activation
MNASNET_PARTS = {"0": "expand.conv", "1": "expand.bn", "3": "depthwise.conv", "4": "depthwise.bn",
                 "6": "project.conv", "7": "project.bn"}  # fmt: skip
MNASNET_TORCHVISION: Rules = (
    (r"^layers\.0\.", "stem.conv."), (r"^layers\.1\.", "stem.bn."),
    *((rf"^layers\.{step}\.", f"stage1.0.{part}.") for step, part in
      zip("3467", list(MNASNET_PARTS.values())[2:], strict=True)),
    *((rf"^layers\.(\d+)\.(\d+)\.layers\.{step}\.", rf"layers.\1.\2.{part}.") for step, part in MNASNET_PARTS.items()),
    (r"^layers\.(\d+)\.(\d+)\.", lambda m: f"stage{int(m[1]) - 6}.{m[2]}."),
    (r"^layers\.14\.", "head.conv."), (r"^layers\.15\.", "head.bn."),
    (r"^classifier\.1\.", "fc."),
)  # fmt: skip
CONVNEXT_TORCHVISION: Rules = (
    (r"^features\.0\.0\.", "stem.conv."), (r"^features\.0\.1\.", "stem.norm."),
    (r"^features\.([246])\.0\.", lambda m: f"downsample{int(m[1]) // 2 + 1}.norm."),
    (r"^features\.([246])\.1\.", lambda m: f"downsample{int(m[1]) // 2 + 1}.conv."),
    (r"^features\.([1357])\.(\d+)\.", lambda m: f"stage{(int(m[1]) + 1) // 2}.{m[2]}."),
    (r"\.block\.0\.", ".dwconv."), (r"\.block\.2\.", ".norm."),
    (r"\.block\.3\.", ".pwconv1."), (r"\.block\.5\.", ".pwconv2."),
    (r"\.layer_scale$", ".layer_scale.weight"),
    (r"^classifier\.0\.", "norm."), (r"^classifier\.2\.", "head."),
)  # fmt: skip
CONVNEXT_TIMM: Rules = (
    (r"^stem\.0\.", "stem.conv."), (r"^stem\.1\.", "stem.norm."),
    (r"^stages\.(\d)\.downsample\.0\.", lambda m: f"downsample{int(m[1]) + 1}.norm."),
    (r"^stages\.(\d)\.downsample\.1\.", lambda m: f"downsample{int(m[1]) + 1}.conv."),
    (r"^stages\.(\d)\.blocks\.", lambda m: f"stage{int(m[1]) + 1}."),
    (r"\.gamma$", ".layer_scale.weight"),
    (r"\.conv_dw\.", ".dwconv."), (r"\.mlp\.fc([12])\.", r".pwconv\1."),
    (r"^head\.norm\.", "norm."), (r"^head\.fc\.", "head."),
    # the authors' own files
    (r"^downsample_layers\.0\.0\.", "stem.conv."), (r"^downsample_layers\.0\.1\.", "stem.norm."),
    (r"^downsample_layers\.(\d)\.0\.", lambda m: f"downsample{int(m[1]) + 1}.norm."),
    (r"^downsample_layers\.(\d)\.1\.", lambda m: f"downsample{int(m[1]) + 1}.conv."),
    (r"^stages\.(\d)\.", lambda m: f"stage{int(m[1]) + 1}."),
)  # fmt: skip
