"""The form that every claim keeps, and what happens to an experiment that is interrupted or changed."""

from __future__ import annotations

import json
import re

import pytest

from convatlas.errors import DataError, UnknownNameError
from convatlas.experiments import experiment_names, get_experiment, run_experiment
from convatlas.experiments.form import SCALES, Experiment
from convatlas.experiments.run import ExperimentListener


@pytest.mark.parametrize("name", experiment_names())
def test_every_claim_keeps_the_form(name):
    experiment = get_experiment(name)
    assert isinstance(experiment, Experiment)
    assert experiment.name == name
    texts = [experiment.claim, experiment.constant, experiment.criterion, experiment.contradiction, experiment.limits]
    texts += [printed.figure for printed in experiment.printed] + [metric.name for metric in experiment.metrics]
    for text in texts:
        assert text.en.strip()
        assert re.search("[가-힣]", text.ko), text.ko
    assert re.search(r"\d{4}", experiment.source), "the source names a year"
    assert experiment.contrasts
    for contrast in experiment.contrasts:
        assert contrast.smallest != 0
        assert {contrast.higher, contrast.lower} <= {arm.name for arm in experiment.arms}
        experiment.metric(contrast.metric)
    assert set(experiment.scales) <= set(SCALES)
    quick, standard = experiment.scales["quick"], experiment.scales["standard"]
    assert quick.minutes <= 3
    assert quick.data in ("digits", "none"), "the quick scale runs on embedded or generated images"
    assert standard.minutes <= 90
    assert len(standard.seeds) >= 5 or re.search("seed", experiment.limits.en), "fewer seeds are explained"


class Killed(BaseException):
    """Stands for the end of the process."""


class AfterJobs(ExperimentListener):
    def __init__(self, jobs: int) -> None:
        self.left = jobs

    def on_job(self, job, outcome) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


def without_seconds(folder) -> dict:
    record = json.loads((folder / "experiment.json").read_text())
    del record["seconds"]
    return record


@pytest.mark.slow
def test_a_killed_experiment_repeats_only_what_was_in_progress(tmp_path):
    whole = run_experiment("relu-against-tanh", seeds=2, out=tmp_path / "whole")
    with pytest.raises(Killed):
        run_experiment("relu-against-tanh", seeds=2, out=tmp_path / "killed", listener=AfterJobs(2))
    ran = []

    class Counting(ExperimentListener):
        def on_job(self, job, outcome) -> None:
            ran.append(job)

    again = run_experiment("relu-against-tanh", seeds=2, out=tmp_path / "killed", listener=Counting())
    assert len(ran) == 2
    assert without_seconds(again.folder) == without_seconds(whole.folder)


@pytest.mark.slow
def test_the_numbers_do_not_depend_on_how_many_jobs_run_side_by_side(tmp_path):
    one = run_experiment("relu-against-tanh", seeds=1, out=tmp_path / "one")
    two = run_experiment("relu-against-tanh", seeds=1, jobs=2, out=tmp_path / "two")
    assert without_seconds(one.folder) == without_seconds(two.folder)


def test_results_of_another_design_are_not_mixed_in(tmp_path):
    folder = tmp_path / "relu-against-tanh-quick"
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps({"schema": 1, "experiment": "relu-against-tanh", "form": "other"}))
    with pytest.raises(DataError, match="results of another design"):
        run_experiment("relu-against-tanh", out=tmp_path)


def test_unknown_names_and_missing_data_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="relu-against-tanh"):
        run_experiment("relu-vs-tanh", out=tmp_path)
    with pytest.raises(DataError, match="needs cifar-10 at this scale"):
        run_experiment("relu-against-tanh", "standard", data=tmp_path, out=tmp_path)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page_of_the_claims_is_current(language):
    from pathlib import Path

    from convatlas.experiments.page import page
    from convatlas.i18n import set_language

    root = Path(__file__).parents[2]
    set_language(language)
    try:
        text = page(root / "results" / "experiments")
    finally:
        set_language(None)
    assert text == (root / "docs" / language / "experiments.md").read_text("utf-8"), "run make catalogue"
