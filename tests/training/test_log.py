"""The log: averages over intervals, one host copy each, nothing that is not finite."""

from __future__ import annotations

import pytest
import torch

from ebm_course.training.log import IntervalLog


def test_an_average_is_the_mean_since_the_last_one() -> None:
    log = IntervalLog()
    for update, value in enumerate([1.0, 2.0, 6.0], start=1):
        log.add(update, {"loss": torch.tensor(value), "count": torch.tensor(update)})
    assert log.average() == {"loss": 3.0, "count": 2.0}
    log.add(4, {"loss": torch.tensor(5.0)})
    assert log.average() == {"loss": 5.0}
    assert log.average() == {}


def test_reading_halfway_does_not_change_the_average() -> None:
    log = IntervalLog()
    log.add(1, {"loss": torch.tensor(1.0)})
    log.read()
    kept = IntervalLog(log.kept)  # as a resumed run starts
    for each in (log, kept):
        each.add(2, {"loss": torch.tensor(2.0)})
        assert each.average() == {"loss": 1.5}


def test_a_value_is_averaged_over_the_updates_that_log_it() -> None:
    log = IntervalLog()
    log.add(1, {"loss": torch.tensor(1.0)})
    log.add(2, {"loss": torch.tensor(3.0), "valid": torch.tensor(7)})
    assert log.average() == {"loss": 2.0, "valid": 7.0}


def test_a_value_changed_in_place_later_is_logged_as_it_was() -> None:
    log, running = IntervalLog(), torch.zeros(())
    for update in (1, 2, 3):
        running += 1
        log.add(update, {"running": running})
    assert log.average() == {"running": 2.0}


def test_values_are_not_read_before_the_average() -> None:
    log = IntervalLog()
    for update in range(3):
        log.add(update, {"loss": torch.zeros((), device="meta")})  # a meta tensor has no value to read
    with pytest.raises(NotImplementedError):
        log.average()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_value_that_is_not_finite_is_named_with_its_update(bad: float) -> None:
    log = IntervalLog()
    for update in range(11, 16):
        log.add(update, {"loss": torch.tensor(1.0), "e_data": torch.tensor(bad if update == 13 else 0.0)})
    with pytest.raises(FloatingPointError, match=r"e_data is -?(nan|inf) at step 13: .*step size.*L2 penalty"):
        log.average()


@pytest.mark.parametrize(
    "name, value", [("loss", torch.zeros(1)), ("loss", torch.zeros(2, 2)), ("step", torch.ones(()))]
)
def test_what_is_no_scalar_or_called_step_is_refused(name: str, value: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=rf"'{name}' has shape .* expected \(\)\. Log a mean"):
        IntervalLog().add(1, {name: value})
