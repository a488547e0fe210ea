"""Prefixes that a training program puts before a network's names, and entries it leaves among the weights.

``module.`` (DataParallel), ``_orig_mod.`` (torch.compile), ``model.`` (Lightning) and their like, in any order and
number. A prefix is taken off only where more of the network's tensors fit without it: some networks have such names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from convatlas.message import Message
from convatlas.models.weights.claims import Tensors

PREFIXES = (
    "module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "ema_model.", "online_model.",
    "ema.", "averaged_model.", "base_model.", "classifier_model.", "feature_extractor.", "encoder_q.", "base_encoder.",
    "online_encoder.", "student.", "teacher.", "_model.", "cnn.", "resnet.", "trunk.", "body.", "visual.", "model_ema.",
)  # fmt: skip
# put into the middle of a name where a part of a network was wrapped
INFIXES = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
# counters that profilers and averages leave among the weights
COUNTERS = ("total_ops", "total_params", "n_averaged", "initted", "step")
MOST = 6  # prefixes before one another


@dataclass(frozen=True)
class Unwrapped:
    """The tensors under bare names.

    Attributes:
        tensors: those that had the prefixes, without them, and all others as they were.
        outside: the names that had no prefix where others had: a criterion's, a metric's.
        prefixes: what was taken off, the outermost first.
    """

    tensors: Tensors
    outside: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    @property
    def undone(self) -> tuple[Message, ...]:
        return tuple(Message("the prefix {prefix!r} taken off", prefix=prefix) for prefix in self.prefixes)


def unwrapped(tensors: Tensors, fit: Callable[[Tensors], int]) -> Unwrapped:
    """The tensors without the prefixes that keep them from fitting.

    Args:
        fit: of tensors, how many of a network's tensors they fill.
    """
    found = without_infixes(tensors)
    count = fit(found.tensors)
    best, best_count = found, count
    for _ in range(MOST):
        candidates = [each for prefix in PREFIXES if (each := without(found, prefix)) is not None]
        if not candidates:
            break
        counts = [fit(each.tensors) for each in candidates]
        largest = max(range(len(candidates)), key=lambda place: (counts[place], -len(candidates[place].outside)))
        found = candidates[largest]
        if counts[largest] > best_count:
            best, best_count = found, counts[largest]
    return best


def by_names(tensors: Tensors) -> Unwrapped:
    """The tensors without the prefixes that most of them have, where no network is known."""
    found = without_infixes(tensors)
    for _ in range(MOST):
        candidates = [each for prefix in PREFIXES if (each := without(found, prefix)) is not None]
        candidates = [each for each in candidates if 2 * len(each.outside) < len(each.tensors)]
        if not candidates:
            break
        found = min(candidates, key=lambda each: len(each.outside))
    return found


def without(found: Unwrapped, prefix: str) -> Unwrapped | None:
    """One prefix taken off; None where no name has it, or two tensors would have one name."""
    bare: Tensors = {}
    outside = set()
    for name, value in found.tensors.items():
        short = name.removeprefix(prefix)
        if short in bare:
            return None
        bare[short] = value
        if short == name or name in found.outside:
            outside.add(short)
    if len(outside) == len(bare):
        return None
    return Unwrapped(bare, frozenset(outside), (*found.prefixes, prefix))


def without_infixes(tensors: Tensors) -> Unwrapped:
    """What stands in the middle of names taken out, and the counters left out."""
    bare: Tensors = {}
    removed: list[str] = []
    for name, value in tensors.items():
        short = name
        for infix in INFIXES:
            if f".{infix}" in short or (short.startswith(infix) and infix not in PREFIXES):
                first, _, rest = short.partition(infix)
                short = first + rest.replace(infix, "")
                removed += [infix] if infix not in removed else []
        if short.rpartition(".")[2] in COUNTERS and value.numel() == 1:
            continue
        bare[short if short not in bare else name] = value
    return Unwrapped(bare, frozenset(), tuple(removed))
