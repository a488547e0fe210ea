"""LeNet-5 by hand: what its unusual layers compute, and what the tracer is told about them."""

from __future__ import annotations

import torch
from torch.nn import functional as F

import convatlas as ca
from convatlas.models.lenet import C3_TABLE, EuclideanRBF, ScaledTanh, Subsampling, TableConvolution, class_codes


def test_scaled_tanh_maps_one_to_one():
    assert torch.allclose(ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0])), torch.tensor([-1.0, 0.0, 1.0]), atol=1e-4)


def test_subsampling_is_the_sum_of_four_times_a_coefficient_plus_a_bias():
    layer = Subsampling(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 2.0]))
        layer.bias.copy_(torch.tensor([1.0, -1.0]))
    x = torch.arange(8.0).reshape(1, 2, 2, 2)  # maps 0 1 2 3 and 4 5 6 7
    assert layer(x).flatten().tolist() == [0.5 * 6 + 1, 2 * 22 - 1]


def test_table_i_has_six_maps_of_three_nine_of_four_and_one_of_six_inputs():
    assert [len(maps) for maps in C3_TABLE] == [3] * 6 + [4] * 9 + [6]
    assert len(set(C3_TABLE)) == 16  # no two maps see the same


def test_c3_reads_only_what_its_table_lists():
    layer = TableConvolution(C3_TABLE)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    for channel in range(6):
        x = torch.zeros(1, 6, 5, 5)
        x[:, channel] = torch.randn(5, 5)
        touched = layer(x).flatten().ne(0)
        assert touched.tolist() == [channel in maps for maps in C3_TABLE]


def test_c3_is_the_sum_of_the_connected_kernels():
    layer = TableConvolution(((0, 1), (1,)), kernel_size=2)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(1, 2, 4, 4)
    a, b, c = (k.detach()[None, None] for k in layer.weight)
    first = F.conv2d(x[:, :1], a) + F.conv2d(x[:, 1:], b) + layer.bias[0]
    second = F.conv2d(x[:, 1:], c) + layer.bias[1]
    assert torch.allclose(layer(x), torch.cat([first, second], dim=1), atol=1e-6)


def test_the_output_is_the_negated_squared_distance_to_the_codes():
    codes = torch.tensor([[1.0, 1.0, -1.0], [-1.0, -1.0, -1.0]])
    x = torch.tensor([[1.0, 1.0, -1.0], [0.0, 0.0, 0.0]])
    assert EuclideanRBF(codes)(x).tolist() == [[0.0, -8.0], [-3.0, -3.0]]


def test_codes_are_signs_and_well_apart():
    for classes in (2, 10, 11, 300):
        codes = class_codes(classes)
        assert codes.shape == (classes, 84)
        assert codes.abs().eq(1).all()
        different = (84 - codes @ codes.T) / 2
        different.fill_diagonal_(84)
        assert different.min() >= (10 if classes == 10 else 16)  # 8 and 9, 5 and 6 look alike on 7 x 12


def test_codes_do_not_depend_on_the_seed_and_travel_with_the_weights():
    torch.manual_seed(1)
    first = class_codes(26)
    torch.manual_seed(2)
    assert torch.equal(first, class_codes(26))
    assert "OUTPUT.codes" in ca.create_model("lenet5").state_dict()
