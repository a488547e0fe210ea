"""A trained network as a folder in the layout of the Hugging Face Hub: config.json, model.safetensors, README.md.

    save_pretrained("runs/resnet20_cifar-001", "resnet20-leaves")
    network = from_pretrained("resnet20-leaves")          # or "owner/name" of the Hub, with download=True
    predict(network, "leaf.jpg")

``config.json`` holds plain values. The network that it names is looked up in the atlas, or in the list of timm or
torchvision; no class or file that it could name is imported. README.md is a model card, written from the run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from convatlas import __version__, models, units
from convatlas.atomic import written_atomically
from convatlas.data import Preprocessing
from convatlas.errors import CheckpointError, ConvAtlasError, DataError, MissingDependencyError, UsageError
from convatlas.message import Message, system_reason
from convatlas.models import bridges
from convatlas.models.weights import Labels
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.run import Run
from convatlas.training import checkpoint

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
SCHEMA = 1
MOST = {"num_classes": 1_000_000, "in_channels": 3, "image_size": 4096}  # beyond these a config.json is not believed
MOST_CLASSES_LISTED = 20


def save_pretrained(
    what: Run | str | Path | nn.Module | LoadedNetwork,
    folder: str | Path,
    *,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    licence: str | None = None,
) -> Path:
    """Write a trained network in the layout of the Hub, with a model card.

    Args:
        what: a run or its directory, or a network with loaded weights, as in `evaluate`.
        folder: the folder to write; files of these names in it are replaced.
        classes, preprocessing: of a network whose weights do not state them.
        licence: identifier of the licence of the weights, such as "mit"; the card names none where None.

    Returns:
        The folder.

    Raises:
        UsageError: the network is neither of the atlas nor of timm or torchvision, or its preparation is not known.
        ConvAtlasError: the folder cannot be written.
    """
    network, folder = load_network(what, classes, preprocessing), Path(folder)
    config = config_of(network)
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.net.state_dict().items()}
    content = {
        WEIGHTS: safetensors.torch.save(tensors, {"format": "pt"}),
        CONFIG: (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode(),
        CARD: card_of(network, config, licence).encode(),
    }
    for name, data in content.items():
        with written_atomically(folder / name) as file:
            file.write(data)
    return folder


def config_of(network: LoadedNetwork) -> dict[str, Any]:
    """The content of config.json: plain values that build the network and prepare its images.

    Raises:
        UsageError: the network cannot be built from a name.
    """
    run = network.run
    name = run.model if run is not None else str(getattr(network.net, "network", ""))
    if name not in models.list_models() and not bridges.is_bridged(name):
        raise UsageError(
            "{network} is a network of your own, which others could not build from a folder: the layout of the Hub is "
            "for networks of the atlas, timm:NAME and tv:NAME. Use --format onnx or torch.",
            network=name or type(network.net).__name__,
        )
    preprocessing = network.preprocessing.to_dict()
    preprocessing["why"] = str(preprocessing["why"])
    return {
        "schema": SCHEMA,
        "library_name": "convatlas",
        "convatlas_version": __version__,
        "task": "image-classification",
        "network": name,
        "num_classes": len(network.labels),
        "in_channels": network.preprocessing.channels,
        "image_size": network.preprocessing.size[0],
        "classes": list(network.labels.names),
        "preprocessing": preprocessing,
    }


def is_pretrained(path: str | Path) -> bool:
    """Whether a folder has the layout that `save_pretrained` writes."""
    folder = Path(path)
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def from_pretrained(where: str | Path, *, download: bool = False, revision: str | None = None) -> LoadedNetwork:
    """Read a network that `save_pretrained` wrote.

    Args:
        where: a folder, or ``owner/name`` of the Hub.
        download: whether the Hub may be asked; without it a copy in its cache is used.
        revision: branch, tag or commit on the Hub; for weights that must not change, a commit.

    Returns:
        The network with its preprocessing and class names; `evaluate`, `predict` and `export` take it. ``net`` is the
        module, in evaluation mode.

    Raises:
        DataError: there is no such folder, or its config.json is not one of ours.
        CheckpointError: the weights are damaged, or of another network.
        MissingDependencyError: ``owner/name``, and the package of the Hub is not installed.
    """
    folder = Path(where) if Path(where).is_dir() else _fetched(str(where), download, revision)
    config = read_config(folder / CONFIG)
    try:
        tensors = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    except OSError as error:
        raise CheckpointError(
            "{path} cannot be read: {reason}.", path=folder / WEIGHTS, reason=system_reason(error)
        ) from error
    except SafetensorError as error:
        raise CheckpointError("{path} is damaged: {error}.", path=folder / WEIGHTS, error=error) from error
    arguments = (config["network"], config["num_classes"], config["in_channels"], config["image_size"])
    with torch.random.fork_rng(devices=()):
        with torch.device("meta"):  # the sizes that the file states cost no memory before the weights agree with them
            expected = models.create_model(*arguments).state_dict()
        agree = {name: tuple(tensor.shape) for name, tensor in expected.items()} == {
            name: tuple(tensor.shape) for name, tensor in tensors.items()
        }
        if not agree:
            raise CheckpointError(
                "the weights in {path} are not those of {network} with {classes} classes, as config.json says.",
                path=folder / WEIGHTS,
                network=config["network"],
                classes=config["num_classes"],
            )
        net = models.create_model(*arguments)
    checkpoint.load_network(tensors, net, prefix="")
    return LoadedNetwork(
        str(where),
        net.eval(),
        Preprocessing.from_dict(config["preprocessing"]),
        Labels(tuple(config["classes"])),
        Message("as stored in {file}", file=CONFIG),
    )


def read_config(path: Path) -> dict[str, Any]:
    """Read and check a config.json.

    Raises:
        DataError: it cannot be read, or a value is missing, of the wrong type or out of range.
    """
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError("{path} cannot be read: {error}.", path=path, error=error) from error
    if not isinstance(config, dict) or config.get("library_name") != "convatlas" or config.get("schema") != SCHEMA:
        raise DataError(
            "{path} was not written by convatlas, or by a later version of it. Of other models, load the weights: "
            "create_model(NAME, weights=FILE).",
            path=path,
        )
    name = config.get("network")
    if not isinstance(name, str) or (name not in models.list_models() and not bridges.is_bridged(name)):
        raise DataError("{path}: {value!r} is not a network of the atlas, of timm or of torchvision.", path=path,
                        value=name)  # fmt: skip
    for key, most in MOST.items():
        value = config.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise DataError("{path}: {key} is {value!r}; expected 1 to {most}.", path=path, key=key, value=value,
                            most=most)  # fmt: skip
    classes = config.get("classes")
    if (
        not isinstance(classes, list)
        or not all(isinstance(each, str) for each in classes)
        or len(classes) != config["num_classes"]
    ):
        raise DataError("{path}: classes must be a list of {count} names.", path=path, count=config["num_classes"])
    preprocessing = config.get("preprocessing")
    try:
        size = Preprocessing.from_dict(preprocessing).size if isinstance(preprocessing, Mapping) else None
    except (UsageError, TypeError, ValueError) as error:
        raise DataError("{path}: {error}", path=path, error=error) from error
    if size != (config["image_size"],) * 2:
        raise DataError("{path}: preprocessing must have the size of image_size, {side} x {side}.", path=path,
                        side=config["image_size"])  # fmt: skip
    return config


def upload(folder: str | Path, repository: str, *, private: bool = True) -> str:
    """Upload a folder that `save_pretrained` wrote to the Hub. The only function that sends anything anywhere.

    Args:
        repository: ``owner/name``; it is made if it does not exist.
        private: whether a new repository is private.

    Returns:
        The address of the commit.

    Raises:
        MissingDependencyError: the package of the Hub is not installed.
        ConvAtlasError: the Hub cannot be reached, or refuses; the folder is unchanged.
    """
    hub = _hub()
    try:
        client = hub.HfApi()
        client.create_repo(repository, private=private, exist_ok=True)
        commit = client.upload_folder(
            folder_path=str(folder), repo_id=repository, allow_patterns=[CONFIG, WEIGHTS, CARD],
            commit_message="Upload with convatlas",
        )  # fmt: skip
    except Exception as error:  # of the client and of its transport, which share no class
        raise ConvAtlasError(
            "{folder} could not be uploaded to {repository}: {error}. The folder is complete; try again, or log in "
            "with  hf auth login.",
            folder=folder,
            repository=repository,
            error=_first_line(error),
        ) from error
    return str(commit.commit_url)


def _fetched(name: str, download: bool, revision: str | None) -> Path:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise DataError("there is no folder {name}; name one that save_pretrained wrote, or owner/name.", name=name)
    hub = _hub()
    try:
        folder = hub.snapshot_download(
            name, revision=revision, allow_patterns=[CONFIG, WEIGHTS], local_files_only=not download
        )
    except Exception as error:
        raise DataError(
            "{name} could not be fetched from the Hub: {error}"
            if download
            else "{name} is not a folder, and not in the cache of the Hub; pass --download (download=True in Python).",
            name=name,
            error=_first_line(error),
        ) from error
    return Path(folder)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingDependencyError("huggingface_hub", "hf", Message("the Hub")) from error
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# --- the model card, which is in English on the Hub -------------------------------------------------------------------

TEMPLATE = """\
---
library_name: convatlas
pipeline_tag: image-classification
tags:
- image-classification
- {tag}
{licence}{results}---

# {title}

{introduction}

## Use

```python
import convatlas as ca

network = ca.from_pretrained("FOLDER OR OWNER/NAME")
for prediction in ca.predict(network, "image.jpg"):
    print(prediction.file, prediction.top)
```

## Figures

| quantity | value | kind | how |
|---|---|---|---|
{figures}

## Data and training

{training}

## Images

{images}

{classes}

## Limits

{limits}
"""


def card_of(network: LoadedNetwork, config: Mapping[str, Any], licence: str | None = None) -> str:
    """The model card: network, data, protocol, figures with intervals, and limits. Markdown, in English."""
    run = network.run
    result = (run.result or {}) if run is not None else {}
    name = str(config["network"])
    title = name if run is None else run.path.resolve().name
    names = [markdown(each) for each in config["classes"]]
    shown = ", ".join(names[:MOST_CLASSES_LISTED]) + (", ..." if len(names) > MOST_CLASSES_LISTED else "")
    return TEMPLATE.format(
        tag="convatlas",
        licence="" if licence is None else f"license: {json.dumps(licence)}\n",
        results=_results(title, run, result),
        title=markdown(title),
        introduction=_introduction(name),
        figures="\n".join("| " + " | ".join(row) + " |" for row in _figures(network, config, result)),
        training=_training(run, result),
        images="Input {} x {}, {} channels. Preparation: {}.".format(
            config["image_size"], config["image_size"], config["in_channels"], markdown(str(network.prepared))
        ),
        classes=f"{len(names)} classes: {shown}.",
        limits="\n".join("- " + line for line in _limits(run, result)),
    )


def markdown(text: str) -> str:
    """A text of the user's, such as a class name, so that it cannot be taken for markup."""
    return "".join("\\" + c if c in "\\`*_{}[]<>#|!" else c for c in " ".join(text.split()))


def _introduction(name: str) -> str:
    if bridges.is_bridged(name):
        return f"The network `{name}` of {bridges.parse(name).package}, trained with convatlas."
    card = models.card(name)
    paper = card.paper
    text = "`{}`: {} {}, {} ({}).".format(name, ", ".join(paper.authors), paper.title, paper.venue, paper.year)
    if card.departures:
        text += " Departures from the paper: {}.".format("; ".join(str(each.topic) for each in card.departures))
    return text


def _figures(network: LoadedNetwork, config: Mapping[str, Any], result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    from convatlas import arithmetic

    shape = (config["in_channels"], config["image_size"], config["image_size"])
    totals = arithmetic.summarize(network.net, shape, model=str(config["network"])).totals
    rows: list[tuple[str, ...]] = [
        ("parameters", units.exact(totals.params), "derived", "trainable; running statistics apart"),
        ("MACs", units.exact(totals.macs), "derived", "convolutions and fully connected layers, one image"),
    ]
    if result.get("test_top1") is not None:
        low, high = result["test_ci95"]
        how = "{} test images, protocol {}".format(result["test_n"], result["protocol"])
        value = "{} (95 % interval {})".format(units.percent(result["test_top1"]), units.interval(low, high))
        rows.append(("top-1 accuracy", value, "measured", how))
    if result.get("test_top5") is not None and int(config["num_classes"]) > 5:
        rows.append(("top-5 accuracy", units.percent(result["test_top5"]), "measured", "the same images and protocol"))
    if result.get("val_top1") is not None:
        how = "chose the weights, so it is too good an estimate"
        rows.append(("validation top-1", units.percent(result["val_top1"]), "measured", how))
    return rows


def _training(run: Run | None, result: Mapping[str, Any]) -> str:
    if run is None:
        return "The weights are those of another source; see it for their data and training."
    data, environment = run.config["data"], run.environment
    source = str(data["source"])
    name = source if source.startswith("hf:") else Path(source).name
    lines = [
        "Data: `{}`, layout {}, fingerprint `{}`. {}".format(
            name.replace("`", "'"), data["layout"], str(data["fingerprint"])[:16], data["split"]
        ),
        "Recipe `{}`, {} epochs, seed {}, {} s of training; {} was kept.".format(
            run.recipe.name, result.get("epochs"), run.seed, result.get("train_s"),
            "epoch {}".format(int(result["chosen_epoch"]) + 1) if "chosen_epoch" in result else "the last epoch",
        ),
        "Made with convatlas {}, torch {}; the numbers above were measured on {}.".format(
            __version__, environment.get("torch"), run.config["machine"].get("device")
        ),
    ]  # fmt: skip
    if "start" in run.config:
        weights = str(run.config["start"].get("weights", run.config["recipe"].get("start_from")))
        lines.append(f"The training started from the weights `{Path(weights).name}`.")
    return "\n\n".join(lines)


def _limits(run: Run | None, result: Mapping[str, Any]) -> list[str]:
    lines = [
        "The accuracy is that on images like those of the test set. On images from another camera, place or time it "
        "can be much lower; measure it on your own images with `convatlas evaluate`.",
        "Every image gets one of the classes above, also an image that shows none of them.",
        "The probabilities are those of a softmax and were not calibrated.",
    ]
    if run is None:
        return ["No accuracy was measured with this copy of the weights.", *lines]
    if result.get("test_top1") is not None:
        low, high = result["test_ci95"]
        template = "One training with one seed: the interval of {} points is what the {} test images leave open."
        lines.insert(0, template.format(math.ceil(1000 * (high - low)) / 10, result["test_n"]))
    return lines


def _results(title: str, run: Run | None, result: Mapping[str, Any]) -> str:
    """The figures in the form that the Hub reads, YAML; texts are written as JSON, which YAML contains."""
    if run is None or result.get("test_top1") is None:
        return ""
    source = str(run.config["data"]["source"])
    name = source if source.startswith("hf:") else Path(source).name
    return (
        "model-index:\n- name: {}\n  results:\n  - task:\n      type: image-classification\n    dataset:\n"
        "      name: {}\n      type: {}\n    metrics:\n    - type: accuracy\n      value: {}\n      name: {}\n"
    ).format(
        json.dumps(title),
        json.dumps(name),
        json.dumps(name),
        round(result["test_top1"], 6),
        json.dumps("test top-1, protocol {}".format(result["protocol"])),
    )
