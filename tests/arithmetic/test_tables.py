"""The kept tables: as good as a fresh count, and no torch to read them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from convatlas.arithmetic.explanation import explain_all
from convatlas.arithmetic.summary import Summary
from convatlas.models import create_model, entry, list_models
from convatlas.models.layer_tables import counted, table

FEW = ("lenet5", "alexnet", "resnet18", "resnet20_cifar", "squeezenet1_0", "densenet40_k12_cifar")


@pytest.mark.parametrize("name", FEW)
def test_a_kept_table_is_what_the_tracer_counts(name):
    fresh = counted(name)
    assert Summary.from_dict(fresh.to_dict()) == fresh
    assert table(name) == fresh, "run  python -m convatlas.models.layer_tables"


@pytest.mark.parametrize("name", FEW)
def test_torchs_own_counter_says_the_same(name):
    with torch.device("meta"):
        net = create_model(name).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.empty(1, *entry(name).input, device="meta"))
    assert 2 * sum(row.operator_macs for row in counted(name).rows) == counter.get_total_flops()
    assert counted(name).totals.params == sum(p.numel() for p in net.parameters())


def test_every_layer_of_the_atlas_is_worked_out_again_by_hand_and_agrees():
    for name in list_models():
        if name != "resnet1202_cifar":  # as resnet110_cifar, eleven times over
            assert explain_all(table(name)), name


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_no_table_is_stale(name):
    assert table(name) == counted(name), "run  python -m convatlas.models.layer_tables"


def test_show_and_explain_need_no_torch():
    code = (
        "import sys; from convatlas.cli._app import app\n"
        "for line in ('show resnet152', 'explain alexnet conv1', 'layer fc --input 9 --out 2'):\n"
        "    app.main(line.split(), standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
