"""The kinds of trees, by what their ``to_dict`` says."""

from __future__ import annotations

import json
from pathlib import Path

from convatlas.data.hub import HubTree
from convatlas.data.shards import TarTree
from convatlas.data.tree import FolderTree, Tree, ZipTree


def open_tree(spec: dict[str, str]) -> Tree:
    """The tree that ``Tree.to_dict`` describes; a decoding process opens it this way."""
    if "tar" in spec:
        return TarTree(Path(spec["tar"]), json.loads(spec["shards"]))
    if "hf" in spec:
        return HubTree(spec["hf"])
    return ZipTree(Path(spec["zip"])) if "zip" in spec else FolderTree(Path(spec["folder"]))
