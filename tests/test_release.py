"""A release: one version, builds with the same bytes, a CITATION.cff that others can read, and what the wheel holds."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import convatlas

ROOT = Path(__file__).parents[1]
EPOCH = 1_700_000_000  # 14 November 2023, the time of all files in the builds


def test_the_version_is_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    tree = ast.parse((ROOT / project["tool"]["hatch"]["version"]["path"]).read_text())
    found = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__"
    ]
    assert found == [convatlas.__version__]
    assert f"## {convatlas.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_has_what_the_format_requires():
    """Source: Citation File Format 1.2.0, its required keys and the type of each key used."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == convatlas.__version__
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert all(set(author) == {"name"} and author["name"] for author in citation["authors"])
    assert all(isinstance(citation[key], str) for key in ("message", "title", "abstract"))
    assert all(isinstance(word, str) for word in citation["keywords"])


def build(folder: Path, out: Path) -> list[Path]:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(out.iterdir())


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """The files of two builds, from two copies of the source whose files have other times."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    both = []
    for number, moment in enumerate((1_000_000_000, 1_600_000_000)):
        copy = tmp_path_factory.mktemp(f"copy{number}") / f"source{number}"
        shutil.copytree(
            ROOT,
            copy,
            ignore=shutil.ignore_patterns(".git", ".*_cache", "__pycache__", "node_modules", "runs", "build"),
        )
        for path in copy.rglob("*"):
            os.utime(path, (moment, moment))
        both.append(build(copy, tmp_path_factory.mktemp(f"dist{number}")))
    return both


@pytest.mark.slow
def test_two_builds_have_the_same_bytes(builds):
    first, second = builds
    version = convatlas.__version__
    assert [path.name for path in first] == [f"convatlas-{version}-py3-none-any.whl", f"convatlas-{version}.tar.gz"]
    for one, other in zip(first, second, strict=True):
        assert hashlib.sha256(one.read_bytes()).hexdigest() == hashlib.sha256(other.read_bytes()).hexdigest()


@pytest.mark.slow
def test_what_the_wheel_holds(builds):
    wheel, sdist = builds[0]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"convatlas-{convatlas.__version__}.dist-info/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {"convatlas", f"convatlas-{convatlas.__version__}.dist-info"}
    for needed in (
        "py.typed",
        "models/catalogue.json",
        "locale/ko/LC_MESSAGES/convatlas.mo",
        "explorer/static/index.html",
    ):
        assert f"convatlas/{needed}" in names, needed
    assert f"Version: {convatlas.__version__}" in metadata
    assert "License-Expression: MIT" in metadata
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"src", "tests", "CITATION.cff", "hubconf.py", "pyproject.toml", "LICENSE", "PKG-INFO"} <= tops
