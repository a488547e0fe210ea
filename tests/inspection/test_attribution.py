"""Attribution: by hand on small networks, by the methods' own identities, and beside captum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas import data
from convatlas.errors import UnknownNameError, UsageError
from convatlas.inspection import attribution as attr
from convatlas.inspection.sanity import randomisation_check, randomised
from convatlas.models import entry
from convatlas.runs.loaded_network import load_network


class Linear(nn.Module):
    """Two scores, each a weighted sum of four pixels."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[1.0, 2.0, 0.0, -1.0], [0.0, 1.0, 0.0, 0.0]]))

    def forward(self, x):
        return self.fc(x.flatten(1))


IMAGE = torch.tensor([[[[1.0, 3.0], [5.0, 2.0]]]])  # scores 1 + 6 - 2 = 5, and 3


def test_the_gradient_of_a_weighted_sum_is_its_weights():
    found = attr.gradient(Linear(), IMAGE)
    assert found.classes == (0,)
    assert found.values[0, 0].tolist() == [[1, 2], [0, -1]]
    assert attr.gradient(Linear(), IMAGE, [1]).values[0, 0].tolist() == [[0, 1], [0, 0]]


def test_integrated_gradients_of_a_weighted_sum_are_its_terms_and_add_up_to_the_score():
    found = attr.integrated_gradients(Linear(), IMAGE)
    assert found.values[0, 0] == pytest.approx(np.array([[1, 6], [0, -2]]), abs=1e-5)
    assert dict(found.notes)["completeness gap"] < 1e-5


def test_occlusion_of_one_pixel_takes_its_term_away():
    found = attr.occlusion(Linear(), IMAGE, patch=1, stride=1)
    assert found.values[0, 0] == pytest.approx(np.array([[1, 6], [0, -2]]), abs=1e-5)


def test_a_guided_signal_passes_where_input_and_signal_are_positive():
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, 1.0]).view(2, 1, 1, 1))
        net[3].weight.copy_(torch.tensor([[2.0, -3.0]]))  # the second channel's signal is negative
    image = torch.ones(1, 1, 1, 1)
    assert attr.gradient(net, image, [0]).values.item() == -1
    assert attr.guided_backpropagation(net, image, [0]).values.item() == 2


def test_grad_cam_is_the_sum_of_maps_weighted_by_their_mean_gradient():
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        net[3].weight.copy_(torch.tensor([[4.0, 8.0]]))
    found = attr.grad_cam(net, IMAGE, [0])
    # maps x and -x; mean gradients 4/4 and 8/4: x - 2x = -x, whose positive part is 0; of -image it is the image
    assert found.layer == "0"
    assert found.values[0, 0].tolist() == [[0, 0], [0, 0]]
    assert attr.grad_cam(net, -IMAGE, [0]).values[0, 0] == pytest.approx(IMAGE[0, 0].numpy())


def test_rise_finds_the_only_pixel_that_counts():
    class OnePixel(nn.Module):
        def forward(self, x):
            score = 8 * x[:, 0, 12, 3]
            return torch.stack((score, torch.full_like(score, 4.0)), dim=1)

    found = attr.rise(OnePixel(), torch.ones(1, 1, 16, 16), [0], masks=400, cells=4)
    row, column = np.unravel_index(found.values[0, 0].argmax(), (16, 16))
    assert abs(row - 12) <= 3
    assert abs(column - 3) <= 3


@pytest.fixture(scope="module")
def squeezenet():
    torch.manual_seed(0)
    return ca.create_model("squeezenet1_1").eval()


FEW = {
    "smoothgrad": {"samples": 2},
    "rise": {"masks": 8},
    "occlusion": {"patch": 32},
    "integrated_gradients": {"steps": 2},
}


@pytest.mark.parametrize("name", attr.METHODS)
def test_every_method_gives_one_map_per_image_and_leaves_the_network(squeezenet, name):
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    squeezenet.train()
    found = attr.method(name).function(squeezenet, images, **FEW.get(name, {}))
    assert squeezenet.training
    assert found.method == name
    assert found.values.shape in {(2, 3, 64, 64), (2, 1, 64, 64)}
    assert found.heat().shape == (2, 64, 64)
    assert np.isfinite(found.values).all()
    assert (found.heat() >= 0).all()
    assert all(parameter.grad is None for parameter in squeezenet.parameters())
    squeezenet.eval()


@pytest.mark.parametrize(("name", "passes"), [("smoothgrad", 4), ("integrated_gradients", 4), ("occlusion", 18),
                                              ("rise", 16)])  # fmt: skip
def test_a_method_of_many_passes_says_how_far_it_is_and_can_be_stopped(squeezenet, name, passes):
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    function = attr.method(name).function
    told: list[tuple[int, int]] = []
    found = function(squeezenet, images, **FEW[name], progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {total for _, total in told} == {passes}
    assert told[-1] == (passes, passes)
    assert (found.values == function(squeezenet, images, **FEW[name]).values).all()

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    squeezenet.train()
    with pytest.raises(Stop):
        function(squeezenet, images, **FEW[name], progress=stop)
    assert squeezenet.training
    squeezenet.eval()


def test_a_random_method_repeats_with_its_seed(squeezenet):
    images = torch.randn(1, 3, 32, 32)
    for function, few in ((attr.smoothgrad, {"samples": 3}), (attr.rise, {"masks": 20})):
        first, second, other = (function(squeezenet, images, seed=seed, **few).values for seed in (4, 4, 5))
        assert (first == second).all()
        assert not (first == other).all()


def test_grad_cam_depends_on_the_weights_of_a_trained_network_and_a_map_of_edges_does_not(shared):
    """SqueezeNet 1.1's ImageNet weights on two photos."""
    net = ca.create_model("squeezenet1_1", weights=str(shared("data/weights/squeezenet_v1.1.caffemodel")))
    loaded = load_network(net)
    files = sorted(shared("data/photos").glob("n*/*"))[:2]
    images = data.prepare([data.load_file(file, loaded.preprocessing) for file in files], loaded.preprocessing)

    def edges(net, images, classes=None):
        shift = (images - images.roll(1, dims=3)).abs()
        return attr.Attribution("edges", tuple(classes or (0,) * len(images)), shift.numpy(), signed=False)

    cam = randomisation_check(net, images, attr.grad_cam)
    assert abs(cam.mean) < 0.5
    assert cam.control.layer == attr.grad_cam(net, images).layer
    of_edges = randomisation_check(net, images, edges)
    assert of_edges.mean == pytest.approx(1)
    assert of_edges.to_dict()["between_random"] == pytest.approx(1)


def test_randomised_weights_are_the_same_numbers_in_another_order(squeezenet):
    for before, after in zip(squeezenet.parameters(), randomised(squeezenet).parameters(), strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)


def test_what_is_asked_wrongly_is_an_error_of_ours(squeezenet):
    images = torch.zeros(1, 3, 64, 64)
    with pytest.raises(UsageError, match="0 to 999"):
        attr.gradient(squeezenet, images, [1000])
    with pytest.raises(UsageError, match="one per image"):
        attr.gradient(squeezenet, images, [1, 2])
    with pytest.raises(UnknownNameError, match="grad_cam"):
        attr.method("gradcam")
    with pytest.raises(UnknownNameError):
        attr.grad_cam(squeezenet, images, layer="nowhere")
    with pytest.raises(UsageError, match="does not fit"):
        attr.occlusion(squeezenet, images, patch=65)
    with pytest.raises(UsageError, match="classifier"):
        attr.gradient(ca.create_model("autoencoder"), torch.zeros(1, *entry("autoencoder").input))


@pytest.mark.peers
@pytest.mark.parametrize("name", ["resnet20_cifar", "squeezenet1_1", "alexnet"])
def test_captum_computes_the_same(name):
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    torch.manual_seed(0)
    net = ca.create_model(name).eval()
    images = torch.randn(2, *entry(name).input, requires_grad=True)
    labels = torch.tensor([3, 7])

    def same(ours, theirs):
        theirs = theirs.detach().numpy()
        assert ours.values == pytest.approx(theirs, abs=float(1e-4 * max(1e-6, np.abs(theirs).max())))

    same(attr.gradient(net, images.detach(), [3, 7]), captum.Saliency(net).attribute(images, labels, abs=False))
    exact = captum.IntegratedGradients(net).attribute(images, target=labels, n_steps=16, method="riemann_middle")
    same(attr.integrated_gradients(net, images.detach(), [3, 7], steps=16), exact)
    side = entry(name).input[1]
    patch = side // 4
    theirs = captum.Occlusion(net).attribute(images, (3, patch, patch), (3, patch, patch), target=labels)
    if side % patch == 0:
        same(attr.occlusion(net, images.detach(), [3, 7], patch=patch, stride=patch), theirs[:, :1])
