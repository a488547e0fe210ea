"""Every module can be imported on a system without the POSIX-only parts of Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"

PROGRAM = """
import importlib, pkgutil, sys

POSIX = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "readline", "syslog", "posix_ipc")
optional = {"onnx", "onnxscript", "onnxruntime", "openvino", "datasets", "tensorboard", "wandb", "mlflow", "filelock"}


import builtins
real = builtins.__import__


def without_posix(name, globals=None, locals=None, fromlist=(), level=0):
    if level == 0 and name in POSIX and (globals or {}).get("__name__", "").startswith("convatlas"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, globals, locals, fromlist, level)


builtins.__import__ = without_posix
import convatlas

count = 0
for each in pkgutil.walk_packages(convatlas.__path__, "convatlas."):
    if each.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(each.name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in optional:
            raise
    count += 1
print(count)
"""


def test_every_module_can_be_imported_without_posix_modules():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200
