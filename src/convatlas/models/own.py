"""Networks of the user's own: ``FILE.py:Class`` by name, or a module that exists already.

A name of this form imports the file, because the user names it, and calls the class:

    nets/mine.py:Net                     Net(), and num_classes, in_channels, image_size where it takes them
    nets/mine.py:Net(width=32)           with arguments, plain Python values

Any callable that returns a module will do, and so does a module that the file holds.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


_FORM = re.compile(r"(?P<file>.+\.py):(?P<callable>[A-Za-z_]\w*)(?P<call>\(.*\))?", re.DOTALL)
# what a constructor may call the three values that the data decide
_ALIASES = {
    "num_classes": ("num_classes", "n_classes", "nclasses", "classes", "num_labels"),
    "in_channels": ("in_channels", "in_chans", "input_channels", "num_channels"),
    "image_size": ("image_size", "img_size", "input_size"),
}


@dataclass(frozen=True)
class OwnName:
    """``FILE.py:Class(arguments)`` taken apart."""

    file: Path
    callable: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def full_name(self) -> str:
        """The name by which a run finds it again, whatever the working directory."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments)
        return f"{self.file.resolve()}:{self.callable}" + (f"({given})" if given else "")


def is_own(name: object) -> bool:
    """Whether a name has the form ``FILE.py:Class``."""
    return isinstance(name, str) and _FORM.fullmatch(name) is not None


def parse(name: str) -> OwnName:
    """Take a name of the form ``FILE.py:Class(arguments)`` apart.

    Raises:
        UsageError: no such file, or arguments that are not plain values with names.
    """
    found = _FORM.fullmatch(name)
    assert found is not None, name
    file = Path(found["file"]).expanduser()
    if not file.is_file():
        raise UsageError("there is no file {file}; FILE.py:Class names a network of your own.", file=file)
    if not found["call"]:
        return OwnName(file, found["callable"])
    try:
        call = ast.parse(f"f{found['call']}", mode="eval").body
        assert isinstance(call, ast.Call)
        if call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError
        arguments = tuple((str(keyword.arg), ast.literal_eval(keyword.value)) for keyword in call.keywords)
    except (SyntaxError, ValueError, AssertionError):
        raise UsageError(
            "the arguments {call} are not plain values with names; write them as in  FILE.py:Class(width=32).",
            call=found["call"],
        ) from None
    return OwnName(file, found["callable"], arguments)


def build(name: str, **decided: int | None) -> nn.Module:
    """Import the file and call the class.

    Args:
        decided: num_classes, in_channels, image_size; given to a constructor that takes them, unless None or unless
            the name gives them.

    Raises:
        UsageError: the file cannot be imported, holds no such name, or it makes no module.
    """
    from torch import nn

    own = parse(name)
    maker = getattr(_imported(own.file.resolve(), own.file.stat().st_mtime_ns), own.callable, None)
    if isinstance(maker, nn.Module):
        return maker
    if not callable(maker):
        raise UsageError("{file} has no class or function {callable}.", file=own.file, callable=own.callable)
    arguments = {**_taken(maker, decided), **dict(own.arguments)}
    try:
        net = maker(**arguments)
    except Exception as error:
        raise UsageError(
            "{callable} of {file} could not be built: {error}. Give its arguments: {file}:{callable}(name=value, ...).",
            callable=own.callable,
            file=own.file,
            error=f"{type(error).__name__}: {error}",
        ) from error
    if not isinstance(net, nn.Module):
        raise UsageError(
            "{callable} of {file} makes a {kind}, not a torch.nn.Module.",
            callable=own.callable,
            file=own.file,
            kind=type(net).__name__,
        )
    return net


def source_text(net: nn.Module) -> str:
    """The text of the module's class, where Python has it; "" for one that was typed into a terminal."""
    try:
        return textwrap.dedent(inspect.getsource(type(net)))
    except (OSError, TypeError):
        return ""


def same_program(first: str, second: str) -> bool:
    """Whether two texts are the same program, whatever their comments and layout."""
    try:
        return first == second or ast.dump(ast.parse(first)) == ast.dump(ast.parse(second))
    except SyntaxError:
        return False


def _taken(maker: Any, decided: Mapping[str, int | None]) -> dict[str, int]:
    """Those of the values that the data decide which the constructor takes, under its own names."""
    try:
        parameters = inspect.signature(maker).parameters
    except (TypeError, ValueError):
        return {}
    taken = {}
    for name, value in decided.items():
        alias = next((alias for alias in _ALIASES[name] if alias in parameters), None)
        if value is not None and alias is not None:
            taken[alias] = value
    return taken


@functools.lru_cache(maxsize=16)
def _imported(file: Path, changed_ns: int) -> Any:
    """The file as a module; files beside it can be imported from it. Imported again once it has changed."""
    name = f"convatlas_own_{hashlib.sha256(f'{file}{changed_ns}'.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and copies look their module up
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(
            "{file} cannot be imported: {error}.", file=file, error=f"{type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(str(file.parent))
    return module
