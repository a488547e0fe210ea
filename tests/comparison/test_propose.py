"""``--candidates auto``: what is proposed fits the budget, is diverse and ordered, and every reason is given."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from tests.comparison.test_latency_model import lawful

from convatlas.comparison import ComparisonListener, Proposal, compare, propose_for, resume_comparison
from convatlas.comparison.budget import Budget
from convatlas.comparison.latency_model import LatencyModels, machine_of
from convatlas.comparison.propose import Considered, chosen, printed_error, proposed_count
from convatlas.data import open_data
from convatlas.errors import LimitError, UsageError
from convatlas.models import create_model, entry

BUDGET = "latency<=2ms,params<=300K"


@pytest.fixture(scope="module")
def model():
    return lawful("resnet20_cifar", "densenet40_k12_cifar", "lenet5@modern")


@pytest.fixture(scope="module")
def proposal(model):
    return propose_for("digits", "auto:3", budget=BUDGET, model=model)


def test_every_proposed_network_fits_the_budget_by_what_is_known_before_training(proposal):
    budget = Budget.parse(BUDGET)
    assert 1 <= len(proposal.networks) <= 3
    for each in proposal.networks:
        assert not budget.broken_by(each.costs())
        assert each.predicted_s > 0
        assert each.why


def test_the_order_is_that_of_the_printed_errors_and_no_family_has_more_than_two(proposal):
    errors = [each.printed_error for each in proposal.networks if each.printed_error is not None]
    assert errors == sorted(errors)
    assert max(Counter(each.family for each in proposal.networks).values()) <= 2


def test_of_a_network_and_its_variants_one_is_proposed(model):
    def fitting(name):
        return Considered(name, "squeezenet", 700_000, 350_000_000, 2_900_000, 0.01, 0.012, 42.5, "weights.pth", "")

    found = [fitting("squeezenet1_1"), fitting("squeezenet1_1@torchvision"), fitting("squeezenet1_0")]
    proposal = chosen(found, Budget.parse("latency<=20ms"), 4, model, weights=True)
    assert list(proposal.names) == ["squeezenet1_1", "squeezenet1_0"]
    (left_out,) = proposal.near_misses
    assert left_out.why == "fits, but its variant squeezenet1_1 is proposed already"


def test_counts_add_up_and_near_misses_have_reasons(proposal):
    assert proposal.considered >= proposal.over_budget + len(proposal.networks)
    assert all(each.why for each in proposal.near_misses)
    assert not set(proposal.names) & {each.model for each in proposal.near_misses}


def test_params_are_derived_for_the_classes_and_channels_of_the_data(proposal):
    for each in proposal.networks:
        net = create_model(each.model, num_classes=10, in_channels=1)
        assert each.params == sum(parameter.numel() for parameter in net.parameters())


def test_a_proposal_survives_json(proposal):
    read = Proposal.from_dict(json.loads(json.dumps(proposal.to_dict(), default=str)))
    assert read.names == proposal.names
    assert read.predicted_s(read.names[0]) == proposal.predicted_s(read.names[0])
    assert read.predicted_s("vgg16") is None


def test_where_nothing_fits_the_nearest_is_named(model):
    with pytest.raises(LimitError, match="nearest is"):
        propose_for("digits", budget="params<=10", model=model)


@pytest.mark.parametrize(("text", "count"), [("auto", 4), ("auto:1", 1), ("auto:12", 12)])
def test_the_number_of_candidates(text, count):
    assert proposed_count(text) == count


@pytest.mark.parametrize("text", ["all", "auto:", "auto:0", "auto:x", "auto:-1"])
def test_another_word_is_refused_with_the_way_to_write_it(text):
    with pytest.raises(UsageError, match="auto:N"):
        proposed_count(text)


def test_the_printed_error_is_that_of_the_published_weights_if_they_are_named():
    assert printed_error(entry("squeezenet1_1@torchvision"), "torchvision:IMAGENET1K_V1") == 41.822
    assert printed_error(entry("efficientnet_b0")) == 22.9
    assert printed_error(entry("mlp")) is None  # recalled figures order nothing


class Remembering(ComparisonListener):
    def __init__(self) -> None:
        self.proposals: list[Proposal] = []

    def proposed(self, proposal: Proposal) -> None:
        self.proposals.append(proposal)


@pytest.mark.slow
def test_a_comparison_of_proposed_networks_reports_the_prediction_beside_the_measurement(tmp_path, model, monkeypatch):
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path / "cache"))
    own = lawful(*model.fit_networks)
    LatencyModels().put(type(own)(machine_of(1), own.operators, own.passes, 0.0))
    listener = Remembering()
    found = compare(
        data=open_data("digits"), candidates="auto:2", budget="macs<=50M,params<=300K", epochs=1, threads=1,
        device="cpu", out=tmp_path, listener=listener,
    )  # fmt: skip
    (proposal,) = listener.proposals
    assert found.proposal == proposal
    assert [row.model for row in found.rows] == list(proposal.names)
    assert all(row.predicted_s == proposal.predicted_s(row.model) for row in found.rows)
    document = json.loads((found.folder / "comparison.json").read_text())
    assert document["rows"][0]["latency_ms"]["predicted"] > 0
    assert document["proposal"]["networks"][0]["model"] == proposal.names[0]
    page = found.report.read_text(encoding="utf-8")
    assert "predicted latency" in page

    again = resume_comparison(found.folder)
    assert again.proposal is not None
    assert again.proposal.names == proposal.names


def test_names_and_candidates_exclude_each_other():
    with pytest.raises(UsageError, match="not both"):
        compare(("mlp",), candidates="auto")
