"""The measured trial: when it is made, what it chooses, and a record of it that no damage turns into an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from convatlas.errors import UsageError
from convatlas.training import compilation, hardware, trial
from convatlas.training.trial import Records, Timing, UpdateMode

BF16, FP32 = UpdateMode("bf16", True), UpdateMode("fp32", True)
COMPILED = UpdateMode("bf16", True, compiled=True)


def test_what_the_instruction_set_suggests_stays_unless_another_is_clearly_faster():
    assert trial.fastest([Timing(BF16, 1.00), Timing(FP32, 0.97)]).mode == BF16  # within the noise
    assert trial.fastest([Timing(BF16, 1.00), Timing(FP32, 0.90)]).mode == FP32


def test_a_trial_costs_two_hundredths_of_the_run_at_most():
    updates = 4 * (trial.WARM_UP + trial.TIMED) / trial.SHARE
    assert trial.worth_a_trial(4, round(updates))
    assert not trial.worth_a_trial(4, round(updates) - 1)


def test_compiling_must_save_twice_what_it_costs():
    eager, compiled = Timing(BF16, 1.0), Timing(COMPILED, 0.9, compile_s=30.0)
    assert not trial.repays(compiled, eager, 599)
    assert trial.repays(compiled, eager, 601)


def test_a_mode_twice_as_slow_is_timed_in_its_warm_up_only():
    made = dict.fromkeys((BF16, FP32), 0)

    def prepare(mode: UpdateMode) -> trial.Update:
        def update() -> torch.Tensor:
            made[mode] += 1
            time.sleep(0.002 if mode == BF16 else 0.02)
            return torch.zeros(())

        return update

    found = trial.measure([BF16, FP32], prepare)
    assert made == {BF16: trial.WARM_UP + trial.TIMED, FP32: trial.WARM_UP}
    assert trial.fastest(found).mode == BF16


def test_a_record_comes_back_and_knows_its_key(tmp_path):
    records = Records(tmp_path / "cache")
    found = [Timing(BF16, 0.5), Timing(COMPILED, 0.4, compile_s=12.0)]
    records.put("this machine", found)
    assert Records(tmp_path / "cache").get("this machine") == found
    assert Records(tmp_path / "cache").get("that machine") == []
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["speed-trials.json"]  # nothing half written


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"schema": 1}',
        '{"schema": 1, "trials": {"key": [{"precision": "fp7"}]}}',
        '{"schema": 1, "trials": {"key": [{"precision": "bf16", "channels_last": true, "compiled": false, '
        '"update_s": "nan", "compile_s": 0}]}}',
    ],
)
def test_a_damaged_record_is_passed_over_with_a_note(tmp_path, content):
    records = Records(tmp_path)
    records.path.write_text(content)
    assert records.get("key") == []
    assert "damaged" in records.notes[0]
    records.put("key", [Timing(BF16, 0.5)])
    assert json.loads(records.path.read_text())["trials"].keys() == {"key"}


def test_a_folder_that_cannot_be_written_is_a_note_and_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    records = Records(tmp_path / "file" / "below")
    records.put("key", [Timing(BF16, 0.5)])
    assert "could not be stored" in records.notes[-1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what torch's compiler says of its own parts
def test_a_compiled_network_trains_as_the_network_and_leaves_it_as_it_was():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    images = torch.randn(5, 3, 8, 8)
    net(images)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    faster, seconds = compilation.compiled(net, [images, images[:2]], hardware.choose(precision="fp32").autocast())
    assert seconds > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.allclose(faster(images), net(images), atol=1e-5)


@pytest.mark.slow
def test_without_a_compiler_it_says_so():
    """The real thing: torch is told of a compiler that is not there."""
    script = (
        "import contextlib, torch; from convatlas.training import compilation as c\n"
        "c.compiled(torch.nn.Linear(2, 2), [torch.ones(1, 2)], contextlib.nullcontext())"
    )
    environment = os.environ | {"CXX": "/no/such/compiler"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert UsageError.__name__ in result.stderr
    assert "needs a C++ compiler" in result.stderr
