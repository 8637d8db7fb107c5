"""Settings of objectives that are no numbers of their range, a NaN among them: each comparison with it is false."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ebm_course.metrics.mmd import maximum_mean_discrepancy
from ebm_course.objectives.compound import compound
from ebm_course.objectives.contrastive import contrastive
from ebm_course.objectives.info_nce import Normaliser, frozen_nce, info_nce
from ebm_course.objectives.logistic import logistic
from ebm_course.objectives.margin import hinge, margin_rescaled, perceptron
from ebm_course.objectives.nce import nce, ranking_nce, residual_nce
from ebm_course.objectives.score_matching import denoising_score_matching, implicit_score_matching

E = torch.zeros(2)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -1.0])
def test_a_setting_out_of_its_range_is_refused(bad: float) -> None:
    for weighs in (contrastive, logistic):
        with pytest.raises(ValueError, match="expected 0 or larger, got"):
            weighs(E, E, l2=bad)
    with pytest.raises(ValueError, match="larger than 0, got"):
        logistic(E, E, ratio=bad)
    with pytest.raises(ValueError, match="expected 0 or larger, got"):
        hinge(E, E, margin=bad)
    with pytest.raises(ValueError, match="larger than 0, got"):
        nce(E, E, log_q_data=E, log_q_noise=E, n_noise=bad)


SETTINGS: dict[str, Callable[[Any], object]] = {
    "l2": lambda x: residual_nce(E, E, l2=x),
    "ratio": lambda x: logistic(E, E, ratio=x),
    "margin": lambda x: hinge(E, E, margin=x),
    "n_noise": lambda x: nce(E, E, log_q_data=E, log_q_noise=E, n_noise=x),
    "weight": lambda x: compound(E, e_test=E, weight=x),
    "noise_std": lambda x: denoising_score_matching(E[:, None], E[:, None], noise_std=x),
    "temperature": lambda x: info_nce(E, E[:, None], temperature=x),
    "bandwidth": lambda x: maximum_mean_discrepancy(E[:, None], E[:, None], bandwidth=x),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("value", ["a", True, torch.tensor(True), torch.ones(2)], ids=repr)
def test_a_setting_that_is_no_number_is_refused_by_its_name(name: str, value: Any) -> None:
    SETTINGS[name](np.float32(0.5))
    with pytest.raises(ValueError, match=rf"^{name} is a number: expected a real one, got "):
        SETTINGS[name](value)


def test_a_weight_that_is_learned_keeps_its_gradient() -> None:
    for name in ("l2", "ratio", "temperature"):
        weight = torch.tensor(0.5, requires_grad=True)
        e = torch.tensor([1.0, 2.0])
        calls = {
            "l2": lambda w, e=e: contrastive(e, e, l2=w),
            "ratio": lambda w, e=e: logistic(e, e, ratio=w),
            "temperature": lambda w, e=e: info_nce(e, e[:, None] + 1, temperature=w),
        }
        calls[name](weight).value.backward()
        assert weight.grad is not None and weight.grad != 0


ROWS: dict[str, Callable[[Any], object]] = {
    "e_data": lambda x: contrastive(x, E),
    "e_negative": lambda x: logistic(E, x),
    "log_q_data": lambda x: nce(E, E, log_q_data=x, log_q_noise=E),
    "e_noise": lambda x: ranking_nce(E, x, log_q_data=E, log_q_noise=E[:, None]),
    "e_offending": lambda x: hinge(E, x, margin=1.0),
    "e_lowest|e_offending": lambda x: perceptron(E, x),
    "e_other": lambda x: margin_rescaled(E, x, cost=E),
    "cost": lambda x: margin_rescaled(E, E, cost=x),
    "cost|e_augmented": lambda x: compound(E, e_augmented=E, cost=x),
    "positive": lambda x: info_nce(x, E[:, None]),
    "negatives": lambda x: frozen_nce(E, x, normaliser=Normaliser(torch.device("cpu")), n_rows=2),
    "gradient": lambda x: implicit_score_matching(x, E),
    "laplacian": lambda x: implicit_score_matching(E[:, None], x),
    "noise": lambda x: denoising_score_matching(E[:, None], x, noise_std=1.0),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("rows", [[0.0, 0.0], np.zeros(2)], ids=["list", "array"])
def test_lists_and_arrays_are_refused_with_the_way_to_a_tensor(name: str, rows: Any) -> None:
    with pytest.raises(TypeError, match=rf"({name}) is a tensor: got a (list|ndarray)\. Pass torch\.as_tensor"):
        ROWS[name](rows)


def test_a_cost_that_is_negative_or_no_number_is_refused() -> None:
    margin_rescaled(E, E, cost=E)
    for bad, got in ((-1.0, "1 negative and 0 NaN"), (torch.nan, "0 negative and 1 NaN")):
        with pytest.raises(ValueError, match=rf"a cost says how wrong .* got {got} of 2\. Give the right answer 0"):
            margin_rescaled(E, E, cost=torch.tensor([bad, 1.0]))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_masked_similarity_that_is_not_finite_is_seen_in_the_loss(bad: float) -> None:
    negatives, mask = torch.tensor([[bad, 0.0], [0.0, 0.0]]), torch.tensor([[False, True], [True, True]])
    assert not info_nce(E, negatives, mask=mask).value.isfinite()
