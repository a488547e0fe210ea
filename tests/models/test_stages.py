"""Stages: what a reader of the papers would call so, derived from each network's resolutions."""

from __future__ import annotations

import pytest
import torch

from convatlas import models
from convatlas.errors import UnknownNameError, UsageError
from convatlas.models.stages import frozen_stages, stages

PAPERS = {
    "lenet5": "C1 C3 C5 F6 OUTPUT",  # S2 and S4 scale and shift what the layer before them made
    "alexnet": "conv1 conv2 conv3-conv5 fc6 fc7 fc8",
    "nin_cifar": "conv1-cccp2 conv2-cccp4 conv3-cccp5 cccp6",
    "vgg16": "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8",
    "vgg16@torchvision_bn": "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8",
    "googlenet": "conv1 conv2 inception_3 inception_4 inception_5 fc",
    "prelu_net_a": "conv1 conv2 conv3 conv4 fc1 fc2 fc3",
    "inception_v3": "Conv2d_1a_3x3-Conv2d_2b_3x3 Conv2d_3b_1x1-Conv2d_4a_3x3 Mixed_5 Mixed_6 Mixed_7 Logits",
    "resnet50": "conv1 conv2_x conv3_x conv4_x conv5_x fc",
    "resnet20_cifar": "conv1 stage1 stage2 stage3 fc",  # conv1 works at stage1's resolution, and is the stem
    "squeezenet1_0": "conv1 fire2-fire4 fire5-fire8 fire9 conv10",
    "densenet121": "conv0 block1-transition1 block2-transition2 block3-transition3 block4 classifier",
    "mobilenet_v1": "Conv2d_0-Conv2d_1 Conv2d_2-Conv2d_3 Conv2d_4-Conv2d_5 Conv2d_6-Conv2d_11 Conv2d_12-Conv2d_13 fc",
    "mobilenet_v2": "stem-stage1 stage2 stage3 stage4-stage5 stage6-head fc",
    "efficientnet_b0": "stem-stage1 stage2 stage3 stage4-stage5 stage6-head fc",
    "xception": "block1_conv1-block1_conv2 block2 block3 block4-block12 block13-block14_sepconv2 predictions",
}


def on_paper(name: str, **sizes) -> torch.nn.Module:
    with torch.device("meta"):
        return models.create_model(name, **sizes)


def found_in(name: str):
    return stages(on_paper(name), models.entry(name).input)


@pytest.mark.parametrize("name", PAPERS)
def test_stages_are_what_the_paper_computes_at_one_resolution(name):
    assert [stage.name for stage in found_in(name)] == PAPERS[name].split()


# one of each family here, the whole registry when time allows
CLASSIFIERS = [name for name in models.list_models() if not models.entry(name).reconstructs]
ONE_EACH = list({models.entry(name).family: name for name in reversed(CLASSIFIERS)}.values())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ONE_EACH else pytest.mark.slow) for name in CLASSIFIERS]
)
def test_every_tensor_is_in_one_stage_and_the_head_is_what_another_class_enlarges(name):
    net, entry = on_paper(name), models.entry(name)
    found = stages(net, entry.input)
    assert 3 <= len(found) <= 9
    assert len({stage.name for stage in found}) == len(found)
    own = net.state_dict()
    assert all(sum(stage.contains(tensor) for stage in found) == 1 for tensor in own)
    more = on_paper(name, num_classes=entry.num_classes + 1).state_dict()
    per_class = [tensor for tensor in own if own[tensor].shape != more[tensor].shape]
    assert per_class
    assert all(found[-1].contains(tensor) for tensor in per_class)


@pytest.mark.parametrize(
    ("freeze", "count"),
    [("0", 0), ("3", 3), ("conv3", 3), ("conv3_3", 3), ("conv5", 5), ("fc7", 7), ("all-but-head", 7)],
)
def test_freezing_goes_from_the_images_to_the_stage_named(freeze, count):
    assert frozen_stages(found_in("vgg16"), freeze) == count


@pytest.mark.parametrize(
    ("freeze", "error", "said"),
    [
        ("conv3_x", UnknownNameError, "Did you mean conv3"),
        ("stage2", UnknownNameError, "The stages are conv1, conv2"),
        ("conv3_1", UsageError, "inside the stage 'conv3'"),
        ("fc8", UsageError, "leaves nothing to train"),
        ("8", UsageError, "8 stages"),
        ("99", UsageError, "nothing to train"),
        ("-1", UnknownNameError, "unknown stage '-1'"),
    ],
)
def test_what_cannot_be_frozen_is_said(freeze, error, said):
    with pytest.raises(error, match=said):
        frozen_stages(found_in("vgg16"), freeze)


def test_wrappers_are_looked_into_and_a_network_of_one_layer_has_no_stages():
    wrapped = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5), torch.nn.Linear(5, 2))
    )
    assert [stage.children for stage in stages(wrapped, (3, 2, 2))] == [("0.1",), ("0.2",)]
    with pytest.raises(UsageError, match="one layer"):
        stages(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)), (3, 2, 2))
