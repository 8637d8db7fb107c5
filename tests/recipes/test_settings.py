"""A recipe's numbers depend on its configuration and its run, whatever the reader has set in torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest
import torch

from ebm_course.origin import digest
from ebm_course.recipes.images import classifier, jem, robust_classifier, robust_jem
from ebm_course.recipes.likelihood import plane, potts
from ebm_course.recipes.sequences import adversarial, language_model, masked_language_model, residual_nce
from ebm_course.recipes.shared import Fitted
from ebm_course.recipes.structured import bilstm, crf, inference_network, spen_gradient, tag_language_model
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.runtime import setup

STRUCTURED = (bilstm, crf, tag_language_model, spen_gradient, inference_network)
IMAGES = (classifier, jem, robust_classifier, robust_jem)
TEXT = (finetune, freelb, carl, rar)
RECIPES = (adversarial, residual_nce, language_model, potts, plane, *STRUCTURED, *IMAGES, *TEXT)


@contextmanager
def everything_else() -> Iterator[None]:
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"), torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def fitted(recipe: ModuleType) -> Fitted:
    found: Fitted = recipe.fit(recipe.PRESETS["smoke"], setup(0, device="cpu", quiet=True), progress=False)
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_the_same_net_under_any_setting(recipe: ModuleType) -> None:
    expected = fitted(recipe)
    with everything_else():
        found = fitted(recipe)
    assert digest(found.module) == digest(expected.module) and found.rows == expected.rows
    assert not any(p.is_inference() for p in found.module.parameters())


@pytest.mark.parametrize("recipe", [masked_language_model, *RECIPES])
def test_a_recipe_trains_in_double_precision_where_it_was_chosen(recipe: ModuleType) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        found = fitted(recipe)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in found.module.parameters()} == {torch.float64}


def test_a_shipped_net_is_loaded_under_any_setting() -> None:
    expected = language_model.load("arithmetic-3-energy")
    with everything_else():
        found = language_model.load("arithmetic-3-energy")
    assert digest(found) == digest(expected)
