"""The user's own networks, named as ``FILE.py:Class``, and those of other libraries, ``timm:NAME`` and ``tv:NAME``.

The file is imported and the class is called:

    nets/mine.py:Net                     Net(), with num_classes, in_channels, image_size where it accepts them
    nets/mine.py:Net(width=32)           with arguments, which are plain Python values

Instead of a class the name may be that of any callable that returns a module, or of a module in the file. `bridges`
builds the networks of other libraries; everywhere else they are treated like the user's own.
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
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.errors import UsageError
from convatlas.models import bridges
from convatlas.models.bridges import BridgedName

if TYPE_CHECKING:
    from torch import nn


_FORM = re.compile(r"(?P<file>.+\.py):(?P<callable>[A-Za-z_]\w*)(?P<call>\(.*\))?", re.DOTALL)
# possible names, in a constructor, of the three values that depend on the data
_ALIASES = {
    "num_classes": ("num_classes", "n_classes", "nclasses", "classes", "num_labels"),
    "in_channels": ("in_channels", "in_chans", "input_channels", "num_channels"),
    "image_size": ("image_size", "img_size", "input_size"),
}


@dataclass(frozen=True)
class OwnName:
    """The parts of ``FILE.py:Class(arguments)``."""

    file: Path
    callable: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def full_name(self) -> str:
        """The name with an absolute path, which a run stores."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments)
        return f"{self.file.resolve()}:{self.callable}" + (f"({arguments})" if arguments else "")


def is_own(name: object) -> bool:
    """Whether a name has the form ``FILE.py:Class``, ``timm:NAME`` or ``tv:NAME``."""
    return is_file(name) or bridges.is_bridged(name)


def is_file(name: object) -> bool:
    """Whether a name has the form ``FILE.py:Class``."""
    return isinstance(name, str) and _FORM.fullmatch(name) is not None


def parse(name: str) -> OwnName | BridgedName:
    """Parse a name of the form ``FILE.py:Class(arguments)``, ``timm:NAME`` or ``tv:NAME``.

    Raises:
        UsageError: no such file or network, or arguments that are not named plain values.
        MissingDependencyError: timm or torchvision is not installed, or cannot be imported.
    """
    return bridges.parse(name) if bridges.is_bridged(name) else parse_file(name)


def parse_file(name: str) -> OwnName:
    """Parse a name of the form ``FILE.py:Class(arguments)``.

    Raises:
        UsageError: no such file, or arguments that are not named plain values.
    """
    match = _FORM.fullmatch(name)
    assert match is not None, name
    file = Path(match["file"]).expanduser()
    if not file.is_file():
        raise UsageError("there is no file {file}; FILE.py:Class names a network of your own.", file=file)
    if not match["call"]:
        return OwnName(file, match["callable"])
    try:
        call = ast.parse(f"f{match['call']}", mode="eval").body
        assert isinstance(call, ast.Call)
        if call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError
        arguments = tuple((str(keyword.arg), ast.literal_eval(keyword.value)) for keyword in call.keywords)
    except (SyntaxError, ValueError, AssertionError):
        raise UsageError(
            "the arguments {call} are not plain values with names; write them as in  FILE.py:Class(width=32).",
            call=match["call"],
        ) from None
    return OwnName(file, match["callable"], arguments)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """From each name to what a table calls it: ``net.py:Net`` for a file, or its whole path if two would be called so.

    Other names stay as they are.
    """
    short = {
        name: f"{Path(match['file']).name}:{match['callable']}{match['call'] or ''}"
        if (match := _FORM.fullmatch(name))
        else name
        for name in names
    }
    taken = Counter(short.values())
    return {name: label if taken[label] == 1 else name for name, label in short.items()}


def short_name(name: str) -> str:
    """The name with its file's path from the working directory, for a command; other names as they are."""
    if not is_file(name):
        return name
    path, _, rest = name.rpartition(".py:")
    file = Path(f"{path}.py").resolve()
    return f"{file.relative_to(Path.cwd())}:{rest}" if file.is_relative_to(Path.cwd()) else name


def full_name(name: str) -> str:
    """The name that holds in every working directory; names of the atlas as they are."""
    return parse_file(name).full_name if is_file(name) else name


def build(name: str, **decided: int | None) -> nn.Module:
    """Import the file and call the class.

    Args:
        decided: num_classes, in_channels, image_size; passed to a constructor that accepts them, unless None, or unless
            the name contains them.

    Raises:
        UsageError: the file cannot be imported, does not define the name, or the result is not a module.
    """
    from torch import nn

    own = parse_file(name)
    maker = getattr(_imported(own.file.resolve(), own.file.stat().st_mtime_ns), own.callable, None)
    if isinstance(maker, nn.Module):
        return maker
    if not callable(maker):
        raise UsageError("{file} has no class or function {callable}.", file=own.file, callable=own.callable)
    arguments = {**_accepted_values(maker, decided), **dict(own.arguments)}
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
    """The source of the module's class; "" where Python does not have it, as for a class defined in a terminal."""
    try:
        return textwrap.dedent(inspect.getsource(type(net)))
    except (OSError, TypeError):
        return ""


def same_program(first: str, second: str) -> bool:
    """Whether two sources are the same program, apart from comments and formatting."""
    try:
        return first == second or ast.dump(ast.parse(first)) == ast.dump(ast.parse(second))
    except SyntaxError:
        return False


def _accepted_values(maker: Any, decided: Mapping[str, int | None]) -> dict[str, int]:
    """The values that the constructor accepts, by the constructor's own names for them."""
    try:
        parameters = inspect.signature(maker).parameters
    except (TypeError, ValueError):
        return {}
    accepted = {}
    for name, value in decided.items():
        alias = next((alias for alias in _ALIASES[name] if alias in parameters), None)
        if value is not None and alias is not None:
            accepted[alias] = value
    return accepted


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
