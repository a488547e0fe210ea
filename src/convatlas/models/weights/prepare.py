"""How a source's images are prepared: weights are right only with the pixels they were trained on. No torch.

The published lines carry their own preparation (``published.json``). What stands here is only for a file that is none
of them, and is an assumption: one source's weights of one network may differ, as torchvision's V1 and V2 do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Preparation:
    """RGB images in [0, 1] become ``(image - mean) / std``, after a resize and a centre crop.

    A source that was trained on BGR has its first convolution turned round when it is loaded, so that every network
    here takes RGB; one that was trained on pixels of 0 to 255 has a ``std`` of 1/255.

    Attributes:
        resize: side in pixels to which the shorter side is fitted or, where ``squash`` is set, both sides.
        crop: side of the square cut from the centre, which the network reads.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: int
    crop: int
    interpolation: str = "bilinear"
    squash: bool = False

    def __str__(self) -> str:
        fitted = f"squashed to {self.resize} x {self.resize}" if self.squash else f"shorter side to {self.resize}"
        values = "  ".join(" ".join(f"{value:.4g}" for value in triple) for triple in (self.mean, self.std))
        return f"{fitted}, {self.interpolation}; centre {self.crop} x {self.crop}; RGB, mean and std {values}"


TORCHVISION = Preparation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=256, crop=224)
# torchvision's ported GoogLeNet and Inception: transform_input turns the usual mean and std into these
GOOGLENET = Preparation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), resize=256, crop=224)
INCEPTION = replace(GOOGLENET, resize=342, crop=299)
# timm resizes to floor(crop / crop_pct); crop_pct of the weights it loads by default (1.0.31) is 0.875, 0.8975 or 0.95
TIMM_RESNET = replace(TORCHVISION, resize=235, interpolation="bicubic")
TIMM_DENSENET = replace(TORCHVISION, interpolation="bicubic")
TIMM_0875 = replace(INCEPTION, resize=341, interpolation="bicubic")
TIMM_08975 = replace(INCEPTION, resize=333, interpolation="bicubic")
# Caffe: pixels of 0 to 255 with the mean pixel taken off. VGG's and ResNet's authors fit the shorter side
CAFFE = Preparation((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), resize=256, crop=224)
# BVLC's examples/imagenet squashes to 256 x 256; its mean file's mean pixel is (104.007, 116.669, 122.679) in BGR,
# and the mean_value lines of GoogLeNet's and SqueezeNet's train_val.prototxt are 104, 117, 123
BVLC = replace(CAFFE, mean=(122.679 / 255, 116.669 / 255, 104.007 / 255), crop=227, squash=True)
BVLC_ROUNDED = replace(BVLC, mean=(123 / 255, 117 / 255, 104 / 255))
# shicai/DenseNet-Caffe: the mean pixel taken off, then times 0.017
CAFFE_DENSENET = replace(CAFFE, mean=(123.68 / 255, 116.78 / 255, 103.94 / 255), std=(1 / (255 * 0.017),) * 3)
CIFAR = replace(TORCHVISION, resize=32, crop=32)  # akamaster's: ImageNet's values

# what is usual at a source. Keras documents mean and std only (the modes of its preprocess_input): the sizes are ours
USUAL = {"torchvision": TORCHVISION, "timm": TORCHVISION, "keras": CAFFE, "caffe": CAFFE, "akamaster": CIFAR}
# and the networks, less their variant, for which it is another
UNUSUAL = {
    "torchvision": {"googlenet": GOOGLENET, "inception_v3": INCEPTION},
    "timm": {
        **{f"resnet{depth}": TIMM_RESNET for depth in (18, 34, 50, 101, 152)},
        **{f"densenet{depth}": TIMM_DENSENET for depth in (121, 161, 169, 201)},
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
    "caffe": {
        "alexnet": BVLC,
        "googlenet": replace(BVLC_ROUNDED, crop=224),
        "squeezenet1_0": BVLC_ROUNDED,
        "squeezenet1_1": BVLC_ROUNDED,
        **{f"densenet{depth}": CAFFE_DENSENET for depth in (121, 161, 169, 201)},
    },
}


def assumed(source: str, network: str) -> Preparation | None:
    """What a source's weights of ``inception_resnet_v2@timm`` usually take; None for a source that has no usual."""
    return UNUSUAL.get(source, {}).get(network.partition("@")[0]) or USUAL.get(source)
