"""Random numbers that belong to a sample, not to a generator: a pure function of (seed, epoch, sample, draw).

A counter goes through SplitMix64's finaliser, so the numbers of one image do not depend on the batch it came in, on
how many workers there are, or on what was drawn before. Resuming is jumping.

Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 16 (mix64, with
the constants of variant 13 by Stafford).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_WORD = 1 << 64


def _signed(word: int) -> int:
    """The int64 with the same 64 bits: torch has no arithmetic on uint64, and int64 wraps alike."""
    word %= _WORD
    return word - _WORD if word >= _WORD // 2 else word


def _shifted(words: torch.Tensor, by: int) -> torch.Tensor:
    """Logical shift right: the arithmetic one, with the copied sign bits masked off."""
    return (words >> by) & ((1 << (64 - by)) - 1)


def mix64(words: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser on int64 (as 64 bits): a bijection in which every input bit moves half of the output."""
    words = (words ^ _shifted(words, 30)) * _signed(_MIX_1)
    words = (words ^ _shifted(words, 27)) * _signed(_MIX_2)
    return words ^ _shifted(words, 31)


@lru_cache(maxsize=1024)
def key(*parts: int | str) -> int:
    """One 64-bit key from a seed, an epoch and the name of a use, so that uses never share numbers."""
    state = 0
    for part in parts:
        for number in part.encode() if isinstance(part, str) else (part,):
            state = _mix64(state + _GOLDEN + _mix64(number + _GOLDEN))
    return _signed(state)


def _mix64(word: int) -> int:
    """``mix64`` of one number, without a tensor."""
    word %= _WORD
    word = (word ^ (word >> 30)) * _MIX_1 % _WORD
    word = (word ^ (word >> 27)) * _MIX_2 % _WORD
    return word ^ (word >> 31)


def words(stream: int, samples: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(N, P) int64 of 64 random bits each, for int64 ``samples`` (N,) under a ``key``, at ``places`` (P,) of each."""
    rows = mix64(samples * _signed(_GOLDEN) + stream)
    columns = (places + 1) * _signed(_GOLDEN)
    return mix64(rows[:, None] + columns[None, :])


def uniform(stream: int, samples: torch.Tensor, draws: int) -> torch.Tensor:
    """(N, draws) float32, uniform in [0, 1): draws 0, 1, ... of each sample."""
    return uniform_at(stream, samples, torch.arange(draws, device=samples.device))


def uniform_at(stream: int, samples: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(N, P) float32, uniform in [0, 1): the upper 24 bits, so every value is exact and 1 never occurs."""
    return _shifted(words(stream, samples, places), 40).to(torch.float32) * (1 / (1 << 24))


def permutation(stream: int, n: int) -> torch.Tensor:
    """A random order of 0..n-1, (n,) int64: the order of the words of samples 0..n-1."""
    return torch.argsort(words(stream, torch.arange(n), torch.zeros(1, dtype=torch.int64))[:, 0], stable=True)


@dataclass(frozen=True)
class Draws:
    """The uniform numbers of one batch, by use: each use has its own stream, so adding one changes no other."""

    seed: int
    epoch: int
    samples: torch.Tensor  # (N,) int64, on the device the numbers are wanted
    on_host: torch.Tensor | None = None  # the same on the CPU, where they are there already

    @property
    def here(self) -> Draws:
        """The same numbers on the CPU, for choices that must not wait for a device."""
        return Draws(self.seed, self.epoch, self.samples.cpu() if self.on_host is None else self.on_host)

    def uniform(self, use: str, draws: int = 1) -> torch.Tensor:
        """(N, draws) float32 in [0, 1)."""
        return uniform(key(self.seed, self.epoch, use), self.samples, draws)

    def symmetric(self, use: str, limit: float) -> torch.Tensor:
        """(N,) float32 in [-limit, limit)."""
        return (2 * self.uniform(use)[:, 0] - 1) * limit

    def between(self, use: str, low: float, high: float) -> torch.Tensor:
        """(N,) float32 in [low, high)."""
        return low + (high - low) * self.uniform(use)[:, 0]

    def integers(self, use: str, below: int) -> torch.Tensor:
        """(N,) int64 in [0, below)."""
        return (self.uniform(use)[:, 0] * below).long()
