"""Exports measured: writes results/export/*.json.

    python benchmarks/export_atlas.py sweep [--names "resnet*"] [--seconds 600]   # every network, random weights
    python benchmarks/export_atlas.py squeezenet     # real weights on the 50 photos: precisions, formats, the resize
    python benchmarks/export_atlas.py resizing       # the resize beside Pillow's, on photos and odd images
    python benchmarks/export_atlas.py resnet18       # seconds of export, int8 and contract on 1,000 images
    python benchmarks/export_atlas.py resnet20       # trained on CIFAR-10 for a few epochs: int8 beside fp32

``sweep`` appends one line per network to atlas.jsonl and continues where it stopped, the smallest networks first.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import convatlas as ca
from convatlas.data import Preprocessing, open_data
from convatlas.errors import BadImageError, ConvAtlasError
from convatlas.exports import onnx_format
from convatlas.exports.contract import Contract
from convatlas.exports.conversion import complete, network_to_onnx
from convatlas.exports.description import LOGITS, Description
from convatlas.exports.engines import instruction_set, load_engine
from convatlas.exports.export import export
from convatlas.exports.reference import prepared, probe
from convatlas.exports.reference_results import logits_of, noise_of, weights_digest
from convatlas.models import entry
from convatlas.models.weights import load_weights
from convatlas.runs.reconstruction import refuse_classifying

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "export"
SHARED = ROOT.parent / "shared" / "data"
IMAGES = 3  # of a network in the sweep


def sweep(pattern: str, seconds: float) -> None:
    """Every network of the atlas: converted with a dynamic batch, its logits compared in two engines."""
    file = RESULTS / "atlas.jsonl"
    done = {json.loads(line)["network"] for line in file.read_text().splitlines()} if file.exists() else set()
    names = sorted(ca.list_models(pattern), key=lambda name: entry(name).params)
    started = time.monotonic()
    for name in names:
        if name in done:
            continue
        if time.monotonic() - started > seconds:
            break
        row = swept(name)
        with file.open("a") as opened:
            opened.write(json.dumps(row) + "\n")
        print(row, flush=True)
        gc.collect()


def swept(name: str) -> dict[str, Any]:
    """One network with random weights: logits only."""
    about = entry(name)
    row: dict[str, Any] = {"network": name, "params": about.params, "weights": "random"}
    started = time.perf_counter()
    try:
        refuse_classifying(name, about, "an exported file answers with classes")
        torch.manual_seed(0)
        net = ca.create_model(name).eval()
        channels, height, width = about.input
        preprocessing = Preprocessing((height, width), channels, (0.45,) * channels, (0.25,) * channels)
        core = network_to_onnx(net, preprocessing)
    except ConvAtlasError as error:
        return {**row, "state": "refused", "reason": str(error)}
    row["conversion_s"] = round(time.perf_counter() - started, 1)
    description = Description(
        format="onnx",
        precision="fp32",
        input="pixels",
        network=name,
        classes=tuple(map(str, range(about.num_classes))),
        preparation=preprocessing.to_dict(),
        weights={"sha256": weights_digest(net)},
        trained=False,
    )
    images = [probe(number, height, width, channels) for number in range(IMAGES)]
    reference = logits_of(net, images, preprocessing)
    noise, scale = noise_of(net, images[:1], preprocessing), float(reference.std())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        onnx_format.write(complete(core, preprocessing, "13.0.0", False, description), path)
        del net, core
        gc.collect()
        row |= {"state": "exported", "bytes": path.stat().st_size, "noise_over_std": noise / scale}
        for engine in ("onnxruntime", "openvino"):
            loaded = load_engine(path, engine)
            logits = loaded.run(np.stack(images))[LOGITS]
            single = loaded.run(images[0][None])[LOGITS]
            row[engine] = {
                "difference_over_std": float(np.abs(logits - reference).max()) / scale,
                "batch_of_one_over_std": float(np.abs(single[0] - logits[0]).max()) / scale,
            }
            del loaded
            gc.collect()
    row["seconds"] = round(time.perf_counter() - started, 1)
    return row


def squeezenet() -> None:
    """SqueezeNet 1.1 with the authors' weights on 50 photos: what each precision changes, and the resize."""
    net = ca.create_model("squeezenet1_1")
    load_weights(net, SHARED / "weights" / "squeezenet_v1.1.caffemodel")
    photos = SHARED / "photos"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for format, precision, input in (
            ("onnx", "fp32", "pixels"),
            ("onnx", "fp32", "photo"),
            ("onnx", "fp16", "pixels"),
            ("onnx", "int8", "pixels"),
            ("openvino", "fp32", "pixels"),
            ("openvino", "bf16", "pixels"),
            ("openvino", "int8", "pixels"),
            ("torch", "fp32", "pixels"),
        ):
            started = time.perf_counter()
            calibration = SHARED / "photos" if precision == "int8" else None
            written = export(
                net,
                format,
                precision,
                input=input,
                check=photos,
                calibration=calibration,
                out=Path(folder, f"{format}-{precision}-{input}"),
            )
            rows.append(
                {**summary(written.contract), "input": input, "bytes": written.size_bytes}
                | {"seconds": round(time.perf_counter() - started, 1)}
            )
            print(rows[-1], flush=True)
            if input == "photo":
                again = ca.check_export(written.file, photos, engine="openvino")
                rows.append({**summary(again), "input": input, "bytes": written.size_bytes})
                print(rows[-1], flush=True)
    save("squeezenet1_1.json", {"images": "50 photos", "calibration": "the same 50 photos", "rows": rows})


def summary(contract: Contract) -> dict[str, Any]:
    pixels, logits, labels = (contract.check(name).values for name in ("pixels", "logits", "labels"))
    return {
        "format": contract.format,
        "precision": contract.precision,
        "engine": contract.conditions["engine"],
        "state": contract.state,
        "n": contract.n,
        "pixels_identical": pixels["identical"],
        "pixel_levels": pixels["levels"],
        "largest_difference": logits["largest_difference"],
        "rms_over_std": logits["rms_over_std"],
        **{name: labels.get(name) for name in ("flips", "lost", "won", "run_top1", "file_top1", "loss_ci95")},
    }


def resizing() -> None:
    """The resize inside the file beside Pillow's: the photos and every odd image that can be read."""
    import onnx
    from onnx import TensorProto, helper
    from PIL import __version__ as pillow

    from convatlas.data.decode import read_image
    from convatlas.exports.graph import GraphBuilder
    from convatlas.exports.resizing import add_resize

    rows = []
    for resize, interpolation in (("shorter-crop", "bilinear"), ("shorter-crop", "bicubic"), ("squash", "bilinear")):
        preprocessing = Preprocessing(
            (224, 224),
            3,
            resize=resize,
            margin=256 / 224,
            interpolation=interpolation,  # type: ignore[arg-type]
        )
        graph = GraphBuilder("preparation")
        name = add_resize(graph, preprocessing, pillow)
        given = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, "height", "width", 3])
        result = helper.make_tensor_value_info(name, TensorProto.UINT8, [1, 224, 224, 3])
        whole = helper.make_graph(graph.nodes, "resize", [given], [result], graph.initializers)
        model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "resize.onnx")
            onnx.save(model, path)
            engines = {engine: load_engine(path, engine) for engine in ("onnxruntime", "openvino")}
            for source in ("photos", "odd-images", "hymenoptera"):
                counts = {engine: {"identical": 0, "levels": 0} for engine in engines}
                n = 0
                for file in sorted((SHARED / source).rglob("*")):
                    if not file.is_file():
                        continue
                    try:
                        pixels = read_image(file)
                    except BadImageError:
                        continue
                    if pixels.shape[2] == 1:
                        pixels = pixels.repeat(3, axis=2)
                    wanted, n = prepared(pixels, preprocessing), n + 1
                    for engine, loaded in engines.items():
                        found = loaded.run(pixels[None])[name][0]
                        most = int(np.abs(found.astype(int) - wanted).max())
                        counts[engine]["identical"] += most == 0
                        counts[engine]["levels"] = max(counts[engine]["levels"], most)
                rows.append({"resize": resize, "interpolation": interpolation, "images": source, "n": n, **counts})
                print(rows[-1], flush=True)
    save("resize.json", {"pillow": pillow, "size": 224, "margin": "256/224", "rows": rows})


def resnet18(cifar: Path) -> None:
    """Seconds of export to int8 with a contract on 1,000 CIFAR-10 images at 224 pixels. The weights are random."""
    torch.manual_seed(0)
    net = ca.create_model("resnet18", 10).eval()
    preprocessing = Preprocessing((224, 224), 3, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26), resize="squash")
    classes = open_data(str(cifar)).classes
    with tempfile.TemporaryDirectory() as folder:
        stages: dict[str, float] = {}
        last = ["", time.perf_counter()]

        def progress(stage: str, done: int, total: int) -> None:
            if stage != last[0]:
                stages[stage] = time.perf_counter()
                last[0] = stage

        started = time.perf_counter()
        written = export(
            net,
            precision="int8",
            calibration=cifar,
            check=cifar,
            classes=classes,
            preprocessing=preprocessing,
            out=Path(folder),
            progress=progress,
        )
        seconds = time.perf_counter() - started
    begun = {stage: round(at - started, 1) for stage, at in stages.items()}
    save("resnet18.json", {"seconds": round(seconds, 1), "stages_begin_s": begun, **summary(written.contract)})


def resnet20(cifar: Path, epochs: int) -> None:
    """A ResNet-20 of a few epochs on CIFAR-10: int8 beside fp32 on the 10,000 test images."""
    with tempfile.TemporaryDirectory() as folder:
        run = ca.train("resnet20_cifar", cifar, out=folder, epochs=epochs)
        rows = []
        for precision in ("fp32", "int8"):
            written = export(run, precision=precision, check=cifar, most_images=10_000)
            rows.append({**summary(written.contract), "bytes": written.size_bytes})
            print(rows[-1], flush=True)
    save("resnet20_cifar.json", {"epochs": epochs, "ratio_of_sizes": rows[1]["bytes"] / rows[0]["bytes"], "rows": rows})


def save(name: str, content: dict[str, Any]) -> None:
    about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "instruction_set": instruction_set()}
    (RESULTS / name).write_text(json.dumps({**about, **content}, indent=2) + "\n")
    print(json.dumps(content, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sweep", "squeezenet", "resizing", "resnet18", "resnet20"])
    parser.add_argument("--names", default="*")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--cifar", type=Path, help="CIFAR-10's binary batches, for resnet18 and resnet20")
    asked = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    if asked.what == "sweep":
        sweep(asked.names, asked.seconds)
    elif asked.what in ("resnet18", "resnet20"):
        if asked.cifar is None:
            parser.error("--cifar names the folder of CIFAR-10's binary batches")
        resnet18(asked.cifar) if asked.what == "resnet18" else resnet20(asked.cifar, asked.epochs)
    else:
        {"squeezenet": squeezenet, "resizing": resizing}[asked.what]()


if __name__ == "__main__":
    main()
