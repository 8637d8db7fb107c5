from __future__ import annotations

import pytest
import torch

from ebm_course.objectives.terms import check_energies, check_same_shape, energy_terms


def test_terms_are_detached_means():
    e = torch.tensor([1.0, 2.0], requires_grad=True)
    terms = energy_terms(e, 3 * e)
    assert [t.item() for t in terms.values()] == [1.5, 4.5, 3.0]
    assert not any(t.requires_grad for t in terms.values())


def test_errors_name_the_argument_and_the_remedy():
    with pytest.raises(ValueError, match=r"e_gold .* got \(4, 1\)\. Use e_gold\.squeeze\(-1\)"):
        check_energies(e_gold=torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"got \(4, 2\)\. Sum over the state's axes"):
        check_energies(e_gold=torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"cost belongs to e .* expected shape \(2,\), got \(2, 1\)"):
        check_same_shape("cost", torch.zeros(2, 1), "e", torch.zeros(2))
    with pytest.raises(ValueError, match=r"e_gold is empty: expected at least one energy"):
        check_energies(e_gold=torch.zeros(0))
