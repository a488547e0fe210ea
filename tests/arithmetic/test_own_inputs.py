"""``summarize`` for modules with other inputs than one image, lazy and quantized layers, and classes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.arithmetic.network import ForwardError, summarize
from convatlas.errors import UsageError


class OfDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.more = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1)

    def forward(self, batch, deep=False):
        x = self.conv(batch["image"])
        return self.more(x) if deep else x


def test_a_dict_is_the_argument_where_the_forward_has_none_of_its_names():
    assert summarize(OfDict(), {"image": (3, 32, 32)}).totals.params == 3 * 3 * 3 * 8 + 8
    assert summarize(OfDict(), {"batch": {"image": (3, 32, 32)}, "deep": True}).totals.params == 224 + 18
    assert summarize(OfDict(), [{"image": (3, 32, 32)}, True]).totals.params == 224 + 18


def test_flags_numbers_and_texts_are_passed_on():
    class Flags(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x, mode, times=1, mask=None):
            assert mode == "twice"
            assert mask is None
            for _ in range(times):
                y = self.conv(x)
            return y

    assert summarize(Flags(), {"x": (3, 4, 4), "mode": "twice", "times": 2, "mask": None}).totals.macs == 2 * 12 * 16


def test_lazy_layers_get_their_sizes_in_a_copy():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3))
    summary = summarize(net, (3, 8, 8))
    assert summary.totals.params == 112 + 144 * 3 + 3
    assert "0, 2" in summary.notes[0]
    assert isinstance(net[0].weight, nn.UninitializedParameter)


@pytest.mark.filterwarnings("ignore")
def test_quantized_layers_are_named():
    net = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 3)), {nn.Linear})
    with pytest.raises(UsageError, match="0 is quantized"):
        summarize(net, (4,))


@pytest.mark.parametrize("call", [ca.summarize, summarize])
def test_a_class_is_no_network(call):
    with pytest.raises(UsageError, match=r"give an instance of it: Conv2d\(\.\.\.\)"):
        call(nn.Conv2d, (3, 32, 32))


def test_the_rows_up_to_the_failing_layer_come_with_the_error():
    with pytest.raises(ForwardError) as caught:
        summarize(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(3, 3)), (3, 8, 8))
    (note,) = caught.value.__notes__
    assert "conv" in note
    assert note.endswith(">>> 2 stopped here, given 144")


def test_lists_of_dicts_are_passed_on():
    class Recordings(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, maps, info, masks=()):
            assert info[0]["modality"] == "EEG"
            assert all(mask["at"].shape == (1, 5) for mask in masks)
            return self.conv(maps["512"])

    inputs = ({"512": (1, 32, 32)}, [{"modality": "EEG"}], [{"at": (5,)}, {"at": (5,)}])
    assert summarize(Recordings(), inputs).totals.params == 40


@pytest.mark.parametrize(
    "made",
    [
        lambda x: torch.distributions.Categorical(logits=x),
        lambda x: torch.distributions.Normal(x, torch.nn.functional.softplus(x)),
        lambda x: torch.distributions.Independent(torch.distributions.Normal(x, x.exp()), 1),
    ],
    ids=["Categorical", "Normal", "Independent"],
)
def test_a_distribution_as_output(made):
    class Probabilistic(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(10, 5)

        def forward(self, x):
            return made(self.linear(x))

    checks = torch.distributions.Distribution._validate_args
    assert summarize(Probabilistic(), (10,)).totals.params == 55
    assert torch.distributions.Distribution._validate_args == checks
