"""``timm:NAME`` and ``tv:NAME``: networks of other libraries wherever a network is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import convatlas as ca
from convatlas.errors import MissingDependencyError, UnknownNameError, UsageError
from convatlas.models import bridges, own
from convatlas.models.weights.labels import imagenet

# ------------------------------------------------------------------ without the libraries


def test_names():
    assert own.is_own("timm:resnet18")
    assert own.is_own("tv:resnet18")
    assert not own.is_file("timm:resnet18")
    assert not any(map(own.is_own, ("resnet18", "resnet50@torchvision", "hf:timm/resnet18", "tv")))
    assert own.short_name("timm:resnet18") == own.full_name("timm:resnet18") == "timm:resnet18"


@pytest.mark.parametrize(("torch_version", "torchvision"), [("2.13.0", "0.28"), ("2.10.1+cpu", "0.25")])
def test_the_torchvision_of_a_torch(torch_version, torchvision):
    assert bridges.matching_torchvision(torch_version) == torchvision


def said(code: str, folder: Path | None = None) -> str:
    """What a new Python prints, with ``folder`` before the installed packages."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n" if folder else ""
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=True)
    return done.stdout


TRY = """
import convatlas as ca
from convatlas.errors import ConvAtlasError
try: ca.create_model('tv:resnet18')
except ConvAtlasError as error: print(type(error).__name__, error.exit_code, error)
"""


def test_a_package_that_is_not_installed():
    hide = "import sys; sys.modules['torchvision'] = None; import importlib.util as u; find = u.find_spec\n"
    hide += "u.find_spec = lambda name, *a: None if name == 'torchvision' else find(name, *a)\n"
    out = said(hide + TRY)
    assert out.startswith("MissingDependencyError 4 ")
    assert "pip install 'convatlas[torchvision]'" in out


def test_a_torchvision_of_another_build_becomes_advice(tmp_path):
    """As the wheel on PyPI fails beside a CPU build of torch."""
    package = tmp_path / "torchvision" / "__init__.py"
    package.parent.mkdir()
    package.write_text("raise RuntimeError('operator torchvision::nms does not exist\\nmore')\n")
    out = said(TRY, tmp_path)
    assert out.startswith("BrokenPackageError 4 torchvision is installed and cannot be imported beside torch ")
    assert "operator torchvision::nms does not exist. The torchvision made for it is " in out
    assert bridges.matching_torchvision(torch.__version__) in out


# ------------------------------------------------------------------ with them


@pytest.mark.peers
def test_show_and_explain(torchvision):
    summary = ca.summarize("tv:resnet18")
    assert summary.totals.params == 11_689_512
    assert summary.totals.params == ca.summarize("resnet18@torchvision").totals.params
    assert "43,264" not in str(ca.explain("tv:resnet18", "conv1"))
    assert ca.summarize("tv:resnet18", (1, 64, 64)).rows[0].params == 64 * 49
    assert ca.summarize("tv:inception_v3").inputs == ((3, 299, 299),)


@pytest.mark.peers
def test_the_networks_of_timm(timm):
    assert ca.summarize("timm:resnet18").totals.params == 11_689_512
    assert ca.create_model("timm:resnet18.a1_in1k", num_classes=7, in_channels=1).fc.out_features == 7


@pytest.mark.peers
@pytest.mark.parametrize("name", ["alexnet", "googlenet", "squeezenet1_1", "mobilenet_v2", "densenet121", "vgg11"])
def test_one_channel_and_other_classes(torchvision, name):
    net = ca.create_model(f"tv:{name}", num_classes=5, in_channels=1).eval()
    assert net(torch.zeros(2, 1, 96, 96)).shape == (2, 5)


@pytest.mark.peers
def test_unknown_names_give_near_ones(torchvision, timm):
    for name, near in (("tv:resnet19", "resnet18"), ("timm:resnt18", "resnet18")):
        with pytest.raises(UnknownNameError, match=near):
            ca.create_model(name)
    with pytest.raises(UnknownNameError):
        ca.create_model("timm:hf-hub:someone/something")  # no name leads to a server
    with pytest.raises(UnknownNameError):
        ca.create_model("tv:fasterrcnn_resnet50_fpn")  # no classifier


@pytest.mark.peers
def test_weights_only_with_download(torchvision, timm):
    for name in ("tv:resnet18", "timm:resnet18"):
        with pytest.raises(UsageError, match="--download"):
            ca.create_model(name, weights="pretrained")
    with pytest.raises(UnknownNameError, match="IMAGENET1K_V1"):
        ca.create_model("tv:resnet18", weights="IMAGENET1K_V9", download=True)


@pytest.fixture
def cached_torchvision_weights(torchvision, tmp_path, monkeypatch):
    """Weights of SqueezeNet in torch's cache, as a download leaves them, so that no network is needed."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    net = torchvision.models.squeezenet1_1()
    torch.save(net.state_dict(), folder / url.rpartition("/")[2])
    return net


@pytest.mark.peers
def test_the_weights_of_torchvision(cached_torchvision_weights, torchvision):
    net = ca.create_model("tv:squeezenet1_1", weights="IMAGENET1K_V1", download=True).eval()
    image = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    (answer,) = ca.predict(net, image, top=1)
    transform = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()
    with torch.no_grad():
        theirs = cached_torchvision_weights.eval()(transform(torch.from_numpy(image).permute(2, 0, 1))[None]).softmax(1)
    label, probability = answer.top[0]
    assert net.loaded.labels.names.index(label) == int(theirs.argmax())
    assert probability == pytest.approx(float(theirs.max()), abs=1e-4)
    other = ca.create_model("tv:squeezenet1_1", 5, weights="pretrained", download=True).eval()
    assert other(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.peers
def test_the_weights_of_timm(timm, tmp_path, monkeypatch):
    from huggingface_hub import constants

    snapshot = tmp_path / "models--timm--resnet18.a1_in1k" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    torch.manual_seed(1)
    save_file(timm.create_model("resnet18").state_dict(), snapshot / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    net = ca.create_model("timm:resnet18", weights="a1_in1k", download=True)
    assert net.loaded.weights == "timm:resnet18.a1_in1k"
    assert net.loaded.preparation.crop == 224
    assert net.loaded.preparation.interpolation == "bicubic"
    assert len(net.loaded.labels) == 1000
    assert len(next(ca.predict(net, np.zeros((30, 30, 3), dtype=np.uint8))).top) == 5


@pytest.mark.peers
def test_train_resume_evaluate_inspect_and_export(torchvision, tmp_path):
    run = ca.train("tv:squeezenet1_1", "digits", epochs=1, image_size=32, out=tmp_path, trial=False, compile="off")
    assert run.path.name == "tv_squeezenet1_1-digits-001"
    assert run.config["own"]["package"].startswith("torchvision ")
    again = ca.Run(run.path)
    assert ca.evaluate(again).top1 == pytest.approx(run.result["test_top1"])
    assert ca.summarize(again).totals.params == ca.summarize(run.network(), (1, 32, 32)).totals.params
    assert ca.attribute(again, np.zeros((32, 32), dtype=np.uint8)) is not None
    written = ca.export(again, "torch", most_images=20)
    assert written.contract.state == "kept"


@pytest.mark.peers
def test_compare_and_explore(torchvision, tmp_path):
    from convatlas.explorer.subjects import subject_of

    result = ca.compare(["lenet5@modern", "tv:squeezenet1_1"], "digits", epochs=1, image_size=32, out=tmp_path, seeds=1)
    assert {row.model for row in result.rows} >= {"lenet5@modern", "tv:squeezenet1_1"}
    subject = subject_of("tv:resnet18", 1)
    assert subject.summary().totals.params == 11_689_512


@pytest.mark.peers
def test_a_classifier_of_scikit_learn(torchvision):
    X, y = np.random.default_rng(0).integers(0, 256, (24, 32, 32), dtype=np.uint8), np.arange(24) % 2
    classifier = ca.CNNClassifier("tv:squeezenet1_1", epochs=1, image_size=32, random_state=0).fit(X, y)
    assert classifier.predict_proba(X).shape == (24, 2)


@pytest.mark.peers
def test_the_classes_are_those_of_the_libraries(torchvision, timm):
    theirs = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]
    ours = imagenet().names
    assert len(ours) == len(theirs) == 1000
    same = sum(imagenet().outputs(name) == (index,) for index, name in enumerate(theirs))
    assert same >= 900  # torchvision shortens names, and gives two pairs of classes the same one
    info = timm.data.ImageNetInfo("imagenet-1k")
    descriptions = [info.index_to_description(index) for index in range(1000)]
    assert (
        sum(a.split(",")[0].lower() == b.split(",")[0].lower() for a, b in zip(descriptions, ours, strict=True)) > 900
    )


def test_bridged_names_are_refused_without_their_library():
    if bridges.importlib.util.find_spec("timm"):
        pytest.skip("timm is installed here")
    with pytest.raises(MissingDependencyError, match=r"convatlas\[timm\]"):
        ca.summarize("timm:resnet18")
