"""The command lines whose output is kept in ``expected/``: every command, every table, and what goes wrong.

The working directory of a case is the folder that `workplace` in conftest.py prepares: ``photos/`` (good images in
class folders), ``damaged/`` (one image is cut short), ``typo.toml``, ``net.py``, and ``trained/``, the run of
``train-mlp``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import masks

from convatlas.cli._app import COMMANDS

Mask = Callable[[str], str]


@dataclass(frozen=True)
class Case:
    """A command line, run in every language at every width.

    Args:
        name: begins the names of the files in ``expected/``; no dots.
        arguments: as they are typed, without ``convatlas``, ``--lang`` aside.
        stderr: whether stderr is kept too; not where it is the progress of something that runs once.
        mask: takes out of the text what depends on the machine.
        widths: columns of the terminal; None stands for a pipe.
        languages: fewer than two where the case is slow and its words are in another case.
        record: the name in `rendering.RECORDED` of a measurement that is made once and printed in each language and
            width, its measured values fixed.
    """

    name: str
    arguments: tuple[str, ...]
    stderr: bool = True
    mask: Mask = masks.nothing
    widths: tuple[int | None, ...] = (80, 120)
    languages: tuple[str, ...] = ("en", "ko")
    record: str | None = None


def case(name: str, line: str, **about: object) -> Case:
    return Case(name, tuple(line.split()), **about)  # type: ignore[arg-type]


def by_value(name: str, layer: str, arguments: tuple[str, ...]) -> Case:
    """A layer by value: its numbers are one argument each, with blanks inside."""
    languages = ("en",) if "--json" in arguments else ("en", "ko")
    return Case(name, ("layer", layer, *arguments), widths=(80,), languages=languages)


IMAGE = "1 1 1 0 0 / 0 1 1 1 0 / 0 0 1 1 1 / 0 0 1 1 0 / 0 1 1 0 0"
KERNEL = "1 0 1 / 0 1 0 / 1 0 1"

# training here has to be the same on every CPU, as far as that can be had
STEADY = "--device cpu --threads 1 --precision fp32 --no-allocator --no-trial"

MODELS = [
    case("models", "models"),
    case("models-piped", "models vgg* --no-variants", widths=(None,)),
    case("models-pattern", "models resnet*_cifar"),
    case("models-torchvision", "models *@torchvision"),
    case("models-json", "models lenet5* --json"),
    case("models-ledger", "models alexnet --ledger"),
    case("models-ledger-family", "models densenet1* --ledger"),
    case("models-ledger-json", "models vgg16 --ledger --json"),
]

SHOW = [
    case("show-lenet5", "show lenet5"),
    case("show-alexnet", "show alexnet"),
    case("show-resnet18-a", "show resnet18_a"),
    case("show-googlenet", "show googlenet"),
    case("show-autoencoder", "show autoencoder"),
    case("show-variant", "show resnet18@torchvision"),
    case("show-input", "show vgg11 --input 3x64x64"),
    case("show-csv", "show lenet5 --csv"),
    case("show-markdown", "show lenet5 --markdown"),
    case("show-latex", "show lenet5 --latex"),
    case("show-conventions", "show alexnet --conventions"),
    case("show-conventions-json", "show resnet20_cifar --conventions --json"),
    case("show-json", "show lenet5 --json"),
    case("show-fits", "show mlp --fits --batch 64", mask=masks.last_column),
    case("show-fits-json", "show mlp --fits --json --optimizer adamw", mask=masks.json_measured, languages=("en",)),
    case("show-limit", "show lenet5 --limit 4MiB", widths=(80,)),
    case("show-limit-none", "show lenet5 --limit 100kB --optimizer adamw --precision bf16", widths=(80,)),
    case("show-limit-json", "show lenet5 --limit 5MB --json", widths=(80,), languages=("en",)),
    case("show-svg", "show lenet5 --svg lenet5.svg"),
]

COMPARISONS = ("stacks", "reduction", "inception", "bottleneck", "grouped", "separable", "sharing")
EXPLAIN = [
    case("explain-network", "explain lenet5"),
    case("explain-layer", "explain alexnet conv1"),
    case("explain-block", "explain googlenet inception_3a"),
    case("explain-comparison-input", "explain --comparison stacks --input 64x56x56", widths=(80,)),
    case("explain-two-devices-json", "explain --comparison two-devices --json", widths=(80,), languages=("en",)),
    case("explain-input", "explain resnet20_cifar conv1 --input 1x64x64"),
    case("explain-json", "explain alexnet fc6 --json"),
    *(case(f"explain-{name}", f"explain --comparison {name}") for name in COMPARISONS),
    case("explain-comparison-json", "explain --comparison stacks --json"),
    case("explain-effective-field", "explain lenet5 C3 --effective-field field.png", mask=masks.measured_line),
]

LAYER = [
    case("layer-conv", "layer conv --input 3x227x227 --kernel 11 --stride 4 --out 96"),
    case("layer-conv-same", "layer conv --input 16x32x32 --kernel 3x5 --padding same --out 8 --groups 4 --no-bias"),
    case("layer-conv-does-not-fit", "layer conv --input 3x224x224 --kernel 11 --stride 4 --out 96"),
    case("layer-conv-dilated", "layer conv --input 8x40x30 --kernel 3 --dilation 2 --padding 1x2 --out 4"),
    case("layer-conv-json", "layer conv --input 3x224x224 --kernel 11 --stride 4 --out 96 --json"),
    case("layer-pool", "layer pool --input 96x55x55 --kernel 3 --stride 2"),
    case("layer-pool-ceil", "layer pool --input 64x112x112 --kernel 3 --stride 2 --ceil"),
    case("layer-fc", "layer fc --input 256x6x6 --out 4096"),
    by_value("layer-conv-values", "conv", ("--values", IMAGE, "--weights", KERNEL, "--backward")),
    by_value("layer-conv-values-json", "conv", ("--values", "1 2 / 3 4", "--weights", "0.1 0.2", "--json")),
    by_value(
        "layer-pool-values", "pool", ("--values", "1 3 / 5 6", "--kernel", "2", "--mode", "avg", "--padding", "1")
    ),
    by_value("layer-lrn", "lrn", ("--values", "1 ; 2 ; 3", "--n", "3", "--backward")),
    by_value("layer-relu", "relu", ("--values", "-1 2 / 0.5 0", "--backward")),
    by_value("layer-softmax", "softmax", ("--values", "3.2 5.1 -1.7 / 1 2 3", "--label", "0 2", "--backward")),
    by_value("layer-fc-values", "fc", ("--values", "1 2 3", "--weights", "1 0 1 / 0 -1 0", "--bias", "0.5 1")),
    by_value("layer-loss", "loss", ("--p", "0.5 1/4 1/4", "--q", "1/4 1/4 0.5", "--label", "0", "--base", "2")),
    by_value("layer-loss-json", "loss", ("--q", "0.5 0.5", "--label", "1", "--gamma", "2", "--json")),
    case("layer-fc-json", "layer fc --input 84 --out 10 --no-bias --json"),
]

DATA = [
    case("data-digits", "data digits"),
    case("data-digits-json", "data digits --json"),
    case("data-photos", "data photos"),
    case("data-photos-json", "data photos --json --seed 3 --val 0.25 --test 0.25"),
    case("data-damaged", "data damaged"),
    case("data-damaged-skipped", "data damaged --on-bad skip --max-bad 0.2"),
    case("data-one-class", "data one-class"),
    case("data-show-batch", "data photos --show-batch batch.png --model resnet20_cifar --cutout 4"),
]

TRAIN = [
    case("runs-none", "runs --out nothing", widths=(80,)),
    case("train-mlp", f"train mlp --epochs 1 --min-updates 0 --out fresh {STEADY}", mask=masks.training),
    case("train-mlp-json", f"train mlp --epochs 1 --min-updates 0 --out fresh --json {STEADY}",
         mask=masks.json_measured, widths=(80,), languages=("en",)),
    case("train-autoencoder", f"train autoencoder --data photos --epochs 1 --min-updates 0 --out fresh {STEADY}",
         mask=masks.training, widths=(80,)),
    case("train-dry-run", f"train lenet5 --dry-run {STEADY}"),
    case("train-dry-run-photos", f"train resnet20_cifar --data photos --dry-run --mixup 0.2 --ema 0.99 "
         f"--erasing 0.25 --accumulate 2 {STEADY}"),
    case("train-dry-run-paper", f"train alexnet --data photos --recipe paper --dry-run {STEADY}", widths=(80,)),
    case("train-print-config", "train lenet5 --print-config --lr 0.01 --freeze all-but-head"),
    case("train-print-config-paper", "train resnet20_cifar --recipe paper --print-config"),
    case("train-list-recipes", "train --list-recipes"),
    case("train-list-recipes-model", "train googlenet --list-recipes"),
    case("train-list-recipes-json", "train lenet5 --list-recipes --json"),
    case("train-find-lr", f"train mlp --find-lr --batch-size 16 --out fresh {STEADY}",
         mask=masks.sweep, widths=(80,)),
    case("train-resume-finished", "train --resume trained/mlp-digits-001", mask=masks.training),
]  # fmt: skip

EXPERIMENT = [
    case("experiment-exact", "experiment residual-unrolled --out fresh", stderr=False),
    case("experiment-no-data", "experiment relu-against-tanh --scale standard --out fresh", widths=(80,)),
    case("experiment-unknown", "experiment relu-vs-tanh", widths=(80,)),
]

RUN = "trained/mlp-digits-001"
EVALUATE = [
    case("evaluate-run", f"evaluate {RUN}", mask=masks.shares),
    case("evaluate-validation", f"evaluate {RUN} --part val --protocol flip", mask=masks.shares),
    case("evaluate-ensemble", f"evaluate {RUN} {RUN}", mask=masks.shares),
    case("evaluate-json", f"evaluate {RUN} --json", mask=masks.json_measured, languages=("en",)),
    case("evaluate-protocols", "evaluate --list-protocols"),
    case("evaluate-no-run", "evaluate photos"),
    case("evaluate-no-weights", "evaluate lenet5 --data photos"),
]

PREDICT = [
    case("predict-folder", f"predict {RUN} photos/b", mask=masks.labels),
    case("predict-damaged", f"predict {RUN} damaged/a --top 2", mask=masks.labels),
    case("predict-json", f"predict {RUN} photos/b/0.png --json --top 3", mask=masks.json_measured, languages=("en",)),
    case("predict-missing", f"predict {RUN} none.png"),
]

INSPECT = [
    case("inspect-methods", "inspect --list-methods"),
    case("inspect-filters", "inspect lenet5 --what filters --out filters.png", mask=masks.inspected),
    case("inspect-maps-json", "inspect resnet20_cifar photos/b/0.png --what maps --layer stage1 --channel 3 --json",
         mask=masks.json_inspected, languages=("en",), widths=(80,)),
    case("inspect-attribution", "inspect net.py:Net photos/b/0.png photos/b/1.png --sanity", mask=masks.inspected),
    case("inspect-statistics", "inspect net.py:Net photos/b --what statistics --layer 1", mask=masks.inspected),
    case("inspect-gradients", "inspect lenet5 --what gradients --data digits", mask=masks.inspected),
    case("inspect-no-images", "inspect net.py:Net"),
    case("inspect-unused", "inspect net.py:Net photos --what filters"),
    case("inspect-no-weights", "inspect lenet5 photos"),
    case("inspect-no-method", "inspect net.py:Net photos --what lime"),
]  # fmt: skip

WEIGHTS = [
    case("weights", f"weights {RUN}/model.safetensors"),
    case("weights-json", f"weights {RUN}/model.safetensors --json", languages=("en",)),
    case("weights-like", f"weights {RUN}/model.safetensors --like lenet5"),
    case("weights-no-file", "weights nowhere.pth"),
    case("weights-text", "weights typo.toml"),
]

COMPARED = "mlp lenet5@modern --epochs 1 --device cpu --threads 1 --precision fp32 --budget size<=500kB"
COMPARE = [
    case("compare", f"compare {COMPARED}", stderr=False, mask=masks.recommendation, record="compare"),
    case("compare-piped", f"compare {COMPARED}", stderr=False, mask=masks.recommendation, record="compare",
         widths=(None,)),
    case("compare-json", f"compare {COMPARED} --json", stderr=False, mask=masks.json_measured, languages=("en",),
         record="compare"),
]  # fmt: skip

TIMED = "mlp lenet5 --time 0.05 --device cpu --threads 1 --precision fp32 --no-allocator"
BENCH = [
    case("bench", f"bench {TIMED}", stderr=False, record="bench"),
    case("bench-json", f"bench {TIMED} --json", stderr=False, mask=masks.json_measured, languages=("en",),
         record="bench"),
]  # fmt: skip

EXPLORE = [
    case("serve-missing", "serve missing.onnx", widths=(80,)),
    case("serve-no-room", "serve missing.onnx --queue 8", widths=(80,)),
    case("explore-unknown", "explore lenet6", widths=(80,)),
    case("explore-save-nothing", "explore --save page.html", widths=(80,)),
    case("explore-save-format", "explore lenet5 --save page.pdf", widths=(80,)),
    case("explore-save-limit", "explore lenet5 --save page.html --save-limit 100kB", widths=(80,)),
    case("explore-no-weights", "explore lenet5 --weights missing.pth", widths=(80,)),
]

ERRORS = [
    case("error-no-command", "lern"),
    case("error-no-argument", "show"),
    case("error-no-network", "show lenet6"),
    case("error-no-variant", "show lenet5@keras"),
    case("error-no-layer", "explain alexnet conv9"),
    case("error-no-pattern-match", "models yolo*"),
    case("error-no-option", "show lenet5 --colour"),
    case("error-no-subject", "explain"),
    case("error-input", "show lenet5 --input 28"),
    case("error-input-too-small", "show alexnet --input 3x20x20"),
    case("error-kernel", "layer conv --input 3x8x8 --kernel big --out 4"),
    case("error-kernel-too-large", "layer conv --input 3x8x8 --kernel 11 --out 4"),
    case("error-groups", "layer conv --input 3x8x8 --kernel 3 --out 4 --groups 2"),
    case("error-limit", "show mlp --limit much"),
    case("error-optimizer", "show mlp --fits --optimizer adagrad"),
    case("error-bars", "show lenet5 --bars params"),
    case("error-choice", "explain --comparison bells"),
    case("error-number", "train mlp --epochs many"),
    case("error-setting", "train mlp --lr -1"),
    case("error-setting-range", "train mlp --label-smoothing 1.5"),
    case("error-settings-together", "train mlp --crop pad --crop-area 0.2 1"),
    case("error-config", "train mlp --config typo.toml"),
    case("error-config-missing", "train mlp --config none.toml"),
    case("error-recipe", "train mlp --recipe modren"),
    case("error-no-paper-recipe", "train mlp --recipe paper"),
    case("error-no-data", "train mlp --data nowhere"),
    case("error-too-small", "train alexnet --data photos --image-size 16 --dry-run"),
    case("error-which-run", "train mlp --resume trained/mlp-digits-001"),
    case("error-start-from", "train lenet5 --start-from nowhere.pth --dry-run"),
    case("error-start-from-other", f"train lenet5 --start-from {RUN} --dry-run"),
    case("error-compare-twice", "compare mlp mlp"),
    case("error-compare-two-budgets", "compare mlp --epochs 2 --time 1"),
    case("error-compare-budget", "compare mlp --budget fast"),
    case("error-compare-candidates", "compare --candidates all"),
    case("error-compare-dry-run", "compare mlp --dry-run"),
    case("error-compare-autoencoder", "compare autoencoder"),
    case("error-compare-protocol", "compare mlp --protocol ten"),
    case("error-bench-time", "bench mlp --time 0"),
    case("error-data-picture-setting", "data photos --cutout 4"),
    case("error-data-split", "data photos --split nowhere.csv"),
    case("error-predict-top", f"predict {RUN} photos --top 0"),
    case("error-exported-train", "train model.onnx --data photos"),
    case("error-exported-not-there", "predict model.onnx photos"),
    case("error-exported-without-data", "evaluate model.onnx"),
    case("error-exported-with-weights", "predict model.onnx --weights net.pth photos"),
    case("error-exported-beside-network", "bench model.onnx mlp"),
]

LAYERS = ("conv", "pool", "fc", "lrn", "relu", "softmax", "loss")
HELP = [
    case("help", "--help"),
    case("version", "--version", mask=masks.version),
    *(case(f"help-{name}", f"{name} --help") for name in COMMANDS),
    *(case(f"help-layer-{name}", f"layer {name} --help") for name in LAYERS),
]

# what an export prints is in tests/exports: it needs packages that a plain installation lacks
EXPORT = [
    case("export-precision-not-written", "export trained --precision bf16"),
    case("export-photo-in-openvino", "export trained --format openvino --input photo"),
    case("check-export-no-file", "check-export exported/model.onnx"),
]

CASES = [
    *MODELS, *SHOW, *EXPLAIN, *LAYER, *DATA, *TRAIN, *EXPERIMENT, *EVALUATE, *PREDICT, *INSPECT, *WEIGHTS, *COMPARE,
    *EXPORT, *BENCH, *EXPLORE, *ERRORS, *HELP,
]  # fmt: skip
