"""The tracer on small networks whose every figure can be worked out on paper."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convatlas.arithmetic import ForwardError, LayerCount, summarize
from convatlas.errors import UsageError


class Branches(nn.Module):
    """Functional calls, a sum, a concatenation, a pooling without a module, a layer called twice."""

    def __init__(self):
        super().__init__()
        self.left = nn.Conv2d(3, 4, 3, padding=1)
        self.right = nn.Conv2d(3, 4, 1, bias=False)
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, images):
        x = torch.cat([self.left(images), self.right(images)], dim=1)
        x = F.relu(x + self.twice(self.twice(x)))
        x = F.max_pool2d(x, 2)
        return self.head(x.mean(dim=(2, 3)))


def test_every_operator_is_a_row_under_its_path():
    s = summarize(Branches(), (3, 8, 8))
    assert [(row.name, row.kind) for row in s.rows] == [
        ("left", "conv"),
        ("right", "conv"),
        ("concat", "concat"),
        ("twice", "conv"),
        ("twice:2", "conv"),
        ("add", "add"),
        ("relu", "relu"),
        ("maxpool", "maxpool"),
        ("global_avgpool", "global_avgpool"),
        ("head", "fc"),
    ]
    assert s["concat"].inputs == ("left", "right")
    assert s["add"].inputs == ("concat", "twice:2")
    assert ("twice", "twice:2") in s.edges
    assert s.outputs == ("head",)


def test_a_shared_layer_works_twice_and_weighs_once():
    s = summarize(Branches(), (3, 8, 8))
    assert s["twice"].params == 8 * 8 * 9 + 8
    assert s["twice:2"].params == 0
    assert s["twice:2"].shared
    assert s["twice"].macs == s["twice:2"].macs == 8 * 8 * (8 * 8 * 9)
    assert s.totals.params == sum(p.numel() for p in Branches().parameters())


def test_figures_by_hand():
    s = summarize(Branches(), (3, 8, 8))
    left = s["left"]
    assert left.output == (4, 8, 8)
    assert (left.kernel, left.stride, left.padding, left.groups) == ((3, 3), (1, 1), (1, 1), 1)
    assert left.macs == 64 * 4 * 27
    assert left.connections == 64 * 4 * (27 + 1)
    assert s["right"].connections == s["right"].macs == 64 * 4 * 3
    assert left.activation_bytes == 4 * 8 * 8 * 4
    assert (s["head"].macs, s["head"].connections) == (80, 90)
    assert s.totals.macs == 64 * 4 * 27 + 64 * 4 * 3 + 2 * 64 * 576 + 80


def test_grouped_and_transposed_convolutions_and_fc_over_positions():
    net = nn.Sequential(nn.Conv2d(8, 16, 3, groups=4), nn.ConvTranspose2d(16, 6, 4, stride=2, padding=1))
    s = summarize(net, (8, 10, 10))
    assert s["0"].macs == 8 * 8 * 16 * (8 // 4) * 9
    assert s["1"].output == (6, 16, 16)
    assert s["1"].macs == 8 * 8 * 16 * 6 * 16  # every input position spreads over every tap
    over_positions = summarize(nn.Linear(5, 7), (11, 5))
    assert over_positions.totals.macs == 11 * 35
    assert over_positions.totals.connections == 11 * 35 + 11 * 7


def test_memory_counts_only_what_is_new():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.ReLU())
    s = summarize(net, (1, 4, 4))
    assert [row.activation_bytes for row in s.rows] == [128, 0, 0, 128]


class Table(nn.Module):
    """Keeps three of six kernels and is run as a full convolution, as C3 of LeNet-5 is."""

    def __init__(self, states=True):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 5, 5))
        mask = torch.tensor([[True, False, True], [False, True, False]])
        self.register_buffer("mask", mask)
        self.bias = nn.Parameter(torch.zeros(2))
        if not states:
            self.__class__ = type("Silent", (nn.Module,), {"forward": Table.forward})

    def forward(self, x):
        kernels = self.weight.new_zeros(2, 3, 5, 5)
        kernels[self.mask] = self.weight
        return F.conv2d(x, kernels, self.bias)

    def __arithmetic__(self, inputs, output):
        positions = output[1] * output[2]
        return LayerCount("conv", macs=positions * 75, connections=positions * 77, kernel=(5, 5))


def test_a_layer_may_state_its_arithmetic_but_not_its_parameters():
    stated = summarize(nn.Sequential(Table()), (3, 14, 14))["0"]
    assert stated.stated
    assert (stated.params, stated.macs, stated.connections) == (77, 100 * 75, 100 * 77)
    watched = summarize(nn.Sequential(Table(states=False)), (3, 14, 14))["0"]
    assert (watched.params, watched.macs, watched.kind) == (77, 100 * 150, "conv")


class Branching(nn.Module):
    def forward(self, x):
        return x.relu() if x.sum() > 0 else x


def test_data_dependent_control_flow_is_refused():
    with pytest.raises(ForwardError, match="reads a value of a tensor"):
        summarize(Branching(), (3, 8, 8))


class Unheard(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).abs() + torch.linalg.inv(x)


def test_an_operator_not_known_is_unknown_never_zero():
    s = summarize(Unheard(), (1, 8, 8))
    unknown = {row.kind for row in s.rows if row.macs is None}
    assert unknown == {"unknown"}
    assert len(s.unknown) == 2
    assert "at least" in str(s)
    assert "_fft" in s.notes[0]


def test_auxiliary_heads_and_running_statistics_stand_beside():
    class WithHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
            self.aux = nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 2))

        def forward(self, x):
            x = self.body(x)
            return (x, self.aux(x)) if self.training else x

    s = summarize(WithHead(), (3, 8, 8))
    assert s.totals.params == 108 + 8
    assert s.unused_params == {"aux": 4 * 36 * 2 + 2}
    assert s.buffers == 8
    assert summarize(WithHead(), (3, 8, 8), training=True).totals.params == 108 + 8 + 290


def test_the_network_is_left_as_it_was():
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.register_buffer("seen", torch.zeros(3))
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            self.seen = self.seen + x.mean(dim=(0, 2, 3))
            self.last = x
            self.norm.running_mean.add_(1)
            return self.norm(x)

    net = Remembers().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    summarize(net, (3, 8, 8), training=True)
    with pytest.raises(ForwardError):
        summarize(net, (4, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    assert net.calls == 0
    assert not hasattr(net, "last")
    assert not net._forward_hooks
    assert not net.norm._forward_pre_hooks
    assert torch.equal(random, torch.get_rng_state())


def test_a_forward_that_fails_returns_what_ran():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(100, 10))
    with pytest.raises(ForwardError) as caught:
        summarize(net, (3, 32, 32))
    assert str(caught.value) == (
        "2 (Linear) failed with the input 3600: it expects 100 features and got 3600. "
        "Change the input size, or in_features."
    )
    assert caught.value.layer == "2"
    assert [row.name for row in caught.value.summary.rows] == ["0", "1"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 32, 32), r"0 \(Conv2d\) failed with the input 1 x 32 x 32: it expects 3 channels and got 1"),
        ((3, 2, 32), "spans 3 pixels, and the padded input has only 2"),
        ((3, 32), r"3 axes, \(channels, side, side\), and got 2"),
    ],
)
def test_messages_name_the_layer_and_the_way_out(shape, message):
    with pytest.raises(ForwardError, match=message):
        summarize(nn.Sequential(nn.Conv2d(3, 4, 3)), shape)


@pytest.mark.parametrize(
    ("net", "given", "message"),
    [
        (
            nn.Conv2d(3, 4, 3),
            torch.zeros(1, 3, 8, 8, dtype=torch.long),
            "Conv2d failed with the input 3 x 8 x 8: Input",
        ),
        (nn.Linear(3, 4), torch.zeros(1, 3, dtype=torch.float64), "float32 and float64). Pass dtype="),
        (nn.Sequential(nn.AvgPool2d(1), nn.Flatten(2)), (3, 8, 8), None),
    ],
)
def test_types_are_minded(net, given, message):
    if message is None:
        summarize(net, given, dtype=torch.float64)
    else:
        with pytest.raises(ForwardError, match=re.escape(message)):
            summarize(net, given)


class Empties(nn.Module):
    def forward(self, x):
        return x[:, :, :0].relu()


def test_a_layer_of_size_zero_is_named():
    with pytest.raises(ForwardError, match=r"0 \(Empties\) failed with the input 3 x 8 x 8: its result would be empty"):
        summarize(nn.Sequential(Empties()), (3, 8, 8))


class Silent(nn.Module):
    def forward(self, x):
        return 3


def test_a_forward_without_a_tensor_is_refused():
    with pytest.raises(UsageError, match="forward returned int, which contains no tensor"):
        summarize(Silent(), (3, 8, 8))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_is_refused_and_a_compiled_one_opened():
    net = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(UsageError, match="a TorchScript module cannot be traced"):
        summarize(torch.jit.script(net), (3,))
    assert summarize(torch.compile(net), (3,)) == summarize(net, (3,))


def test_weights_reached_through_data_are_counted():
    class Reaches(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight.data, self.bias)

    s = summarize(nn.Sequential(Reaches(3, 4)), (3,))
    assert s.totals.params == 16
    assert not s.unused_params


def test_parametrized_weights_are_all_counted():
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)))
    s = summarize(net, (3, 8, 8))
    assert s.totals.params == 4 * 27 + 4 + 4  # directions, lengths, biases
    assert s.totals.macs == 36 * 4 * 27


def test_a_recurrent_network_with_its_weights():
    s = summarize(nn.LSTM(5, 7, batch_first=True), (11, 5))
    assert s.totals.params == 4 * 7 * (5 + 7 + 2)
    assert s.totals.macs == 11 * 4 * 7 * (5 + 7)


@pytest.mark.parametrize("shape", [(3, 0, 8), (), (3, -1, 2), "3x32", (3, 2.5)])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(UsageError, match="an input shape must be"):
        summarize(nn.ReLU(), shape)


class Two(nn.Module):
    def forward(self, image, *, other):
        return image + other


def test_several_inputs_and_missing_ones():
    with pytest.raises(UsageError, match=r"forward\(image, \*, other\) cannot be called with 1 input"):
        summarize(Two(), (3, 4, 4))
    s = summarize(Two(), {"image": (3, 4, 4), "other": (3, 1, 1)})
    assert s.inputs == ((3, 4, 4), (3, 1, 1))
    assert s.rows[0].output == (3, 4, 4)
    embedded = summarize(nn.Embedding(10, 4), torch.zeros(1, 7, dtype=torch.long))
    assert (embedded.rows[0].kind, embedded.totals.params, embedded.rows[0].output) == ("embedding", 40, (7, 4))


def test_a_reshape_that_eats_the_batch_is_pointed_out():
    class Folds(nn.Module):
        def forward(self, x):
            return x.view(-1, 3 * 4 * 4)

    assert "the network returned 4 results" in summarize(Folds(), (3, 8, 8)).notes[0]


def test_csv_and_json_hold_the_same_rows():
    s = summarize(Branches(), (3, 8, 8))
    lines = s.to_csv().splitlines()
    assert lines[0] == (
        "name,kind,output,kernel,stride,padding,groups,params,macs,connections,activation_bytes,receptive_field,jump,start"
    )
    assert lines[1].startswith("left,conv,4x8x8,3x3,1x1,1x1,1,112,6912,7168,1024,")
    document = s.to_dict()
    assert [row["name"] for row in document["rows"]] == [line.split(",")[0] for line in lines[1:]]
    assert document["totals"]["macs"] == sum(row["macs"] for row in document["rows"])
