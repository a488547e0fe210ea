"""How a source's images are prepared: weights are right only with the pixels they were trained on. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preparation:
    """RGB images in [0, 1] become ``(image - mean) / std``, after a resize of the shorter side and a centre crop.

    A source that was trained on BGR has its first convolution turned round when it is loaded, so that every network
    here takes RGB.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: int
    crop: int
    interpolation: str = "bilinear"


TORCHVISION = Preparation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=256, crop=224)
# torchvision's ported Inception: its transform_input turns the usual preparation into this one
MINUS_ONE_TO_ONE = Preparation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), resize=342, crop=299)
GOOGLENET = Preparation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), resize=256, crop=224)
# Caffe: pixels of 0 to 255 with the mean pixel taken off
CAFFE = Preparation((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), resize=256, crop=224)
CAFFE_227 = Preparation(CAFFE.mean, CAFFE.std, resize=256, crop=227)
CIFAR = Preparation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=32, crop=32)  # akamaster's: ImageNet's values

INCEPTIONS = ("inception_v3", "inception_v4", "xception")


def preparation(source: str, family: str) -> Preparation | None:
    """The preparation a source's published weights of a family were trained with; None where there is no rule."""
    if family in INCEPTIONS and source in ("torchvision", "timm", "keras"):
        return MINUS_ONE_TO_ONE
    if source == "torchvision":
        return GOOGLENET if family == "googlenet" else TORCHVISION
    if source == "timm":
        return TORCHVISION
    if source == "keras":
        return TORCHVISION if family == "densenet" else CAFFE
    if source == "caffe":
        return CAFFE_227 if family in ("alexnet", "squeezenet") else CAFFE
    if source == "akamaster":
        return CIFAR
    return None
