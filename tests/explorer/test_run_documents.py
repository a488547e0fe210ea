"""The documents of runs: what the page says of a training and of a comparison is what the library says."""

import asyncio
import json
import shutil

import numpy as np
import pytest

from convatlas.comparison import Budget, compare, recommend
from convatlas.evaluation import metrics
from convatlas.explorer import run_events
from convatlas.explorer.history import history_document
from convatlas.models.registry import entry, list_models
from convatlas.runs.evaluate import evaluate
from convatlas.runs.run import Run


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of two small networks on the embedded digits."""
    out = tmp_path_factory.mktemp("runs")
    return compare(["mlp", "lenet5"], data="digits", out=out, epochs=2)


@pytest.fixture(scope="module")
def page(page_of, compared):
    return page_of(out=compared.folder.parent)


@pytest.fixture(scope="module")
def name(compared):
    """The name of the first network's run in the page."""
    return compared.rows[0].runs[0].relative_to(compared.folder.parent).as_posix()


def test_list_of_runs_is_that_of_the_command_line(page, compared, name):
    document = page.get("runs")
    assert {run["id"] for run in document["runs"]} == {
        run.relative_to(compared.folder.parent).as_posix() for row in compared.rows for run in row.runs
    }
    run = next(run for run in document["runs"] if run["id"] == name)
    assert run["test_top1"] == compared.rows[0].test_top1
    assert [each["id"] for each in document["comparisons"]] == [compared.folder.name]
    assert str(compared.folder.parent) not in json.dumps(document)


def test_one_run(page, compared, name):
    document = page.get("run", id=name)
    lines = Run(compared.rows[0].runs[0]).epochs()
    assert [each["epoch"] for each in document["epochs"]] == [1, 2]
    assert [each["val_loss"] for each in document["epochs"]] == [line["val_loss"] for line in lines]
    assert document["result"]["test_top1"] == compared.rows[0].test_top1
    assert document["recipe"]["epochs"] == 2
    assert str(compared.folder.parent) not in json.dumps(document)


def test_evaluation_is_that_of_the_library(page, compared, name):
    document = page.get("evaluation", id=name)
    found = evaluate(compared.rows[0].runs[0])
    assert document["confusion"] == found.confusion.tolist()
    assert document["calibration_error"] == found.calibration_error
    assert document["top1"] == compared.rows[0].test_top1
    assert sum(each["n"] for each in document["reliability"]) == found.n
    empty = [each for each in document["reliability"] if each["n"] == 0]
    assert all(each["accuracy"] is None for each in empty)


def test_a_cell_has_its_images_and_no_others(page, compared, name):
    found = evaluate(compared.rows[0].runs[0])
    off = found.confusion.copy()
    np.fill_diagonal(off, 0)
    actual, predicted = map(int, np.unravel_index(off.argmax(), off.shape))
    document = page.get("mistakes", id=name, actual=actual, predicted=predicted)
    assert document["total"] == len(document["images"]) == off.max() > 0
    assert {(each["actual"], each["predicted"]) for each in document["images"]} == {(actual, predicted)}
    probabilities = [each["probability"] for each in document["images"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(each["thumbnail"].startswith("data:image/") for each in document["images"])


def test_surest_mistakes_are_those_of_the_evaluation(page, compared, name):
    found = evaluate(compared.rows[0].runs[0])
    images = page.get("mistakes", id=name, surest=5)["images"]
    expected = found.surest_mistakes(5)
    assert [(each["actual"], each["predicted"]) for each in images] == [each[1:3] for each in expected]
    assert [each["probability"] for each in images] == pytest.approx([each[3] for each in expected])
    names = [found.names[place] for place, *_ in expected]
    assert [each["file"] for each in images] == names


@pytest.mark.parametrize(
    ("document", "parameters", "status", "part"),
    [
        ("run", {"id": "../secret"}, 404, "unknown run"),
        ("run", {}, 400, "lacks the parameter id"),
        ("comparison", {"id": "../.."}, 404, "unknown comparison"),
        ("mistakes", {"actual": 99, "predicted": 0}, 400, "there is no class 99"),
        ("mistakes", {"actual": 1}, 400, "belong together"),
        ("mistakes", {"surest": 10**6}, 400, "whole number from 1 to 60"),
    ],
)
def test_bad_requests_are_refused(page, name, document, parameters, status, part):
    refused, text = page.refused(document, **({"id": name} if document == "mistakes" else {}), **parameters)
    assert refused == status
    assert part in text


# ------------------------------------------------------------------ a training that goes on


def parsed(events: list[bytes]) -> list[tuple[str, int, dict]]:
    found = []
    for event in events:
        number, kind, data = event.decode().strip().split("\n")
        found.append((kind.removeprefix("event: "), int(number.removeprefix("id: ")), json.loads(data[6:])))
    return found


def test_events_continue_after_the_last_one_that_was_received(page, name):
    with page.client.stream("GET", "api/run/events", params={"id": name}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        whole = parsed([f"{part}\n\n".encode() for part in answer.read().decode().strip().split("\n\n")])
    assert [(kind, number) for kind, number, _ in whole] == [("epoch", 1), ("epoch", 2), ("done", 2)]
    again = page.client.get("api/run/events", params={"id": name}, headers={"Last-Event-ID": "1"})
    assert again.text.startswith("id: 2\nevent: epoch")


def test_events_follow_a_journal_that_grows_and_is_cut_back(compared, tmp_path):
    """A training writes two epochs, is resumed from the first, and ends."""
    run = Run(shutil.copytree(compared.rows[0].runs[0], tmp_path / "run"))
    journal = run.path / "metrics.jsonl"
    first, second, done = journal.read_text().splitlines(keepends=True)
    journal.write_text(first + second)

    async def follow() -> list[bytes]:
        received = []
        async for event in run_events.events(run, 0, poll_s=0.01):
            received.append(event)
            if len(received) == 2:
                journal.write_text(first)
            elif len(received) == 3:
                journal.write_text(first + second + done)
        return received

    events = parsed(asyncio.run(follow()))
    assert [kind for kind, _, _ in events] == ["epoch", "epoch", "restart", "epoch", "done"]
    assert [number for _, number, _ in events] == [1, 2, 1, 2, 2]
    assert events[1][2]["val_loss"] == json.loads(second)["val_loss"]


# ------------------------------------------------------------------ comparisons


def test_comparison_has_the_costs_that_a_budget_limits(page, compared):
    document = page.get("comparison", id=compared.folder.name)
    for shown, row in zip(document["rows"], compared.rows, strict=True):
        assert shown["costs"] == pytest.approx(row.costs())
        assert shown["ci95"] == list(row.accuracy.ci95)
        assert shown["runs"] == [f"{compared.folder.name}/{row.runs[0].name}"]
    assert str(compared.folder.parent) not in json.dumps(document)


@pytest.mark.parametrize("budget", ["", "size<=300kB", "params<=100", "macs<=1M, size<=10MB"])
def test_recommendation_is_that_of_the_library(page, compared, budget):
    body = {"id": compared.folder.name, "budget": budget, "cost": "size"}
    document = page.client.post("api/recommend", json=body).json()
    hits = {row.model: np.stack([evaluate(run).hits for run in row.runs]) for row in compared.rows}
    expected = recommend(compared.rows, hits, Budget.parse(budget))
    assert document["recommendation"] == {"model": expected.model, "why": expected.why, "ties": list(expected.ties)}
    fits = [not Budget.parse(budget).broken_by(row.costs()) for row in compared.rows]
    assert [row["fits"] for row in document["rows"]] == fits
    assert len(document["limits"]) == len(Budget.parse(budget).limits)


def test_a_budget_that_cannot_be_read_says_how_to_write_one(page, compared):
    answer = page.client.post("api/recommend", json={"id": compared.folder.name, "budget": "latency<=20"})
    assert answer.status_code == 400
    assert "latency<=20ms" in answer.json()["error"]


@pytest.mark.parametrize("body", [[], {"id": 3}, {"id": "x"}, {"id": "../.."}, {"cost": "money"}])
def test_a_bad_budget_request_is_refused(page, body):
    assert 400 <= page.client.post("api/recommend", json=body).status_code < 500


# ------------------------------------------------------------------ history


def test_history_has_every_network_with_the_errors_of_its_card(page):
    document = page.get("history")
    assert document == history_document()
    assert [point["name"] for point in document["points"]] == list_models()
    data_sets = {kind.partition(":")[2] for point in document["points"] for kind in point["errors"]}
    known = {"MNIST", "CIFAR-10", "CIFAR-100", "SVHN", "ILSVRC-2010", "ILSVRC-2012", "ILSVRC-2014", "ILSVRC-2015"}
    assert data_sets <= known
    vgg16 = next(point for point in document["points"] if point["name"] == "vgg16")
    assert vgg16["params"] == entry("vgg16").params == 138_357_544
    error = vgg16["errors"]["top5_error:ILSVRC-2012"]
    assert error["percent"] == float(error["printed"])
    assert error["protocol"].startswith("ILSVRC-2012 val")


def test_reliability_bins_are_those_of_guo_et_al(page, compared, name):
    found = evaluate(compared.rows[0].runs[0])
    shown = page.get("evaluation", id=name)["reliability"]
    assert [each["n"] for each in shown] == [row.n for row in metrics.reliability(found.logits, found.labels)]
