"""Two and four processes make the updates of one: real processes, talking over gloo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import at_work
import pytest
import torch
from safetensors.torch import load_file

from convatlas.errors import RecipeError
from convatlas.training.distributed import SINGLE_PROCESS, TorchProcessGroup, launched, refuse_contradictions

EQUAL = ("plain", "in_parts", "synced", "frozen", "unfreezing", "unused")  # tasks that one process does to the same end


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def at_once(ranks: int, tasks: str, folder: Path) -> dict[str, list[dict[str, torch.Tensor]]]:
    """Run ``tasks`` of at_work.py on so many ranks; what each rank returned, by task."""
    folder.mkdir(exist_ok=True)
    port, processes = free_port(), []
    for rank in range(ranks):
        mine = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": port}
        environment = os.environ | {name: str(value) for name, value in mine.items()}
        environment |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
        command = [sys.executable, at_work.__file__, tasks, str(folder)]
        processes.append(subprocess.Popen(command, env=environment))
    assert [process.wait(timeout=240) for process in processes] == [0] * ranks
    return {
        task: [load_file(folder / f"{task}-{rank}.safetensors") for rank in range(ranks)] for task in tasks.split(",")
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return at_once(2, ",".join((*EQUAL, "statistics", "talk")), tmp_path_factory.mktemp("two"))


def assert_one_process_did_the_same(task: str, results: list[dict[str, torch.Tensor]]) -> None:
    alone = at_work.TASKS[task](SINGLE_PROCESS)
    for found in results:  # every rank holds the same
        assert found.keys() == alone.keys()
        for name, expected in alone.items():
            torch.testing.assert_close(found[name], expected, atol=1e-6, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    for found in results[1:]:
        assert all(torch.equal(found[name], results[0][name]) for name in alone), "the ranks have drifted apart"


@pytest.mark.parametrize("task", EQUAL)
def test_the_gradients_of_two_ranks_are_those_of_one_process_with_the_whole_batch(two, task):
    assert_one_process_did_the_same(task, two[task])
    epochs = len(two[task][0]["gradients"]) // 4
    assert int(two[task][0]["seen"][2]) == 57 * epochs  # each image counted once, the uneven last batch included


def test_what_is_frozen_has_no_gradient_and_keeps_its_bits_on_every_rank(two):
    start = {f"net.{name}": tensor for name, tensor in at_work.network(norm=True).state_dict().items()}
    for found in two["frozen"]:
        assert found["without"].tolist() == [6] * 12  # a weight, and a norm's scale and shift, of two stages
        assert not found["gradients"][:, :-132].any()  # the head's 8 x 2 x 2 x 4 + 4 are the last
        assert all(torch.equal(found[name], tensor) for name, tensor in start.items() if not name.startswith("net.8"))


def test_stages_unfreeze_on_all_ranks_at_once(two):
    for found in two["unfreezing"]:
        assert found["without"].tolist() == [6] * 4 + [3] * 4 + [0] * 4


def test_a_parameter_that_no_rank_used_is_not_moved(two):
    """As in one process: no gradient, so not even its momentum is applied."""
    for found in two["unused"]:
        assert found["without"].tolist() == [0, 2, 0, 2]


def test_running_statistics_are_the_mean_over_the_ranks(two):
    """Rank r sees r - 1 and r + 1, four of each: mean r, unbiased variance 8/7."""
    for found in two["statistics"]:
        assert float(found["mean"]) == pytest.approx(0.5)
        assert float(found["variance"]) == pytest.approx(8 / 7)


def test_maximum_sum_text_errors_and_order_over_ranks(two):
    for found in two["talk"]:
        assert found["agreed"].tolist() == [1, 0, 5]
        assert found["added"].tolist() == [0.1 + 0.2, 2.0]
    assert float(two["talk"][1]["waited"]) > 0.25  # rank 0 of a machine goes first


@pytest.mark.slow
def test_four_ranks_a_batch_of_three_images_among_them(tmp_path):
    """All four compute the three images and rank 0 counts them: synced batch norm counts them once too."""
    results = at_once(4, ",".join((*EQUAL, "talk")), tmp_path)
    for task in EQUAL:
        assert_one_process_did_the_same(task, results[task])


@pytest.mark.slow
def test_a_rank_that_stays_away_is_waited_for_as_long_as_the_recipe_says(tmp_path):
    (present, _) = at_once(2, "hang", tmp_path)["hang"]
    assert 1.5 < float(present["gave_up_after"]) < 6


def test_the_group_of_one_process_changes_nothing():
    net = torch.nn.Linear(1, 1)
    assert SINGLE_PROCESS.distributed_module(net) is net
    assert SINGLE_PROCESS.with_synced_batchnorm(net) is net
    assert SINGLE_PROCESS.max_over_ranks(3, 0) == (3, 0)


def test_a_launch_needs_all_of_torchruns_variables():
    whole = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    assert launched(whole)
    assert not launched(whole | {"WORLD_SIZE": "1"})
    assert not launched({"RANK": "0", "WORLD_SIZE": "2"})


def test_a_batch_that_cannot_be_shared_is_refused_with_the_way_out():
    process_group = object.__new__(TorchProcessGroup)
    process_group.size = 4
    refuse_contradictions(4, 1, process_group)
    with pytest.raises(RecipeError, match="--batch-size 4 or more"):
        refuse_contradictions(3, 1, process_group)
    with pytest.raises(RecipeError, match=r"in 2 parts.*--batch-size 8"):
        refuse_contradictions(7, 2, process_group)
