"""That the networks take turns, that nothing of them is changed, and that memory is what arithmetic says it is."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from convatlas.comparison import measure

EXAMPLE = torch.zeros(1, 1, 2, 2)


class Clock:
    """Seconds that pass only when a network is called."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now


class Takes(nn.Module):
    def __init__(self, name: str, seconds: float, clock: Clock) -> None:
        super().__init__()
        self.name, self.seconds, self.clock = name, seconds, clock
        self.modes: set[bool] = set()

    def forward(self, images):
        self.clock.now += self.seconds
        self.clock.calls.append(self.name)
        self.modes.add(self.training)
        return images


def test_the_networks_take_turns_in_blocks_after_a_warm_up():
    clock = Clock()
    networks = {name: (Takes(name, seconds, clock), EXAMPLE) for name, seconds in (("a", 1.0), ("b", 2.0))}
    found = measure.latencies(networks, limit_s=0, clock=clock)
    warm_up, block = measure.WARM_UP, measure.BLOCK + 1  # one call of each block is not counted
    expected = ["a"] * warm_up + ["b"] * warm_up + (["a"] * block + ["b"] * block) * measure.BLOCKS_AT_LEAST
    assert clock.calls == expected
    assert found["a"].calls == found["b"].calls == 30
    assert (found["a"].p50_s, found["b"].p95_s) == (1.0, 2.0)
    assert found["a"].to_dict() == {"p50": 1000.0, "p95": 1000.0}


def test_the_limit_ends_it_and_the_most_is_enough():
    def calls(seconds: float, limit_s: float) -> int:
        clock = Clock()
        return measure.latencies({"a": (Takes("a", seconds, clock), EXAMPLE)}, limit_s=limit_s, clock=clock)["a"].calls

    assert calls(seconds=1.0, limit_s=60.0) == 60  # 11 s a block: 5 are over 55 s, a sixth still begins
    assert calls(seconds=1e-6, limit_s=60.0) == measure.BLOCK * measure.BLOCKS_AT_MOST


def test_networks_are_measured_in_eval_mode_and_left_as_they_were():
    clock = Clock()
    network = Takes("a", 1.0, clock).train()
    measure.latencies({"a": (network, EXAMPLE)}, limit_s=0, clock=clock)
    assert network.modes == {False}
    assert network.training


def test_real_time_is_measured():
    quick, slow = nn.Flatten(), nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(30)))
    example = torch.zeros(1, 1, 64, 64)
    found = measure.latencies({"quick": (quick, example), "slow": (slow, example)}, limit_s=0.5)
    assert 0 < found["quick"].p50_s < found["slow"].p50_s
    assert found["slow"].threads == torch.get_num_threads()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the resident set is read from /proc")
def test_the_memory_of_a_linear_layer_is_that_of_its_weights():
    """Measured in a process of its own: 20 million float32 weights are 80 MB, the activations next to nothing."""
    program = """
        import json
        from torch import nn
        from convatlas.comparison.memory_probe import peak_of
        peak, how = peak_of(lambda: nn.Sequential(nn.Flatten(), nn.Linear(20_000, 1_000, bias=False)), (1, 100, 200))
        print(json.dumps([peak, how]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    peak, how = json.loads(done.stdout)
    assert 80e6 <= peak <= 84e6
    assert "VmHWM" in how


def test_a_run_that_cannot_be_loaded_has_no_memory_and_says_why(tmp_path):
    found = measure.peak_memory(tmp_path, (1, 8, 8), threads=1)
    assert found.peak_bytes is None
    assert "is not a run directory" in found.how
