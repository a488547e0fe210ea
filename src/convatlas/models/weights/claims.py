"""The sizes a weights file claims, checked before memory is taken for its tensors."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from convatlas.errors import CheckpointError

Tensors = dict[str, Tensor]
LARGEST = 8 << 30  # bytes in one file; the largest network of the atlas has 1.3 GB
DEFLATE_MAX_RATIO = 1032  # no more bytes than this come out of one byte of deflate (zlib's own technical note)


class Claims:
    """What a file says its tensors need, held against what it has, before memory is taken for them."""

    def __init__(self, path: Path | str, limit: int = LARGEST) -> None:
        self.path, self.limit, self.total = path, limit, 0

    def tensor(self, name: str, shape: tuple[int, ...], itemsize: int, stored: int) -> None:
        """A tensor of which ``stored`` bytes are in the file, possibly compressed.

        Raises:
            CheckpointError: more than any network here needs, alone or with those before it; or more than the bytes
                stored could become.
        """
        size = itemsize * math.prod(shape)
        if any(side < 0 for side in shape) or self.total + size > self.limit:
            raise CheckpointError(
                "{path}: {name} claims the shape {shape}, {size:,} bytes; the file's tensors would need "
                "more than {limit:,}, more than any network here; refused.",
                path=self.path,
                name=name,
                shape=tuple(shape),
                size=size,
                limit=self.limit,
            )
        self.bytes(f"{name}, of shape {tuple(shape)},", size, stored)

    def bytes(self, name: str, size: int, stored: int) -> None:
        """``size`` bytes that are ``stored`` bytes in the file."""
        self.total += size
        if self.total > self.limit or size > DEFLATE_MAX_RATIO * stored:
            raise CheckpointError(
                "{path}: {name} claims {size:,} bytes, but {stored:,} are stored for it and at most "
                "{limit:,} allowed; refused.",
                path=self.path,
                name=name,
                size=size,
                stored=stored,
                limit=self.limit,
            )
