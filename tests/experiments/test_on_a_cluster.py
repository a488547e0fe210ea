"""Experiments on a Dask cluster: two workers in processes of their own, and one that is killed."""

from __future__ import annotations

import json
import os
import signal

import pytest

from convatlas.experiments import run_experiment
from convatlas.experiments.run import ExperimentListener

distributed = pytest.importorskip("distributed", reason="needs Dask: pip install 'convatlas[dask]'")
pytestmark = pytest.mark.slow
NAME = "autoencoder-as-extractor"  # trains, and is the shortest that does


@pytest.fixture
def cluster():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


def without_seconds(folder) -> dict:
    record = json.loads((folder / "experiment.json").read_text())
    del record["seconds"]
    return record


def test_two_workers_give_the_numbers_of_one_process(cluster, tmp_path):
    here = run_experiment(NAME, seeds=2, out=tmp_path / "here")
    there = run_experiment(
        NAME, seeds=2, jobs=2, backend="dask", scheduler=cluster.scheduler_address, out=tmp_path / "there"
    )
    assert without_seconds(there.folder) == without_seconds(here.folder)


def test_the_jobs_of_a_lost_worker_are_repeated(cluster, tmp_path):
    """A worker is killed after the first job; the others' results are kept, and the record is the same."""
    here = run_experiment(NAME, seeds=2, out=tmp_path / "here")
    with distributed.Client(cluster) as client:
        processes = list(client.run(os.getpid).values())
    finished = []

    class Killing(ExperimentListener):
        def on_job(self, job, outcome) -> None:
            if not finished:
                os.kill(processes[0], signal.SIGKILL)
            finished.append(job)

    there = run_experiment(
        NAME, seeds=2, jobs=2, backend="dask", scheduler=cluster.scheduler_address, out=tmp_path / "there",
        listener=Killing(),
    )  # fmt: skip
    assert len(finished) == len(set(finished)) == 4
    assert without_seconds(there.folder) == without_seconds(here.folder)
