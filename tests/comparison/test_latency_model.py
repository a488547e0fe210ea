"""The latency model: the same operators on every device, a law that is recovered, and a cache."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from convatlas.arithmetic import summarize
from convatlas.comparison.latency_model import (
    LatencyModel,
    LatencyModels,
    WholePass,
    fit_latency_model,
    machine_of,
    with_random_weights,
)
from convatlas.comparison.operators import Operator, operators_of, timed_operators
from convatlas.errors import DataError
from convatlas.models import create_model, entry

NETWORKS = ("lenet5@modern", "resnet20_cifar", "shufflenet_v2_x0_5", "mobilenet_v3_small", "densenet40_k12_cifar")


def law(operator: Operator) -> float:
    """A machine on which a call costs 5 us, a multiply-add 20 ps, an element 1 ns and a parameter 0.5 ns."""
    return 5e-6 + 2e-11 * operator.macs + 1e-9 * (operator.read + operator.written) + 5e-10 * operator.weights


def lawful(*networks: str) -> LatencyModel:
    """The model of a machine that obeys the law, fitted on these networks."""
    operators, passes = [], []
    for name in networks:
        with torch.device("meta"):
            found = operators_of(create_model(name), entry(name).input)
        operators.append(tuple((operator, law(operator)) for operator in found))
        whole = 1.5 * sum(seconds for _, seconds in operators[-1])
        passes.append(WholePass(name, whole, 1.2 * whole))
    return LatencyModel({"cpu": "lawful", "torch": "2", "threads": "1"}, tuple(operators), tuple(passes), 0.0)


@pytest.fixture(scope="module")
def model() -> LatencyModel:
    return lawful("resnet20_cifar", "shufflenet_v2_x0_5", "densenet40_k12_cifar", "lenet5@modern")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_operators_of_shapes_alone_are_those_that_run(name):
    net, image = with_random_weights(name)
    with torch.device("meta"):
        on_meta = operators_of(create_model(name), entry(name).input)
    assert [operator for operator, _ in timed_operators(net, image)] == on_meta
    assert sum(operator.macs for operator in on_meta) == summarize(net, entry(name).input).totals.macs


def test_random_weights_give_finite_outputs():
    for name in NETWORKS:
        net, image = with_random_weights(name)
        with torch.inference_mode():
            assert net(image).isfinite().all()


def test_a_linear_law_is_recovered_for_a_network_outside_the_fit(model):
    with torch.device("meta"):
        net = create_model("squeezenet1_1")
    operators = operators_of(net, (3, 224, 224))
    expected = 1.5 * sum(map(law, operators))
    assert model.predict(operators) == pytest.approx(expected, rel=0.02)
    assert model.predict_network(net, (3, 224, 224)) == model.predict(operators)
    assert model.spread == pytest.approx(1.2)


def test_what_the_line_misses_is_taken_from_the_most_alike_operators(model):
    """Kernels that are twice as slow as the line says make their like twice as slow, and not the others."""
    slow = Operator("conv", 10**6, 1000, 1000, 9000, 16, 16, 64, 25, 1)
    fast = Operator("conv", 10**9, 10**6, 10**6, 10**6, 512, 512, 49, 9, 1)
    measured = tuple((slow, 3 * law(slow)) for _ in range(5))
    changed = LatencyModel(model.machine, (*model.operators, measured), (*model.passes, model.passes[0]), 0.0)
    assert changed._operator(slow) == pytest.approx(3 * law(slow), rel=0.15)
    assert changed._operator(fast) < 1.6 * law(fast)


def test_an_operator_of_a_kind_that_was_not_fitted_counts_as_elementwise(model):
    unknown = Operator("grouped", 0, 1000, 1000)
    assert model.predict([unknown]) > 0


def test_the_fit_measures_this_machine(model):
    fitted = fit_latency_model(("lenet5@modern", "resnet20_cifar"), time_s=0.1)
    assert fitted.fit_networks == ("lenet5@modern", "resnet20_cifar")
    assert len(fitted.operators[0]) == 12
    with torch.device("meta"):
        assert fitted.predict_network(create_model("lenet5"), (1, 32, 32)) > 0
    assert fitted.machine == machine_of(torch.get_num_threads())
    assert all(each.p95_s >= each.p50_s > 0 for each in fitted.passes)


def test_a_model_is_kept_for_its_machine_and_read_as_it_was(tmp_path, model):
    store = LatencyModels(tmp_path)
    assert store.get(model.machine) is None
    store.put(model)
    kept = store.get(model.machine)
    operator = Operator("conv", 10**6, 3000, 1000, 9000, 16, 16, 64, 9, 1)
    assert kept is not None
    assert math.isclose(kept.predict([operator]), model.predict([operator]), rel_tol=1e-3)
    assert store.get(dict(model.machine) | {"threads": "2"}) is None
    assert [path.name for path in tmp_path.iterdir()] == ["latency-models.json"]


@pytest.mark.parametrize("damage", ["{", '{"schema": 1}', '{"schema": 2, "models": {}}', '{"schema": 1, "models": []}'])
def test_a_damaged_cache_counts_as_empty_and_is_replaced(tmp_path, model, damage):
    store = LatencyModels(tmp_path)
    store.path.write_text(damage)
    assert store.get(model.machine) is None
    store.put(model)
    assert store.get(model.machine) is not None
    assert json.loads(store.path.read_text())["schema"] == 1


def test_a_cache_that_cannot_be_written_says_so(tmp_path, model):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="CONVATLAS_CACHE"):
        LatencyModels(tmp_path / "file").put(model)


def test_a_network_of_the_users_own_can_be_predicted(model):
    with torch.device("meta"):
        own = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 2))
    assert model.predict_network(own, (3, 8, 8)) > 0
