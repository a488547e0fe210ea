"""Where runs are: found, named, renamed and deleted by their directories. No torch: the shell's completion uses it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from convatlas.errors import ConvAtlasError, UnknownNameError, UsageError
from convatlas.message import system_reason
from convatlas.runs.directory import CONFIG, locked

LATEST = "latest"
METRICS = "metrics.jsonl"


def run_folders(out: str | Path = "runs") -> list[Path]:
    """Return the run directories in ``out`` and in the comparisons in it, sorted by path."""
    out = Path(out)
    return sorted(path.parent for pattern in (f"*/{CONFIG}", f"*/*/{CONFIG}") for path in out.glob(pattern))


def names(out: str | Path = "runs") -> list[str]:
    """Return the names of the runs in ``out`` that `find` takes: ``lenet5-001``, ``compare-001/mlp-001``."""
    return [folder.relative_to(out).as_posix() for folder in run_folders(out)]


def last_written(folder: Path) -> float:
    """Return when a run last wrote a line of its journal, or was started, in seconds since 1970."""
    return max(path.stat().st_mtime for path in (folder / METRICS, folder / CONFIG) if path.exists())


def find(run: str | Path, out: str | Path = "runs") -> Path:
    """Return the directory of a run.

    Args:
        run: its path; its name in ``out``; or ``latest``, the run in ``out`` that was written to last. Trainings of
            comparisons have names, but none of them is the latest: the comparison itself goes on.

    Raises:
        UnknownNameError: no such run; the message lists the near names.
        UsageError: ``latest``, and there are no runs.
    """
    if (Path(run) / CONFIG).is_file():
        return Path(run)
    if str(run) == LATEST:
        folders = [folder for folder in run_folders(out) if folder.parent == Path(out)]
        if not folders:
            raise UsageError(
                "there are no runs in {out}. Name the directory that holds them with --out, or train one:  "
                "convatlas train NAME",
                out=out,
            )
        return max(folders, key=last_written)
    if (Path(out) / run / CONFIG).is_file():
        return Path(out) / run
    raise UnknownNameError("run", str(run), names(out))


def check_name(name: str) -> None:
    """Raise UsageError for a name that is no name of one directory."""
    if not name or name in (".", "..", LATEST) or name.startswith("-") or set(name) & set('/\\:*?"<>|\0'):
        raise UsageError(
            '{name!r} cannot be the name of a run. A name is that of a directory, without / \\ : * ? " < > |, and not '
            "'latest'.",
            name=name,
        )


def rename(folder: Path, name: str) -> Path:
    """Rename a run, in the directory in which it is. Returns its new path.

    Raises:
        UsageError: the name cannot be used, or is taken.
        ConvAtlasError: the run is being trained, or the directory cannot be renamed.
    """
    check_name(name)
    new = folder.with_name(name)
    if new.exists():
        raise UsageError("{path} exists already. Choose another name.", path=new)
    with locked(folder):
        pass
    try:
        folder.rename(new)
    except OSError as error:
        raise ConvAtlasError("{path} cannot be renamed: {reason}.", path=folder, reason=system_reason(error)) from error
    return new


def delete(folder: Path) -> None:
    """Delete the directory of a run with everything in it.

    Raises:
        ConvAtlasError: the run is being trained, or a file cannot be deleted.
    """
    with locked(folder):
        pass
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise ConvAtlasError("{path} cannot be deleted: {reason}.", path=folder, reason=system_reason(error)) from error


def size_bytes(folder: Path) -> int:
    """Return the size of all files in a directory."""
    return sum(path.lstat().st_size for path in files(folder))


def files(folder: Path) -> Iterator[Path]:
    """Yield the files in a directory and below it, sorted."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink())
