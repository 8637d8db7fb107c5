"""Settings of objectives that are no numbers of their range, a NaN among them: each comparison with it is false."""

from __future__ import annotations

import pytest
import torch

from ebm_course.objectives.contrastive import contrastive
from ebm_course.objectives.logistic import logistic
from ebm_course.objectives.margin import hinge
from ebm_course.objectives.nce import nce

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
