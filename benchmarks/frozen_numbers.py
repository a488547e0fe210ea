"""Numbers that a change of the code's shape must not change, and the comparison of two trees by them.

    PYTHONPATH=OLD/src python benchmarks/frozen_numbers.py > before.txt
    PYTHONPATH=NEW/src python benchmarks/frozen_numbers.py > after.txt
    python benchmarks/frozen_numbers.py --compare before.txt after.txt

Every line is ``KIND NAME JSON``:

- ``network``: hashes of the weights of every network of the atlas, drawn with seed 0, and of its output for one image;
- ``run``: hashes of the weights that small trainings end with, and their figures; some are interrupted and resumed,
  some start from another run;
- ``document``: what the commands print as JSON, and the settings of every recipe.

Hashes are of exact bits: both files have to come from one machine and one version of PyTorch. In a comparison a number,
a hash or a missing key counts as a difference; new keys are allowed, and texts that differ are listed apart, for words
may be revised. Only ``import convatlas`` and the command line are used, so that one script runs on both trees.

``--only KIND`` prints one kind. All together take about five minutes on one core.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KINDS = ("network", "run", "document")
VOLATILE = {"train_s", "images_per_s", "seconds", "wall_s", "time"}  # measured times
STEADY = ("--device", "cpu", "--threads", "1", "--precision", "fp32", "--no-trial", "--no-allocator")
STEADY_BF16 = ("--device", "cpu", "--threads", "1", "--precision", "bf16", "--no-trial", "--no-allocator")
TERMINATED_EXIT = 143  # by SIGTERM, a checkpoint written

# name -> network, its options; "digits" is the embedded set, "folder" a few of its images as files
RUNS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mlp-modern": ("mlp", "digits", ("--epochs", "2", "--min-updates", "0")),
    "mlp-bf16": ("mlp", "digits", ("--epochs", "1", "--min-updates", "0")),
    "lenet5-paper": ("lenet5", "folder", ("--recipe", "paper", "--epochs", "2")),
    "lenet5-modern-balanced-focal": (
        "lenet5@modern", "folder",
        ("--epochs", "2", "--sampling", "balanced", "--loss", "focal", "--batch-size", "16", "--min-updates", "0"),
    ),
    "autoencoder": ("autoencoder", "digits", ("--epochs", "1", "--min-updates", "0")),
    "resnet20-mixup-ema-accumulate": (
        "resnet20_cifar", "folder",
        ("--epochs", "2", "--min-updates", "0", "--batch-size", "32", "--lr", "0.05", "--mixup", "0.2", "--ema", "0.9",
         "--accumulate", "2"),
    ),
    "resnet20-adamw-cutmix-policy": (
        "resnet20_cifar", "folder",
        ("--epochs", "2", "--min-updates", "0", "--batch-size", "32", "--optimizer", "adamw", "--no-nesterov",
         "--lr", "0.002", "--cutmix", "1.0", "--policy", "trivial", "--erasing", "0.25", "--label-smoothing", "0.1"),
    ),
    "resnet20-muon-geometry": (
        "resnet20_cifar", "folder",
        ("--epochs", "2", "--min-updates", "0", "--batch-size", "32", "--optimizer", "muon", "--no-nesterov",
         "--lr", "0.02", "--rotate", "10", "--shift", "0.1", "--scale", "0.9", "1.1", "--crop", "random-resized",
         "--brightness", "0.2", "--class-weights", "effective"),
    ),
    "resnet20-paper": ("resnet20_cifar", "folder", ("--recipe", "paper", "--epochs", "2", "--batch-size", "32")),
    "resnet20-lookahead-cosine": (
        "resnet20_cifar", "folder",
        ("--recipe", "modern_long", "--epochs", "2", "--min-updates", "0", "--batch-size", "32", "--lookahead", "2",
         "--warmup-epochs", "1", "--max-grad-norm", "1.0", "--policy", "rand",
         "--cutout", "8"),
    ),
    "densenet-dropout": (
        "densenet40_k12_cifar", "folder",
        ("--epochs", "1", "--min-updates", "0", "--batch-size", "32", "--dropout", "0.2", "--flip", "on"),
    ),
    "speednet-fast": ("speednet_cifar", "folder", ("--recipe", "fast", "--epochs", "1", "--batch-size", "32")),
    "squeezenet-paper": (
        "squeezenet1_1", "folder",
        ("--recipe", "paper", "--epochs", "1", "--batch-size", "16", "--image-size", "64"),
    ),
    "lenet5-transfer": (
        "lenet5@modern", "digits",
        ("--epochs", "1", "--min-updates", "0", "--start-from", "{lenet5-modern-balanced-focal}",
         "--freeze", "all-but-head"),
    ),
}  # fmt: skip

# the same runs, told to stop after their first epoch and then resumed; they must end with the same bits
RESUMED = ("mlp-modern", "lenet5-paper", "resnet20-mixup-ema-accumulate", "resnet20-adamw-cutmix-policy",
           "resnet20-muon-geometry", "resnet20-lookahead-cosine")  # fmt: skip

DOCUMENTS: dict[str, str] = {
    "models": "models --json",
    "ledger": "models --ledger --json",
    "conventions-alexnet": "show alexnet --conventions --json",
    "conventions-googlenet": "show googlenet --conventions --json",
    "other-input": "show vgg16 --input 3x96x96 --json",
    "explain-alexnet": "explain alexnet --json",
    "explain-lenet5": "explain lenet5 --json",
    "explain-xception": "explain xception --json",
    **{
        f"comparison-{name}": f"explain --comparison {name} --json"
        for name in ("stacks", "reduction", "inception", "bottleneck", "grouped", "separable", "sharing")
    },
    "layer-conv": "layer conv --input 3x227x227 --kernel 11 --stride 4 --out 96 --json",
    "layer-pool": "layer pool --input 64x112x112 --kernel 3 --stride 2 --ceil --json",
    "layer-fc": "layer fc --input 256x6x6 --out 4096 --json",
    "data-digits": "data digits --json",
    "data-folder": "data folder --json",
    "recipes": "train --list-recipes --json",
    "memory": "show resnet20_cifar --limit 100MiB --json",
    "effective-field": "explain lenet5 C3 --effective-field field.png --json",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=KINDS, help="print one kind of line")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("BEFORE", "AFTER"))
    chosen = parser.parse_args()
    if chosen.compare:
        return compared(*(read(path) for path in chosen.compare))
    for name in [each for each in os.environ if each.startswith("CONVATLAS_")]:
        del os.environ[name]
    os.environ["CONVATLAS_LANG"], os.environ["COLUMNS"] = "en", "100"
    source = Path.cwd()
    os.environ["PYTHONPATH"] = os.pathsep.join(  # the commands run in another directory
        str(source / part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_images(Path("folder"))
        for kind, lines in (("network", networks()), ("run", runs()), ("document", documents())):
            if chosen.only in (None, kind):
                for name, value in lines:
                    print(kind, name, json.dumps(value, sort_keys=True, ensure_ascii=False), flush=True)
    return 0


def write_images(folder: Path) -> None:
    """96 of the embedded digits as 8 x 8 PNG files, a folder to each of three classes."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in range(3):
        (folder / str(label)).mkdir(parents=True)
        for i, pixels in enumerate(digits.images[digits.target == label][:32]):
            Image.fromarray((pixels * 255 / 16).astype("uint8")).save(folder / str(label) / f"{i:02}.png")


# --- networks ---------------------------------------------------------------------------------------------------------


def networks() -> Iterator[tuple[str, dict[str, Any]]]:
    import torch

    import convatlas as ca
    from convatlas.models import entry

    torch.set_num_threads(1)
    for name in ca.list_models():
        torch.manual_seed(0)
        net = ca.create_model(name).eval()
        image = torch.rand(1, *entry(name).input, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            output = net(image)
        yield name, {"weights": hashed(net.state_dict()), "output": hashed({"output": output})}


def hashed(tensors: dict[str, Any]) -> str:
    """SHA-256 over names, shapes, types and bits."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


# --- runs -------------------------------------------------------------------------------------------------------------


class CommandError(Exception):
    """A command that should have succeeded: its arguments, exit code and the last line it wrote on stderr."""


def runs() -> Iterator[tuple[str, dict[str, Any]]]:
    folders: dict[str, Path] = {}
    for name, (model, data, options) in RUNS.items():
        steady = STEADY_BF16 if "bf16" in name else STEADY
        filled = [str(folders[option[1:-1]]) if option.startswith("{") else option for option in options]
        arguments = ["train", model, "--data", data, "--seed", "3", "--json", *steady, *filled]
        try:
            done = command([*arguments, "--out", f"whole-{name}"])
        except CommandError as error:  # the other runs are worth having
            yield name, {"failed": str(error)}
            continue
        folders[name] = only_run(Path(f"whole-{name}"))
        yield name, {**ending(folders[name]), "figures": stable(json.loads(done.splitlines()[-1]))}
        if model != "autoencoder":
            yield f"{name}-evaluated", json.loads(command(["evaluate", str(folders[name]), "--json"]))
        if name in RESUMED:
            interrupt([*arguments, "--out", f"halved-{name}"])
            halved = only_run(Path(f"halved-{name}"))
            command(["train", "--resume", str(halved), "--json"])
            yield f"{name}-resumed", {**ending(halved), "same": ending(halved) == ending(folders[name])}
    lines = command(["predict", str(folders["mlp-modern"]), "folder/1", "--json"]).splitlines()
    yield "predicted", {"lines": [json.loads(line) for line in lines]}


def command(arguments: list[str]) -> str:
    """Standard output of the program in a process of its own."""
    done = subprocess.run(program(arguments), capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        last = (done.stderr.splitlines() or [""])[-1]
        raise CommandError(f"convatlas {' '.join(arguments)}: exit code {done.returncode}: {last}")
    return done.stdout.replace(f"{Path.cwd()}{os.sep}", "")  # the same in every temporary folder


def program(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "convatlas", *arguments]


def interrupt(arguments: list[str]) -> None:
    """Start a training and send it SIGTERM when it reports its first epoch; it leaves a checkpoint."""
    with subprocess.Popen(
        program([*arguments, "--checkpoint-every-steps", "1"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("event") == "epoch":
                process.send_signal(signal.SIGTERM)
                break
        process.stdout.read()
    if process.returncode != TERMINATED_EXIT:
        raise CommandError(f"{' '.join(arguments)}: exit code {process.returncode} instead of {TERMINATED_EXIT}")


def only_run(parent: Path) -> Path:
    [run] = (path.parent for path in parent.glob("*/config.toml"))
    return run


def ending(run: Path) -> dict[str, Any]:
    """The hash of the weights a run ended with, and its epochs without times."""
    from safetensors.torch import load_file

    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    epochs = {line["epoch"]: stable(line) for line in lines if line.get("event") == "epoch" or "train_loss" in line}
    return {"weights": hashed(load_file(run / "model.safetensors")), "epochs": [epochs[n] for n in sorted(epochs)]}


def stable(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in VOLATILE | {"run"}}


# --- documents --------------------------------------------------------------------------------------------------------


def documents() -> Iterator[tuple[str, Any]]:
    import torch

    import convatlas as ca

    torch.set_num_threads(1)
    for name, line in DOCUMENTS.items():
        yield name, json.loads(printed(line.split()))
    for name in ca.list_models():
        yield f"show-{name}", json.loads(printed(["show", name, "--json"]))
        listed = json.loads(printed(["train", name, "--list-recipes", "--json"]))["recipes"]
        yield f"recipes-{name}", listed
    named = json.loads(printed(["train", "--list-recipes", "--json"]))["recipes"]
    for recipe in named:
        model = "speednet_cifar" if recipe["recipe"] == "fast" else "lenet5"
        yield f"settings-{recipe['recipe']}", settings(model, recipe["recipe"])
    for name in ("lenet5", "alexnet", "vgg16", "resnet50", "resnet20_cifar", "mlp", "autoencoder"):
        yield f"settings-{name}-modern", settings(name, "modern")


def settings(model: str, recipe: str) -> dict[str, Any]:
    """What ``--print-config`` says of each setting: its value; the order and the comments do not matter."""
    lines = printed(["train", model, "--recipe", recipe, "--print-config"]).splitlines()
    pairs = (line.split("  # ")[0].split(None, 1) for line in lines if line and not line.startswith("#"))
    return {name: json.loads(value) for name, value in pairs}


def printed(arguments: list[str]) -> str:
    """Standard output of a command, run in this process."""
    from convatlas.cli import main

    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    try:
        with contextlib.redirect_stdout(out):
            main(arguments)
    except SystemExit as left:
        if left.code:
            raise SystemExit(f"convatlas {' '.join(arguments)}: exit code {left.code}") from None
    return out.buffer.getvalue().decode()


# --- comparison -------------------------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, Any]:
    found = {}
    for line in path.read_text("utf-8").splitlines():
        kind, name, value = line.split(" ", 2)
        found[f"{kind} {name}"] = json.loads(value)
    return found


def compared(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Print the differences; 1 where a number, a hash or a key of ``before`` is not the same in ``after``."""
    numbers: list[str] = []
    texts: list[str] = []
    for name, value in before.items():
        if name not in after:
            numbers.append(f"{name}: missing")
        else:
            differ(name, value, after[name], numbers, texts)
    for line in texts:
        print("text  ", line)
    for line in numbers:
        print("NUMBER", line)
    print(f"{len(before)} lines compared: {len(numbers)} differ in numbers, {len(texts)} texts differ")
    return 1 if numbers else 0


def differ(place: str, before: Any, after: Any, numbers: list[str], texts: list[str]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                differ(f"{place}.{key}", value, after[key], numbers, texts)
            else:
                numbers.append(f"{place}.{key}: missing")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (left, right) in enumerate(zip(before, after, strict=True)):
            differ(f"{place}[{i}]", left, right, numbers, texts)
    elif before != after or type(before) is not type(after):
        exact = place.endswith((".weights", ".output")) or place.startswith("document settings-")
        is_text = isinstance(before, str) and isinstance(after, str) and not exact
        (texts if is_text else numbers).append(f"{place}: {before!r} -> {after!r}")


if __name__ == "__main__":
    sys.exit(main())
