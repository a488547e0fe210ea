"""How a source's images are prepared: weights are right only with the pixels they were trained on. No torch.

The published lines carry their own preparation (``published.json``). What stands here is only for a file that is none
of them, and is an assumption: one source's weights of one network may differ, as torchvision's V1 and V2 do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


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
# torchvision's ported GoogLeNet and Inception: transform_input turns the usual mean and std into these
GOOGLENET = Preparation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), resize=256, crop=224)
INCEPTION = replace(GOOGLENET, resize=342, crop=299)
# timm resizes to floor(crop / crop_pct), by 0.875 for some of its networks and by 0.8975 for others
TIMM_0875 = replace(INCEPTION, resize=341, interpolation="bicubic")
TIMM_08975 = replace(INCEPTION, resize=333, interpolation="bicubic")
# Caffe: pixels of 0 to 255 with the mean pixel taken off
CAFFE = Preparation((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), resize=256, crop=224)
CAFFE_227 = replace(CAFFE, crop=227)
CIFAR = replace(TORCHVISION, resize=32, crop=32)  # akamaster's: ImageNet's values

# what is usual at a source. Keras documents mean and std only (the modes of its preprocess_input): the sizes are ours
USUAL = {"torchvision": TORCHVISION, "timm": TORCHVISION, "keras": CAFFE, "caffe": CAFFE, "akamaster": CIFAR}
# and the networks, less their variant, for which it is another
UNUSUAL = {
    "torchvision": {"googlenet": GOOGLENET, "inception_v3": INCEPTION},
    "timm": {
        "inception_v3": TIMM_0875,
        "inception_v4": TIMM_0875,
        "inception_resnet_v2": TIMM_08975,
        "xception": TIMM_08975,
    },
    "keras": {
        "densenet121": TORCHVISION,
        "densenet169": TORCHVISION,
        "densenet201": TORCHVISION,
        "inception_v3": INCEPTION,
        "inception_resnet_v2": INCEPTION,
        "xception": INCEPTION,
    },
    "caffe": {"alexnet": CAFFE_227, "squeezenet1_0": CAFFE_227, "squeezenet1_1": CAFFE_227},
}


def assumed(source: str, network: str) -> Preparation | None:
    """What a source's weights of ``inception_resnet_v2@timm`` usually take; None for a source that has no usual."""
    return UNUSUAL.get(source, {}).get(network.partition("@")[0]) or USUAL.get(source)
