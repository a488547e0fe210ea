"""`save_pretrained` and `from_pretrained`: the layout of the Hub, its model card, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import convatlas as ca
from convatlas.cli import main
from convatlas.errors import CheckpointError, ConvAtlasError, DataError, UsageError
from convatlas.runs import pretrained

IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ca.train("lenet5@modern", "digits", epochs=2, out=tmp_path_factory.mktemp("runs"), trial=False)


@pytest.fixture
def folder(run, tmp_path):
    return ca.save_pretrained(run, tmp_path / "lenet")


def test_the_network_is_the_same(run, folder):
    network = ca.from_pretrained(folder)
    assert next(ca.predict(network, IMAGE)).top == next(ca.predict(run, IMAGE)).top
    assert network.preprocessing == run.preprocessing
    assert network.labels.names == run.classes
    for name, tensor in run.network().state_dict().items():
        assert torch.equal(network.net.state_dict()[name], tensor)
    again = ca.save_pretrained(network, folder.parent / "again")
    assert sorted(path.name for path in again.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert load_file(folder / "model.safetensors").keys() == run.network().state_dict().keys()


def test_the_card_states_data_protocol_figures_and_limits(run, folder):
    text = (folder / "README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["library_name"] == "convatlas"
    assert head["pipeline_tag"] == "image-classification"
    (metric,) = head["model-index"][0]["results"][0]["metrics"]
    assert metric["value"] == pytest.approx(run.result["test_top1"], abs=1e-6)
    for part in (
        "LeCun",
        "61,706",
        "95 % interval",
        f"{run.result['test_n']} test images, protocol centre",
        "Data: `digits`",
        "2 epochs, seed 0",
        "chose the weights",
        "The validation set chooses the weights",
        "not calibrated",
        "10 classes: 0, 1",
    ):
        assert part in body, part
    assert str(run.path.parent) not in text  # no path of this machine
    assert "license" not in head
    licensed = ca.save_pretrained(run, folder.parent / "licensed", licence="mit") / "README.md"
    assert yaml.safe_load(licensed.read_text("utf-8").split("---\n")[1])["license"] == "mit"


def test_class_names_are_no_markup():
    assert pretrained.markdown("<b>a</b> [x](y)\n# z") == "\\<b\\>a\\</b\\> \\[x\\](y) \\# z"


def test_a_network_with_the_weights_of_others(tmp_path):
    net = ca.create_model("lenet5@modern")
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    preprocessing = ca.data.Preprocessing(size=(32, 32), channels=1)
    ca.load_weights(net, tmp_path / "w.safetensors")
    folder = ca.save_pretrained(net, tmp_path / "hub", classes=list("abcdefghij"), preprocessing=preprocessing)
    card = (folder / "README.md").read_text("utf-8")
    assert "those of another source" in card
    assert "No accuracy was measured" in card
    assert next(ca.predict(ca.from_pretrained(folder), IMAGE)).top


def changed(folder: Path, **values) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))
    return folder


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": "os.system"}, "not a network of the atlas"),
        ({"network": "mine.py:Net"}, "not a network of the atlas"),
        ({"network": ["lenet5"]}, "not a network of the atlas"),
        ({"library_name": "timm"}, "was not written by convatlas"),
        ({"schema": 2}, "by a later version"),
        ({"image_size": 10**9}, "expected 1 to 4096"),
        ({"num_classes": True}, "expected 1 to"),
        ({"num_classes": 9}, "a list of 9 names"),
        ({"classes": [1] * 10}, "a list of 10 names"),
        ({"preprocessing": {"size": [32, 32], "channels": 1, "eval": "x"}}, "has the fields"),
        ({"preprocessing": {"size": [16, 16], "channels": 1}}, "must have the size of image_size"),
    ],
)
def test_a_changed_config_is_refused(folder, values, message):
    with pytest.raises(DataError, match=message):
        ca.from_pretrained(changed(folder, **values))


def test_other_weights_are_refused_before_memory_is_taken(folder):
    with pytest.raises(CheckpointError, match="are not those of vgg16"):
        ca.from_pretrained(changed(folder, network="vgg16", in_channels=3, image_size=32))
    save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError):
        ca.from_pretrained(folder)


def test_a_damaged_file_is_refused(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="damaged"):
        ca.from_pretrained(folder)
    (folder / "config.json").write_text("{" * 9)
    with pytest.raises(DataError, match="cannot be read"):
        ca.from_pretrained(folder)


def test_a_network_of_ones_own_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\nclass Net(torch.nn.Sequential):\n    def __init__(self, num_classes=10):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, num_classes))\n"
    )
    run = ca.train(f"{tmp_path / 'mine.py'}:Net", "digits", epochs=1, out=tmp_path / "runs", trial=False)
    with pytest.raises(UsageError, match="network of your own"):
        ca.save_pretrained(run, tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_nothing_is_fetched_without_download(tmp_path):
    pytest.importorskip("huggingface_hub")
    with pytest.raises(DataError, match="pass --download"):
        ca.from_pretrained("someone/something")
    with pytest.raises(DataError, match="there is no folder"):
        ca.from_pretrained(tmp_path / "none")


def test_a_hub_that_cannot_be_reached(folder, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConvAtlasError, match="could not be uploaded to me/mine"):
        pretrained.upload(folder, "me/mine")
    assert ca.from_pretrained(folder).labels


def command(*arguments, capsys):
    with pytest.raises(SystemExit) as done:
        main([str(each) for each in arguments])
    return done.value.code, capsys.readouterr()


def test_the_command(run, capsys, tmp_path):
    code, output = command("export", run.path, "--format", "hub", "--json", capsys=capsys)
    document = json.loads(output.out)
    assert code == 0
    assert document["folder"] == str(run.path / "export" / "hub")
    assert document["uploaded"] is None
    code, output = command("predict", document["folder"], "--json", tmp_path / "none.png", capsys=capsys)
    assert "none.png" in output.out
    code, output = command("export", run.path, "--format", "hub", "--precision", "int8", capsys=capsys)
    assert code == 2
    code, output = command("export", run.path, "--upload", "a/b", capsys=capsys)
    assert code == 2
    assert "--format hub" in output.err


def test_torch_hub_loads_a_local_folder():
    root = Path(__file__).parents[2]
    code = (
        "import torch\n"
        f"net = torch.hub.load({str(root)!r}, 'lenet5__modern', source='local', num_classes=7)\n"
        "assert net(torch.zeros(1, 1, 32, 32)).shape == (1, 7)\n"
        f"same = torch.hub.load({str(root)!r}, 'create_model', 'resnet20_cifar', source='local')\n"
        "assert sum(p.numel() for p in same.parameters()) == 269722\n"
        f"import sys; sys.path.insert(0, {str(root)!r}); import hubconf\n"
        "assert {'resnet50__torchvision', 'create_model'} <= set(hubconf.__all__) <= set(vars(hubconf))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
