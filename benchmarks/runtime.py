"""convatlas-runtime measured: writes results/export/runtime.json and clients.json.

    python benchmarks/runtime.py             # the environment's size, and process start to the first ResNet-50 label
    python benchmarks/runtime.py --clients   # labels of the example clients on the 50 photos

The environment is new: the wheel built from runtime/ and what it requires. ResNet-50 has random weights, so its label
means nothing and no accuracy is claimed; the time does not depend on the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import convatlas as ca
from clients import browser_client, cpp_client, missing, python_client
from convatlas.data import Preprocessing
from convatlas.deployed.predict import predict
from convatlas.exports import onnx_format
from convatlas.exports.conversion import complete, network_to_onnx
from convatlas.exports.description import Description, write_sidecar
from convatlas.exports.engines import available_threads, instruction_set
from convatlas.exports.exported import open_exported
from convatlas.exports.reference_results import weights_digest
from convatlas.models.weights import load_weights

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "export"
SHARED = ROOT.parent / "shared" / "data"
REPEATS = 7


def environment(folder: Path) -> Path:
    """A new environment with the wheel of convatlas-runtime; the folder of its programs."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder / "dist"), str(ROOT / "runtime")],
        check=True,
    )
    (wheel,) = (folder / "dist").iterdir()
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    programs = folder / "venv" / "bin"
    pip = [str(programs / "pip"), "install", "-q", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run(pip, check=True)
    return programs


def megabytes(path: Path) -> int:
    """The disk space of a folder, as ``du -sm`` counts it."""
    return int(subprocess.check_output(["du", "-sm", str(path)], text=True).split()[0])


def untrained_resnet50(folder: Path) -> Path:
    """ResNet-50 with random weights as an exported file, marked untrained."""
    torch.manual_seed(0)
    net = ca.create_model("resnet50").eval()
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preprocessing = Preprocessing((224, 224), 3, mean, std, resize="shorter-crop", margin=256 / 224)
    description = Description(
        format="onnx",
        precision="fp32",
        input="pixels",
        network="resnet50",
        classes=tuple(f"class {number}" for number in range(1000)),
        preparation=preprocessing.to_dict(),
        weights={"name": "random", "sha256": weights_digest(net)},
        trained=False,
    )
    file = folder / "model.onnx"
    onnx_format.write(complete(network_to_onnx(net, preprocessing), preprocessing, "13.0.0", False, description), file)
    write_sidecar(file, description)
    return file


def first_label_s(command: Sequence[str]) -> tuple[float, float]:
    """Seconds from the start of a process until its first line is here, and the processor time of the process.

    The processor time of all its threads is what the first would be at most if no other program ran.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        process.stdout.read()
    assert line, "no label was printed"
    assert process.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def summary(values: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "minimum": min(values), "all": list(values)}


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = environment(folder)
        listed = json.loads(subprocess.check_output([programs / "pip", "list", "--format", "json"], text=True))
        size_mb = megabytes(folder / "venv")
        site = next((folder / "venv" / "lib").glob("python*/site-packages"))
        parts = {each.name: megabytes(each) for each in site.iterdir() if each.is_dir()}
        file = untrained_resnet50(folder)
        photo = folder / "photo.jpg"
        pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC).save(photo)
        command = [str(programs / "convatlas-runtime"), "predict", str(file), str(photo), "--top", "1"]
        first_label_s(command)  # the files come into the page cache, and Python compiles the modules
        loads, seconds, processor = [], [], []
        for _ in range(REPEATS):
            loads.append(os.getloadavg()[0])
            passed, used = first_label_s(command)
            seconds.append(passed)
            processor.append(used)
        return {
            "environment_mb": size_mb,
            "largest_parts_mb": dict(sorted(parts.items(), key=lambda part: -part[1])[:6]),
            "packages": {each["name"]: each["version"] for each in listed},
            "network": "resnet50, random weights (untrained)",
            "file_bytes": file.stat().st_size,
            "first_label_s": summary(seconds),
            "processor_time_s": summary(processor),
            "protocol": "start of `convatlas-runtime predict` to its first line; a JPEG of 640 x 480; warm file cache",
            "load": {"before_each": loads, "loaded": max(loads) > available_threads() / 2},
        }


def clients() -> dict[str, Any]:
    """The labels of the clients on the photos, beside those of convatlas with the same weights."""
    lacking = {client: needs for client in ("python", "browser", "cpp") if (needs := missing(client))}
    if lacking:
        raise SystemExit(f"not all clients can be run here: {lacking}")
    photos = sorted((SHARED / "photos").rglob("*.jpg"))
    net = ca.create_model("squeezenet1_1")
    load_weights(net, SHARED / "weights" / "squeezenet_v1.1.caffemodel")
    expected = [each.top[0] for each in ca.predict(net, photos, top=1)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels, photo = (ca.export(net, input=input, out=folder / input).file for input in ("pixels", "photo"))
        (folder / "decoded").mkdir()
        runtime = [each.top[0] for each in predict(open_exported(pixels), photos, top=1)]
        found = {
            "convatlas-runtime, pixels": runtime,
            "Python, onnxruntime, pixels": [each[1:] for each in python_client(pixels, photos)],
            "Python, onnxruntime, photo": [each[1:] for each in python_client(photo, photos)],
            "JavaScript, onnxruntime-web in Chromium, photo": [each[1:] for each in browser_client(photo, photos)],
            "C++, OpenVINO, pixels": [each[1:] for each in cpp_client(pixels, photos, folder / "decoded")],
            "C++, OpenVINO, photo": [each[1:] for each in cpp_client(photo, photos, folder / "decoded")],
        }
    rows = [
        {
            "client": client,
            "same_label": sum(label == wanted for (label, _), (wanted, _) in zip(labels, expected, strict=True)),
            "n": len(photos),
            "largest_difference_of_probability": max(
                abs(probability - wanted) for (_, probability), (_, wanted) in zip(labels, expected, strict=True)
            ),
            "other_labels": [
                {"photo": each.name, "expected": wanted, "found": label}
                for each, (label, _), (wanted, _) in zip(photos, labels, expected, strict=True)
                if label != wanted
            ],
        }
        for client, labels in found.items()
    ]
    return {"network": "squeezenet1_1, the authors' weights", "expected": "convatlas predict, PyTorch", "rows": rows}


def save(name: str, content: dict[str, Any]) -> None:
    about = {"python": platform.python_version(), "threads": available_threads(), "instruction_set": instruction_set()}
    (RESULTS / name).write_text(json.dumps({**about, **content}, indent=2) + "\n")
    print(json.dumps(content, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", action="store_true")
    RESULTS.mkdir(parents=True, exist_ok=True)
    if parser.parse_args().clients:
        save("clients.json", clients())
    else:
        save("runtime.json", measure())


if __name__ == "__main__":
    main()
