"""Train the residual and plain networks for CIFAR-10 with their paper's recipe; error curves and test errors.

    python benchmarks/cifar_resnets.py CIFAR results/cifar_resnets [--epochs 2] [--threads 1] [--only NAME...]

Writes OUT/runs.jsonl (one line per network) and OUT/curves.png.

The recipe is that of He, Zhang, Ren and Sun (arXiv:1512.03385, section 4.2), except for its length. The paper trains
for 64,000 updates (164 epochs) and divides the learning rate by ten after one half and after three quarters of them.
This script trains for ``--epochs`` and divides the learning rate after the same fractions. A short run therefore shows
how far a network gets in that many updates; it does not reproduce the printed error. Each record holds both lengths.

Networks that are already in OUT/runs.jsonl are skipped. To continue an interrupted training from its last checkpoint,
start the same command again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.ticker import PercentFormatter

import convatlas as ca
from convatlas.models import card
from convatlas.recipes.registry import recipe_for
from convatlas.runs.options import RunOptions
from convatlas.runs.run import Run
from convatlas.runs.training_data import TrainingData
from convatlas.visualization.plots import Curve, error_curves
from convatlas.visualization.style import new_axes, plot_style, styles

# the shallowest and the deepest pair first, because the paper's section 4.2 compares them
NETWORKS = ("resnet20_cifar", "plain20_cifar", "resnet56_cifar", "plain56_cifar", "resnet32_cifar", "resnet44_cifar")
PRINTED_UPDATES = 64_000
DOTS_PER_INCH = 160


def trained(name: str, training_data: TrainingData, out: Path, args: argparse.Namespace) -> Run:
    """The finished run of a network; an interrupted run is resumed."""
    started = sorted(out.glob(f"{name}-*"))
    if started:
        epochs = Run(started[-1]).recipe.epochs
        if epochs != args.epochs:
            raise SystemExit(
                f"{started[-1]} is a run of {epochs} epochs; pass --epochs {epochs}, or another folder with --runs."
            )
        return ca.resume(started[-1])
    recipe = recipe_for(name, "paper").change(epochs=args.epochs)
    options = RunOptions(threads=args.threads, precision=args.precision)
    return ca.train(name, training_data, recipe, options=options, seed=args.seed, out=out)


def record(name: str, run: Run) -> dict[str, Any]:
    """The measured errors of a run and the printed error, each with its protocol."""
    result, config, epochs = run.result, run.config, run.epochs()
    assert result is not None
    printed = next((figure for figure in card(name).figures if figure.quantity == "error"), None)
    return {
        "network": name,
        "recipe": run.recipe.name,
        "seed": run.seed,
        "epochs": result["epochs"],
        "updates": epochs[-1]["step"],
        "printed_updates": PRINTED_UPDATES,
        "split": config["data"]["split"],
        "precision": config["options"]["precision"],
        "threads": config["options"]["threads"],
        "torch": run.environment["torch"],
        "curve": [
            {
                "epoch": line["epoch"] + 1,
                "lr": line["lr"],
                "train_loss": round(line["train_loss"], 4),
                "train_error": round(1 - line["train_top1"], 4),
                "val_error": round(1 - line["val_top1"], 4),
            }
            for line in epochs
        ],
        "test_error": round(1 - result["test_top1"], 4),
        "test_error_ci95": [round(1 - end, 4) for end in reversed(result["test_ci95"])],
        "protocol": f"CIFAR-10 test, {result['test_n']} images, {result['protocol']}",
        "printed_error": printed and printed.text,
        "printed_protocol": printed and f"{printed.protocol}, after {PRINTED_UPDATES} updates",
        "printed_source": printed and f"arXiv:1512.03385, {printed.where}{'' if printed.verified else ', recalled'}",
    }


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """Plot the validation error against the epoch, one line per network; labels give the test and the printed error."""
    with plot_style():
        ax = new_axes(6.4, 4.2)
        line_styles = styles(NETWORKS)
        curves = [
            Curve(
                label(record),
                [line["epoch"] for line in record["curve"]],
                [line["val_error"] for line in record["curve"]],
                line_styles[record["network"]],
            )
            for record in records
        ]
        lengths = sorted({record["updates"] for record in records})
        updates = " to ".join(f"{length:,}" for length in dict.fromkeys((lengths[0], lengths[-1])))
        error_curves(ax, curves, f"CIFAR-10: {updates} of the paper's {PRINTED_UPDATES:,} updates")
        ax.set_yscale("linear")  # a short run ends far above 1 %, so the logarithmic axis of error_curves is not useful
        ax.yaxis.set_major_formatter(PercentFormatter(decimals=0))
        ax.legend(loc="lower left", fontsize=8)
        ax.get_figure(root=True).savefig(path, dpi=DOTS_PER_INCH, facecolor="white")  # type: ignore[union-attr]


def label(record: dict[str, Any]) -> str:
    name, printed = record["network"].removesuffix("_cifar"), record["printed_error"]
    after = f", printed {printed} after {PRINTED_UPDATES:,}" if printed else ""
    return f"{name}: test error {100 * record['test_error']:.1f} % after {record['updates']:,} updates{after}"


def read_records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the CIFAR-10 binary batches")
    parser.add_argument("out", type=Path, help="folder for runs.jsonl and curves.png")
    parser.add_argument("--epochs", type=int, default=2, help="the paper trains for 182 epochs of 45,000 images")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--precision", default="auto", help="auto, fp32 (as in the paper) or bf16; stored in the record"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=NETWORKS, metavar="NAME")
    parser.add_argument("--runs", type=Path, default=Path("runs/cifar_resnets"), help="folder of the run directories")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    log = args.out / "runs.jsonl"
    training_data = TrainingData(args.data, seed=args.seed)  # opened once for all networks
    for name in args.only:
        if name in {record["network"] for record in read_records(log)}:
            continue
        line = json.dumps(record(name, trained(name, training_data, args.runs, args)))
        with log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)
        draw(read_records(log), args.out / "curves.png")
    draw(read_records(log), args.out / "curves.png")


if __name__ == "__main__":
    main()
