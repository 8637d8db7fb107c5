"""What a reader has set in torch does not reach what is computed inside, and is as it was afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch

from ebm_course.ambient import recording_gradients, usual_settings


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


OFF = [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)]
OTHERS = [
    lambda: torch.device("meta"),
    lambda: torch.autocast("cpu", torch.bfloat16),
    lambda: default_type(torch.bfloat16),
    lambda: default_type(torch.float16),
]


def settings() -> tuple[object, ...]:
    """What torch does now."""
    made = torch.ones(2, 2)
    kinds = made.device.type, made.dtype, made.is_inference(), torch.is_grad_enabled()
    return *kinds, torch.is_autocast_enabled("cpu"), (made @ made).dtype


@pytest.mark.parametrize("setting", OFF + OTHERS)
def test_settings_of_the_reader_are_out_of_force_inside_and_back_after(
    setting: Callable[[], AbstractContextManager[None]],
) -> None:
    usual = settings()
    with setting():
        before = settings()
        assert before != usual
        with usual_settings():
            assert settings() == usual
        assert settings() == before
        with pytest.raises(KeyError), usual_settings():
            raise KeyError
        assert settings() == before
    assert settings() == usual


def test_double_precision_stays_where_it_was_chosen() -> None:
    with default_type(torch.float64), usual_settings():
        assert torch.ones(1).dtype == torch.float64


@pytest.mark.parametrize("rounds", [True, False])
def test_a_gpu_s_convolutions_are_not_rounded_to_tf32_inside_and_what_was_chosen_is_back_after(
    monkeypatch: pytest.MonkeyPatch, rounds: bool
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", rounds)
    with usual_settings():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == rounds


@pytest.mark.parametrize("setting", OFF)
def test_gradients_are_recorded_inside_and_nothing_else_is_changed(
    setting: Callable[[], AbstractContextManager[None]],
) -> None:
    with setting(), torch.device("meta"):
        with recording_gradients():
            assert torch.ones(2, requires_grad=True).sum().requires_grad and torch.ones(1).is_meta
        assert not torch.is_grad_enabled()


def test_tensors_of_inference_mode_are_refused_in_words_and_other_faults_are_left() -> None:
    with torch.inference_mode():
        weight = torch.ones(2)
    x = torch.ones(2, requires_grad=True)
    refused = pytest.raises(ValueError, match=r"was made inside torch\.inference_mode\(\).*outside of it")
    with refused, recording_gradients():
        (weight * x).sum().backward()
    with pytest.raises(RuntimeError, match="another"), recording_gradients():
        raise RuntimeError("another")
