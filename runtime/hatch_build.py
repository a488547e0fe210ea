"""The build of convatlas-runtime: the modules of ``src/convatlas`` that need no torch, as package convatlas_runtime.

Which modules these are is stated once, in the import contract ``runtime`` of the repository's pyproject.toml. A module
keeps its place: ``convatlas.data.decode`` becomes ``convatlas_runtime.data.decode``, and its imports are renamed too.
The ``__init__.py`` of each package is empty, since those of convatlas name what needs torch.

A source distribution holds the written package, and a wheel that is built from it takes it as it is.
"""

from __future__ import annotations

import ast
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parent
SOURCE = REPOSITORY / "src"
FROM, TO = "convatlas", "convatlas_runtime"
CONTRACT = "runtime"  # the id of the import contract that lists the modules
WRITTEN = Path("written") / TO  # the package in a source distribution
CATALOGUES = ("convatlas.mo", "argparse.mo")

PACKAGE = f'''"""Image classifiers that convatlas exported, without PyTorch.

    from {TO} import open_exported

    model = open_exported("model.onnx")
    for probabilities in model.predict(["cat.jpg"]):
        print(model.classes[probabilities.argmax()], probabilities.max())
"""

__version__ = "{{version}}"
__all__ = ["ExportedModel", "open_exported"]


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module {{{{__name__!r}}}} has no attribute {{{{name!r}}}}")
    from {TO}.exports import exported

    return getattr(exported, name)
'''
MAIN = f'''"""``python -m {TO}`` is the command ``convatlas-runtime``."""

from {TO}.deployed.command import main

main()
'''


def version() -> str:
    """The version of convatlas, of which this is a part."""
    written = FOLDER / WRITTEN / "__init__.py"
    source = written if written.exists() else SOURCE / FROM / "__init__.py"
    found = re.search(r'^__version__ = "(.+)"$', source.read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def modules(repository: Path = REPOSITORY) -> tuple[str, ...]:
    """The modules to ship, as the import contract lists them."""
    settings = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return tuple(next(each["source_modules"] for each in contracts if each.get("id") == CONTRACT))


def write_package(target: Path) -> None:
    """Write the package to the folder ``target``, which does not exist yet.

    Raises:
        ValueError: a module imports one of convatlas that is not shipped.
    """
    shipped = modules()
    for module in shipped:
        place = target.joinpath(*module.split(".")[1:]).with_suffix(".py")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(renamed(module, shipped), "utf-8")
        (place.parent / "__init__.py").touch()
    (target / "__init__.py").write_text(PACKAGE.format(version=version()), "utf-8")
    (target / "__main__.py").write_text(MAIN, "utf-8")
    shutil.copy(REPOSITORY / "LICENSE", target)
    for catalogue in (SOURCE / FROM / "locale").rglob("*.mo"):
        if catalogue.name in CATALOGUES:
            place = target / catalogue.relative_to(SOURCE / FROM)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(catalogue, place)


def renamed(module: str, shipped: tuple[str, ...]) -> str:
    """The source of a module with its imports of convatlas renamed.

    Raises:
        ValueError: one of them is not shipped.
    """
    text = SOURCE.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8")
    lines = text.splitlines(keepends=True)
    tree = ast.parse(text)
    for_types = {id(each) for each in under_type_checking(tree)}
    for node in ast.walk(tree):
        names = imported(node)
        if not any(name.split(".")[0] == FROM for name in names):
            continue
        missing = [name for name in names if name not in shipped and name != FROM]
        if missing and id(node) not in for_types:
            raise ValueError(
                f"{module} imports {missing[0]}, which is not shipped: import something else, or add it to the "
                f"contract {CONTRACT!r} in pyproject.toml"
            )
        line, column = node.lineno - 1, node.col_offset
        lines[line] = lines[line][:column] + re.sub(rf"\b{FROM}\b", TO, lines[line][column:], count=1)
    return "".join(lines)


def imported(node: ast.AST) -> list[str]:
    """The modules that an import statement names; of ``from convatlas import units`` convatlas.units."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom) or node.module is None:
        return []
    below = [f"{node.module}.{alias.name}" for alias in node.names]
    are_modules = [SOURCE.joinpath(*name.split(".")).with_suffix(".py").exists() for name in below]
    return [name if is_module else node.module for name, is_module in zip(below, are_modules, strict=True)]


def under_type_checking(tree: ast.Module) -> Iterator[ast.AST]:
    """What only type checkers execute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.body:
                yield from ast.walk(statement)


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # the tests write the package without hatchling
    pass
else:

    class CustomBuildHook(BuildHookInterface):
        """Adds the package to the wheel and to the source distribution."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            package = FOLDER / WRITTEN
            if not package.exists():
                self._folder = tempfile.TemporaryDirectory()
                package = Path(self._folder.name) / TO
                write_package(package)
            place = TO if self.target_name == "wheel" else str(WRITTEN)
            build_data["force_include"][str(package)] = place

        def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
            if hasattr(self, "_folder"):
                self._folder.cleanup()
