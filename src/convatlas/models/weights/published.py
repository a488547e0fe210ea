"""Published weights: where they are and how they are checked. Nothing is fetched unless the caller allows it.

Each source lists its own (weights/sources). A file is kept in the cache folder: ``CONVATLAS_CACHE``, else
``~/.cache/convatlas``.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from convatlas.errors import CheckpointError, UnknownNameError, UsageError
from convatlas.models.weights.source import Published
from convatlas.models.weights.sources import SOURCES

CHUNK = 1 << 20
TIMEOUT_S = 30


def table() -> tuple[Published, ...]:
    """Every published file of every source."""
    return tuple(line for source in SOURCES.values() for line in source.published)


def published(network: str, weights: str) -> Published:
    """The line for ``torchvision:IMAGENET1K_V2`` of a network.

    Raises:
        UnknownNameError: no such weights; the message lists those there are.
    """
    known = {line.full_name: line for line in table() if line.network == network}
    others = list(dict.fromkeys(line.network for line in table() if line.network.startswith(f"{network}@")))
    if not known and others:
        raise UsageError(
            "no published weights are known for {network}; there are for {others}, which are other networks. Name one "
            "of these, or give the path of a file.",
            network=network,
            others=", ".join(others),
        )
    if not known:
        raise UsageError(
            "no published weights are known for {network}; give the path of a file instead.",
            network=network,
        )
    if weights not in known:
        raise UnknownNameError("weights of {network}", weights, known, network=network)
    return known[weights]


def fetched(line: Published, download: bool = False) -> Path:
    """The file of published weights in the cache; fetched, resumed and verified where ``download`` allows it.

    Raises:
        CheckpointError: not in the cache and not allowed to be fetched; unreachable; or not the published file.
    """
    folder = Path(os.environ.get("CONVATLAS_CACHE") or Path.home() / ".cache" / "convatlas")
    path = folder / line.url.rsplit("/", 1)[1]
    if path.is_file():
        return verified(path, line)
    if not download:
        raise CheckpointError(
            "{full_name} of {network} is not in {folder}. Pass download=True (--download) to fetch "
            "{url} ({licence}), or put the file there.",
            full_name=line.full_name,
            network=line.network,
            folder=folder,
            url=line.url,
            licence=line.licence,
        )
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    fetch(line.url, partial)
    verified(partial, line)
    partial.replace(path)
    return path


def fetch(url: str, partial: Path) -> None:
    """Append what is still missing of a file; an interrupted fetch goes on where it stopped."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            # a server that does not know ranges answers 200 and begins anew
            mode = "ab" if answer.status == 206 else "wb"
            with partial.open(mode) as file:
                while block := answer.read(CHUNK):
                    file.write(block)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # "range not satisfiable": all of it is there already
            raise CheckpointError(
                "{url} cannot be fetched: {error}. Try again, or fetch it by hand.", url=url, error=error
            ) from error
    except OSError as error:
        raise CheckpointError(
            "{url} cannot be fetched: {error}. Try again: what came is kept.", url=url, error=error
        ) from error


def recognised(path: str | Path) -> Published | None:
    """The published line a file is of, known by its bytes whatever the file is called; None where it is of none."""
    digest = sha256(path)
    return next((line for line in table() if digest.startswith(line.sha256_prefix)), None)


def sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(path: Path, line: Published) -> Path:
    """The path, if its SHA-256 begins as published; else the file is removed from the way."""
    digest = sha256(path)
    if not digest.startswith(line.sha256_prefix):
        spoilt = path.with_name(path.name + ".spoilt")
        path.replace(spoilt)
        raise CheckpointError(
            "{path} is not the published file: its SHA-256 begins {digest}, not "
            "{sha256_prefix}. It was moved to {name}; fetch it again.",
            path=path,
            digest=digest[:8],
            sha256_prefix=line.sha256_prefix,
            name=spoilt.name,
        )
    return path
