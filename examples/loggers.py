"""A run of convatlas recorded in TensorBoard, W&B and MLflow at once:  python examples/loggers.py [FOLDER]

All three write to this machine only. Afterwards:

    tensorboard --logdir FOLDER                                          the curves of all runs
    wandb sync FOLDER/RUN/wandb/offline-run-*                            only if you want to upload it
    mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db             the table of all runs
"""

from __future__ import annotations

import sys
from pathlib import Path

import convatlas as ca


def main(folder: str = "runs", kinds: str = "tensorboard,wandb,mlflow", epochs: int = 2) -> Path:
    """Train with the loggers ``kinds``; returns the run directory."""
    run = ca.train("lenet5@modern", data="digits", epochs=epochs, out=folder, log=kinds)
    print(f"run: {run.path}")
    return run.path


if __name__ == "__main__":
    main(*sys.argv[1:])
