"""Answers of the servers: JSON documents and the status of an error, without the folders of this machine."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from convatlas.errors import ConvAtlasError, MissingDependencyError, UnknownNameError, UsageError
from convatlas.http.bodies import Busy, TooLarge


def status_of(error: ConvAtlasError) -> int:
    """The HTTP status that says what kind of error it is."""
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, Busy):
        return 503
    if isinstance(error, UnknownNameError):
        return 404
    if isinstance(error, UsageError):
        return 400
    return 501 if isinstance(error, MissingDependencyError) else 422


def json_response(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    try:
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a network's own values may be nan or inf, which JSON does not have
        text = json.dumps(finite(document), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, headers, media_type="application/json")


def finite(value: Any) -> Any:
    """The document with null in the place of nan and inf."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value


_FOLDERS = re.compile(r"""(?:(?<=[\s'"(=,\[])|^)(?:[A-Za-z]:)?[\\/](?:[^\\/\s'":,]+[\\/])+""")


def without_folders(text: str, folders: Iterable[Any] = ()) -> str:
    """A message without the folders of its paths: ``/home/me/nets/mine.py`` becomes ``mine.py``.

    Args:
        folders: known ones, whose names may contain blanks.
    """
    for folder in sorted(map(str, folders), key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
    return _FOLDERS.sub("", text)
