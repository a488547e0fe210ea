"""A first proposal for a file of names: the file's tensors and the network's, paired by shape, kind and order."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from convatlas.models.weights.load import Fit
from convatlas.models.weights.source import spare

# the last part of a name -> what kind of tensor it is; of any other the kind is open
KINDS = {
    "weight": "weight", "gamma": "weight", "kernel": "weight", "scale": "weight", "w": "weight", "g": "weight",
    "bias": "bias", "beta": "bias", "b": "bias", "shift": "bias",
    "running_mean": "mean", "moving_mean": "mean", "mean": "mean",
    "running_var": "var", "moving_variance": "var", "var": "var", "variance": "var",
}  # fmt: skip


def paired(fit: Fit) -> dict[str, str]:
    """Names of the file that the network does not know -> names of the network that the file lacks."""
    theirs = {name: tuple(fit.ours[name].shape) for name in fit.unknown if not spare(name)}
    ours = {name: fit.shapes[name] for name in fit.missing}
    orders = (list(theirs), sorted(theirs, key=natural))  # safetensors sorts its names
    return max((aligned(order, theirs, list(ours), ours) for order in orders), key=len)


def aligned(
    names: Sequence[str],
    theirs: Mapping[str, tuple[int, ...]],
    our_names: Sequence[str],
    ours: Mapping[str, tuple[int, ...]],
) -> dict[str, str]:
    """The pairs of one alignment in which order, shape and kind agree."""
    first = [(theirs[name], kind(name)) for name in names]
    second = [(ours[name], kind(name)) for name in our_names]
    pairs: dict[str, str] = {}
    for here, there, size in SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks():
        pairs |= {names[here + place]: our_names[there + place] for place in range(size)}
    return pairs


def kind(name: str) -> str:
    last = re.split(r"[./]", name)[-1].partition(":")[0]
    return KINDS.get(last, last)


def natural(name: str) -> list[tuple[bool, int | str]]:
    """A key that sorts ``layer10`` after ``layer9``."""
    return [(not part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", name)]


def skeleton(fit: Fit) -> str:
    """The TOML text of the pairs, with the shapes beside them; what has no counterpart is in comments."""
    pairs = paired(fit)
    lines = [
        f"# {fit.path}: names of the file = names of {fit.network}; proposed by shape and order, so look through them.",
        "# A line may be a regular expression: 'blocks\\.(\\d+)\\.(.*)' = 'stage1.\\1.\\2'; \"\" leaves a tensor out.",
        "",
    ]
    for theirs, ours in pairs.items():
        lines.append(f"{json.dumps(theirs)} = {json.dumps(ours)}  # {sides(fit.shapes[ours])}")
    alone = [name for name in fit.unknown if name not in pairs]
    if alone:
        lines += ["", "# of the file, without a counterpart:"]
        lines += [f'# {json.dumps(name)} = ""  # {sides(tuple(fit.ours[name].shape))}' for name in alone]
    open_names = [name for name in fit.missing if name not in pairs.values()]
    if open_names:
        lines += ["", f"# of {fit.network}, still without one:"]
        lines += [f"# {json.dumps(name)}  # {sides(fit.shapes[name])}" for name in open_names]
    return "\n".join(lines) + "\n"


def sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"
