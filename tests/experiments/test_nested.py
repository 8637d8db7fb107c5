"""Trainings inside runs: the split of the variance is right on average, and runs are what counts for a verdict."""

from __future__ import annotations

import random
import statistics

import pytest

from ebm_course.experiments.claims import judge
from ebm_course.experiments.nested import means, spread
from ebm_course.results.findings import Claim

CLAIM = Claim("adds", "It adds.", "difference", "higher", 0.01)


def simulated(sizes: list[int], between: float, within: float, stream: random.Random) -> list[list[float]]:
    """A mean of 0, normal runs and normal trainings of each."""
    runs = []
    for n in sizes:
        a = stream.gauss(0.0, between)
        runs.append([a + stream.gauss(0.0, within) for _ in range(n)])
    return runs


def test_the_split_of_four_values_by_hand() -> None:
    found = spread([[0.0, 2.0], [10.0, 12.0]])
    assert found is not None
    assert found.within**2 == pytest.approx(2.0) and found.between**2 == pytest.approx((100 - 2) / 2)


def test_the_split_with_unequal_numbers_of_trainings_by_hand() -> None:
    found = spread([[0.0, 2.0, 4.0], [10.0]])  # the mean is that of all four, 4, and not of the two means
    assert found is not None
    assert found.within**2 == pytest.approx(8 / 2)
    assert found.between**2 == pytest.approx((3 * 2**2 + 6**2 - 4) / (4 - 10 / 4))


def test_equal_runs_have_no_spread_between_them_and_never_a_negative_one() -> None:
    found = spread([[0.0, 2.0], [2.0, 0.0], [1.0, 1.0]])
    assert found is not None and found.between == 0.0 and found.within > 0


@pytest.mark.parametrize("values", [[[1.0], [2.0]], [[1.0, 2.0]]])
def test_one_level_alone_is_not_split(values: list[list[float]]) -> None:
    assert spread(values) is None


@pytest.mark.parametrize("sizes", [[2] * 8, [3, 3, 1, 1, 1, 1, 1, 1]])
def test_both_variances_are_right_on_average_with_equal_and_unequal_numbers_of_trainings(sizes: list[int]) -> None:
    stream, found = random.Random(0), []
    for _ in range(3_000):
        one = spread(simulated(sizes, 2.0, 0.7, stream))
        assert one is not None
        found.append((one.within**2, one.between**2))
    for values, truth in zip(zip(*found, strict=True), (0.49, 4.0), strict=True):
        error = statistics.stdev(values) / len(values) ** 0.5
        assert abs(statistics.fmean(values) - truth) < 5 * error  # 5 standard errors


def test_with_runs_as_the_unit_verdicts_keep_their_level_and_with_trainings_they_do_not() -> None:
    stream, n = random.Random(1), 2_000
    false = {"runs": 0, "trainings": 0}
    for _ in range(n):
        values = simulated([4, 4, 4], 1.0, 0.3, stream)
        every = [y for run in values for y in run]
        for unit, given in (("runs", means(values)), ("trainings", every)):
            false[unit] += judge({CLAIM: given})[0].verdict in ("holds", "reverses")
    assert false["runs"] / n < 0.05 + 5 * (0.05 * 0.95 / n) ** 0.5
    assert false["trainings"] / n > 0.3  # what the unit is for
