"""Keyed random numbers: the published generator, the same number for the same sample, and uniform."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from convatlas.data import keyed

MASK = (1 << 64) - 1


def splitmix64(seed: int, count: int) -> list[int]:
    """The reference generator (Vigna's public-domain C), written out with Python's integers."""
    outputs = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        outputs.append(z ^ (z >> 31))
    return outputs


def test_the_finaliser_is_splitmix64s():
    # the first outputs for seed 1234567, as in the generator's published test vector
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    states = [(1234567 + k * 0x9E3779B97F4A7C15) & MASK for k in (1, 2, 3)]
    signed = torch.tensor([state - (1 << 64) if state >> 63 else state for state in states])
    assert [int(word) & MASK for word in keyed.mix64(signed)] == splitmix64(1234567, 3)


@given(seed=st.integers(-(2**63), 2**63 - 1), samples=st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_a_sample_has_its_numbers_whatever_the_batch(seed, samples):
    stream = keyed.key(seed, 3, "crop")
    together = keyed.uniform(stream, torch.tensor(samples), 4)
    alone = torch.cat([keyed.uniform(stream, torch.tensor([sample]), 4) for sample in samples])
    assert torch.equal(together, alone)
    assert bool(((together >= 0) & (together < 1)).all())


def test_seed_epoch_use_sample_and_draw_all_matter():
    samples = torch.arange(1000)
    draws = [
        keyed.uniform(keyed.key(seed, epoch, use), samples, 2)[:, column]
        for seed in (0, 1)
        for epoch in (0, 1)
        for use in ("crop", "flip")
        for column in (0, 1)
    ]
    correlation = np.corrcoef(torch.stack(draws).numpy()) - np.eye(len(draws))
    assert np.abs(correlation).max() < 0.15  # 16 streams of 1000: 5 standard deviations


def test_the_numbers_are_uniform():
    values = keyed.uniform(keyed.key(7), torch.arange(100_000), 1)[:, 0].numpy()
    counts = np.histogram(values, bins=64, range=(0, 1))[0]
    chi_squared = ((counts - 100_000 / 64) ** 2 / (100_000 / 64)).sum()
    assert 30 < chi_squared < 110  # 63 degrees of freedom: 99.98 % of good generators


@given(n=st.integers(0, 300), seed=st.integers(0, 10))
def test_a_permutation_has_everyone_once(n, seed):
    assert torch.equal(torch.sort(keyed.permutation(keyed.key(seed), n)).values, torch.arange(n))
