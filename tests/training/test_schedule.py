"""Schedules are functions of the progress of a run: worked by hand."""

from __future__ import annotations

import math

import pytest

from convatlas.errors import RecipeError
from convatlas.training import schedule
from convatlas.training.schedule import Progress


def at(step: int, total: int = 100, per_epoch: int = 10, scores=()) -> Progress:
    return Progress(step, per_epoch, total, scores)


def test_one_cycle_rises_then_falls_to_zero():
    rule = schedule.one_cycle(rise=0.25, start=0.1)
    assert rule(at(0)) == pytest.approx(0.1)
    assert rule(at(25)) == pytest.approx(1.0)
    assert rule(at(100)) == pytest.approx(0.0)


def test_the_cifar_recipe_divides_by_ten_at_32k_and_48k_of_64k():
    rule = schedule.multistep([0.5, 0.75])
    steps = (0, 31_999, 32_000, 47_999, 48_000, 63_999)
    factors = [rule(Progress(step, 391, 64_000)) for step in steps]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_lenet5_has_a_number_for_each_pass():
    rule = schedule.per_pass([5, 5, 2])
    assert [rule(at(10 * epoch)) for epoch in range(5)] == [5, 5, 2, 2, 2]


def test_googlenet_loses_four_percent_every_eight_epochs():
    rule = schedule.exponential(0.96, 8)
    assert [rule(at(10 * epoch)) for epoch in (0, 7, 8, 16)] == pytest.approx([1, 1, 0.96, 0.96**2])


def test_half_a_cosine_after_the_warm_up():
    rule = schedule.cosine(warmup=0.1)
    assert rule(at(9)) == pytest.approx(1.0)
    assert rule(at(55)) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))


@pytest.mark.parametrize("updates", [1, 3, 10, 1000])
def test_no_warm_up_goes_above_the_learning_rate_however_short_the_run(updates):
    rule = schedule.cosine(warmup=0.025)
    assert all(0 <= rule(Progress(step, 1, updates)) <= 1 for step in range(updates))


def test_the_plateau_rule_divides_after_five_epochs_without_a_gain_three_times_at_most():
    rule = schedule.plateau(patience=5, times=3)
    rising = [0.1, 0.2, 0.3]
    assert rule(at(0, scores=rising)) == 1
    assert rule(at(0, scores=[*rising, *[0.3] * 4])) == 1
    assert rule(at(0, scores=[*rising, *[0.3] * 5])) == pytest.approx(0.1)
    assert rule(at(0, scores=[*rising, *[0.3] * 100])) == pytest.approx(0.001)


def test_the_110_layer_net_is_warmed_up():
    rule = schedule.warmed_up(schedule.constant(), epochs=1, factor=0.1)
    assert (rule(at(9)), rule(at(10))) == (0.1, 1.0)


def test_a_setting_that_a_schedule_does_not_have_is_named():
    with pytest.raises(RecipeError, match="'one-cycle' does not take"):
        schedule.by_name("one-cycle", peak=3)
