"""Caffe's networks: BVLC's, and the authors' own VGG, ResNet, SqueezeNet and DenseNet."""

from __future__ import annotations

import re
from dataclasses import replace

import torch

from convatlas.models.loaded import Preparation
from convatlas.models.weights.claims import Tensors
from convatlas.models.weights.labels import imagenet
from convatlas.models.weights.source import Rules, Source, Target, renamed

RENAMED: Rules = (
    # GoogLeNet
    (r"^conv1/7x7_s2$", "conv1.conv"),
    (r"^conv2/3x3_reduce$", "conv2_reduce.conv"),
    (r"^conv2/3x3$", "conv2.conv"),
    (r"^inception_(..)/(1x1|3x3|5x5)$", r"inception_\1.conv\2.conv"),
    (r"^inception_(..)/(3x3|5x5)_reduce$", r"inception_\1.reduce\2.conv"),
    (r"^inception_(..)/pool_proj$", r"inception_\1.pool_proj.conv"),
    (r"^loss1/conv$", "auxiliary_4a.conv.conv"),
    (r"^loss2/conv$", "auxiliary_4d.conv.conv"),
    (r"^loss1/(fc|classifier)$", r"auxiliary_4a.\1"),
    (r"^loss2/(fc|classifier)$", r"auxiliary_4d.\1"),
    (r"^loss3/classifier$", "fc"),
    # SqueezeNet
    (r"^(fire\d)/", r"\1."),
    # ResNet: res2a_branch2b is the second convolution of the first block of conv2_x
    (r"^(?:bn|scale)_conv1$", "bn1"),
    (r"^fc1000$", "fc"),
)
# DenseNet (shicai/DenseNet-Caffe): conv3_7/x2 is the second convolution of the seventh layer of block2, and conv3_blk
# the transition after it; /bn and /scale are the norm before a convolution, but for conv1's
DENSENET: Rules = (
    (r"^conv1/(?:bn|scale)$", "norm0"),
    (r"^conv1$", "conv0"),
    (r"^conv5_blk/(?:bn|scale)$", "norm5"),
    (r"^conv(\d)_blk(/)?.*$", lambda m: f"transition{int(m[1]) - 1}.{'norm' if m[2] else 'conv'}"),
    (
        r"^conv(\d)_(\d+)/x([12])(/)?.*$",
        lambda m: f"block{int(m[1]) - 1}.{int(m[2]) - 1}.{'norm' if m[4] else 'conv'}{m[3]}",
    ),
    (r"^fc6$", "classifier"),
)
RESIDUAL = re.compile(r"(res|bn|scale)([2-5])(?:([a-z])|b(\d+))_branch(?:(1)|2([abc]))$")


def our_layer(name: str, rules: Rules = RENAMED) -> str:
    """Caffe's layer name -> our module; AlexNet's and VGG's are the same already."""
    if match := RESIDUAL.match(name):
        kind, stage, letter, number, shortcut, step = match.groups()
        block = f"conv{stage}_x.{int(number) if number else ord(letter) - ord('a')}"
        if shortcut:
            return f"{block}.shortcut.{'conv' if kind == 'res' else 'bn'}"
        return f"{block}.{'conv' if kind == 'res' else 'bn'}{'abc'.index(step) + 1}"
    return renamed(name, rules)


def from_caffe(tensors: Tensors, target: Target) -> Tensors:
    """A caffemodel's blobs under our names, batch statistics unscaled, the first convolution turned from BGR to RGB."""
    if not all(name.rpartition(".")[2].isdigit() for name in tensors):  # no blobs: saved from another program
        return dict(tensors)
    rules = DENSENET if target.family == "densenet" else RENAMED
    shapes, stem = target.shapes, target.stem
    ours: Tensors = {}
    for key, tensor in tensors.items():
        layer, _, index = key.rpartition(".")
        module = our_layer(layer, rules)
        if (
            layer.startswith("bn") or layer.endswith("/bn")
        ) and index in "012":  # BatchNorm: sums of means and variances, and their weight
            weight = tensors[f"{layer}.2"].item()
            if index != "2":
                statistic = ("running_mean", "running_var")[int(index)]
                ours[f"{module}.{statistic}"] = tensor / weight if weight else torch.zeros_like(tensor)
            continue
        ours[f"{module}.{('weight', 'bias')[int(index)]}" if index in "01" else key] = tensor
    for name, tensor in ours.items():  # old files carry leading ones in their shapes
        without_ones = tuple(side for side in tensor.shape if side != 1)
        if name in shapes and without_ones == tuple(side for side in shapes[name] if side != 1):
            ours[name] = tensor.reshape(shapes[name])
    if stem in ours and ours[stem].shape[1] == 3:
        ours[stem] = ours[stem].flip(1)
    return ours


# Caffe: pixels of 0 to 255 with the mean pixel taken off. VGG's and ResNet's authors fit the shorter side
CAFFE = Preparation((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), resize=256, crop=224)
# BVLC's examples/imagenet squashes to 256 x 256; its mean file's mean pixel is (104.007, 116.669, 122.679) in BGR,
# and the mean_value lines of GoogLeNet's and SqueezeNet's train_val.prototxt are 104, 117, 123
BVLC = replace(CAFFE, mean=(122.679 / 255, 116.669 / 255, 104.007 / 255), crop=227, squash=True)
BVLC_ROUNDED = replace(BVLC, mean=(123 / 255, 117 / 255, 104 / 255))
# shicai/DenseNet-Caffe: the mean pixel taken off, then times 0.017
CAFFE_DENSENET = replace(CAFFE, mean=(123.68 / 255, 116.78 / 255, 103.94 / 255), std=(1 / (255 * 0.017),) * 3)

FAMILIES = frozenset({"lenet", "alexnet", "zfnet", "nin", "vgg", "googlenet", "resnet", "squeezenet", "densenet"})
SOURCE = Source(
    name="caffe",
    order=5,
    convert=from_caffe,
    families=FAMILIES,
    bgr=FAMILIES,
    preparation=CAFFE,
    preparations={
        "alexnet": BVLC,
        "googlenet": replace(BVLC_ROUNDED, crop=224),
        "squeezenet1_0": BVLC_ROUNDED,
        "squeezenet1_1": BVLC_ROUNDED,
        **{f"densenet{depth}": CAFFE_DENSENET for depth in (121, 161, 169, 201)},
    },
    labels={1000: imagenet},
)
