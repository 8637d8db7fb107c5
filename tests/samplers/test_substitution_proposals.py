"""What proposals of the attack refuse; what they propose is tested with the attack."""

from __future__ import annotations

import functools

import pytest
import torch

from ebm_course.energies.potts import Potts
from ebm_course.samplers.substitution import substitution
from ebm_course.samplers.substitution_proposals import by_gain, by_short_list


@pytest.mark.parametrize("propose", [by_short_list, by_gain])
def test_no_candidates_are_refused(propose) -> None:
    energy = Potts.random(3, 4, generator=torch.Generator().manual_seed(0))
    none = functools.partial(propose, n_candidates=0)
    with pytest.raises(ValueError, match="n_candidates is a whole number: expected 1 or larger, got 0"):
        substitution(energy, torch.zeros(2, 3, dtype=torch.int64), n_steps=1, synonyms=None, propose=none)
