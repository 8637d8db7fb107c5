"""What is refused before it does harm, and in which words."""

from __future__ import annotations

import pytest
import torch

from ebm_course.checks import box, check_bounds, check_count, check_finite, check_generator, check_tokens


@pytest.mark.parametrize("given", [None, 0, "chains", [torch.Generator(), 0], torch.zeros(1)])
def test_what_is_no_generator_is_refused_before_the_global_stream_is_used(given: object) -> None:
    with pytest.raises(TypeError, match=r"this sampler draws: expected a torch\.Generator, got .* Pass generator=run"):
        check_generator(given, torch.zeros(1))  # type: ignore[arg-type]


def test_several_generators_are_for_the_samplers_that_take_them() -> None:
    several = [torch.Generator(), torch.Generator()]
    check_generator(several, torch.zeros(2), several=True)
    with pytest.raises(TypeError, match=r"this sampler draws: expected a torch\.Generator, got \["):
        check_generator(several, torch.zeros(2))
    with pytest.raises(ValueError, match="got 2 for 3 rows"):
        check_generator(several, torch.zeros(3), several=True)


def test_a_generator_on_another_device_is_refused() -> None:
    generator = torch.Generator()
    check_generator(generator, torch.zeros(1))
    with pytest.raises(ValueError, match=r"lives on cpu, the states on meta.*torch\.Generator\(device='meta'\)"):
        check_generator(generator, torch.zeros(1, device="meta"))


def test_tokens_out_of_the_vocabulary_are_refused() -> None:
    check_tokens(torch.tensor([[0, 4]]), 5)
    check_tokens(torch.empty(0, 3, dtype=torch.int64), 5)
    for bad in ([[0, 5]], [[-1, 4]]):
        with pytest.raises(ValueError, match=r"expected 0 to 4, got .*encode"):
            check_tokens(torch.tensor(bad), 5)
    with pytest.raises(TypeError, match=r"torch\.int32: use x\.long"):
        check_tokens(torch.zeros(1, 2, dtype=torch.int32), 5)


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3), (), (3, 0), (0, 0)])
def test_tokens_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"tokens have shape \(N, L\), L > 0, got \("):
        check_tokens(torch.zeros(shape, dtype=torch.int64), 5)


def test_a_value_that_is_not_finite_is_refused_by_name_and_count() -> None:
    check_finite("energy", torch.zeros(3), "")
    with pytest.raises(FloatingPointError, match=r"energy is not finite in 2 of 3 entries\. Take smaller steps\."):
        check_finite("energy", torch.tensor([0.0, torch.nan, -torch.inf]), "Take smaller steps.")


@pytest.mark.parametrize("value", [-1, 0, 1.0, torch.nan, None, "2", True])
def test_a_number_of_things_is_whole_and_large_enough(value: object) -> None:
    check_count("n", 1, least=1)
    with pytest.raises(ValueError, match=rf"n is a whole number: expected 1 or larger, got {value!r}\. Pass n=1\."):
        check_count("n", value, least=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bounds", [(1.0, -1.0), (0.5, 0.5), (0.0, float("nan")), (0.0,), (None, 1.0), 3, ("a", "b"), (False, True)]
)
def test_bounds_hold_an_interval_or_are_none(bounds: tuple[float, ...]) -> None:
    check_bounds(None)
    check_bounds((-1.0, 1.0))
    with pytest.raises(ValueError, match=r"bounds are \(low, high\), low < high: got .* Pass \(-1\.0, 1\.0\)"):
        check_bounds(bounds)  # type: ignore[arg-type]


def test_the_faces_of_a_box_take_no_graph_to_the_states() -> None:
    low = torch.tensor(-0.5, requires_grad=True)
    check_bounds((low, 1))  # type: ignore[arg-type]
    assert not torch.zeros(1).clamp(*box((low, 1), torch.zeros(1))).requires_grad  # type: ignore[arg-type]
