"""A folder in which a recipe has saved its state refuses another seed, another rate and another recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from ebm_course.origin import digest
from ebm_course.recipes.images import classifier, jem, robust_classifier, robust_jem
from ebm_course.recipes.likelihood import plane, potts
from ebm_course.recipes.sequences import adversarial, language_model, residual_nce
from ebm_course.recipes.structured import bilstm, crf, inference_network, spen_gradient, tag_language_model
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.runtime import setup

SEQUENCES = (adversarial, residual_nce, language_model)
IMAGES = (classifier, jem, robust_classifier, robust_jem)
STRUCTURED = (bilstm, crf, tag_language_model, spen_gradient, inference_network)
RECIPES = (plane, potts, *SEQUENCES, *IMAGES, *STRUCTURED, finetune, freelb, carl, rar)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.__name__.removeprefix("ebm_course.recipes."))
def test_a_folder_refuses_another_run_of_the_recipe(recipe: ModuleType, tmp_path: Path) -> None:
    config, run = recipe.PRESETS["smoke"], setup(0, device="cpu", quiet=True)
    first = recipe.fit(config, run, folder=tmp_path, progress=False)
    rate = next(name for name in ("rate", "energy_rate", "learning_rate") if hasattr(config, name))
    other = replace(config, **{rate: getattr(config, rate) / 2})
    for settings, seed, named in ((config, 1, "seed"), (other, 0, rate)):
        with pytest.raises(ValueError, match=named):
            recipe.fit(settings, setup(seed, device="cpu", quiet=True), folder=tmp_path, progress=False)
    again = recipe.fit(config, setup(0, device="cpu", quiet=True), folder=tmp_path, progress=False)
    assert digest(again.module) == digest(first.module) and again.rows == first.rows
