"""Settings out of their range are refused when a configuration is made, before anything is trained."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import pytest

from ebm_course.recipes import shared
from ebm_course.recipes.images import classifier, jem, robust_classifier, robust_jem
from ebm_course.recipes.likelihood import plane, potts
from ebm_course.recipes.sequences import (
    adversarial,
    language_model,
    masked_language_model,
    parts,
    pretraining,
    residual_nce,
)
from ebm_course.recipes.structured import bilstm, crf, inference_network, spen_gradient, tag_language_model
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.runtime import setup

RECIPES = (adversarial, residual_nce, language_model, potts, plane)
STRUCTURED = (bilstm, crf, tag_language_model, spen_gradient, inference_network)
IMAGES = (classifier, jem, robust_classifier, robust_jem)
TEXT = (finetune, freelb, carl, rar)
NAN = float("nan")
BAD: list[tuple[ModuleType, str, Any]] = [
    *((recipe, "clip", bad) for recipe in RECIPES[:3] for bad in (-1.0, 0.0, NAN, None)),
    *((recipe, "betas", bad) for recipe in RECIPES[:3] for bad in ((0.9,), (0.9, 1.0), (NAN, 0.9), 0.9)),
    *((recipe, "n_steps", -1) for recipe in RECIPES[3:]),
    *((recipe, "n_sampler_steps", bad) for recipe in RECIPES[3:] for bad in (-1, 1.5)),
    *((recipe, "way", "x") for recipe in RECIPES[3:]),
    *((adversarial, "n_attack_steps", bad) for bad in (-5, 2.5, NAN)),
    *((adversarial, "replay", bad) for bad in (2.0, -0.1, NAN)),
    (adversarial, "ema", 1.0),
    (residual_nce, "patience", 0),
    *((plane, "restart_probability", bad) for bad in (7.0, -1.0, NAN)),
    (plane, "density", "x"),
    (plane, "max_grad_norm", NAN),
    *((language_model, "warm_up", bad) for bad in (-3.0, 1.5, NAN)),
    *((language_model, "n_cycles", bad) for bad in (0, -1)),
    *((language_model, "dropout", bad) for bad in (-7.0, 1.0, NAN)),
    (potts, "field_std", -0.5),
    *((recipe, "radius", bad) for recipe in TEXT[1:] for bad in (-0.1, NAN)),
    *((carl, "freshness", bad) for bad in (0, -3, 1.5, "old")),
    (carl, "estimator", "x"),
    (carl, "momentum", 1.0),
    (finetune, "precision", "float16"),
]


@pytest.mark.parametrize(("recipe", "field", "value"), BAD)
def test_a_field_out_of_its_range_is_refused_by_name(recipe: ModuleType, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: expected .*, got .*{str(value)[-3:].rstrip(')')}"):
        dataclasses.replace(recipe.Config(), **{field: value})


@pytest.mark.parametrize("recipe", [*RECIPES, *STRUCTURED, *IMAGES, *TEXT])
def test_every_number_of_a_configuration_has_a_range(recipe: ModuleType) -> None:
    for field in dataclasses.fields(recipe.Config):
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            with pytest.raises(ValueError, match=f"^{field.name}: expected"):
                dataclasses.replace(recipe.Config(), **{field.name: NAN})
            with pytest.raises(ValueError, match=f"^{field.name}: expected"):
                dataclasses.replace(recipe.Config(), **{field.name: -1})


def test_dropout_of_an_lstm_is_refused_because_it_has_none() -> None:
    assert language_model.Config(n_heads=4, dropout=0.1).dropout == 0.1
    with pytest.raises(ValueError, match=r"expected 0 in an LSTM, which has none, got 0\.1\. Set n_heads"):
        language_model.Config(dropout=0.1)


ABSURD: list[tuple[ModuleType, dict[str, Any]]] = [
    *((plane, {name: 10**9}) for name in ("n_train", "buffer_size", "batch_size", "width", "n_points")),
    (plane, {"width": 10**7}),
    (plane, {"n_points": 10**6}),
    (plane, {"n_layers": 10**8}),
    *((potts, {name: 10**9}) for name in ("n_train", "n_valid", "n_values")),
    (potts, {"n_values": 10**7}),
    *((language_model, {name: 10**9}) for name in ("n_rows", "width", "n_digits", "n_layers")),
    (language_model, {"width": 10**7}),
    (language_model, {"n_digits": 10**7, "n_rows": 100}),
    (language_model, {"n_rows": 60_000, "n_digits": 3}),  # 50,000 are there
    *((recipe, {name: 10**9}) for recipe in RECIPES[:2] for name in ("n_rows", "n_noise")),
    *((recipe, {"n_rows": 60_000}) for recipe in RECIPES[:2]),
    *((recipe, {name: 10**8}) for recipe in STRUCTURED for name in ("width", "hidden", "batch_size")),
    *((recipe, {name: 10**8}) for recipe in STRUCTURED[2:] for name in ("tag_width", "tag_hidden")),
    *((recipe, {"buffer_size": 10**8}) for recipe in (jem, robust_jem)),
    *((recipe, {"batch_size": 10**9}) for recipe in IMAGES),
    *((recipe, {"batch_size": 10**8}) for recipe in TEXT),
    *((masked_language_model, {name: 10**9}) for name in ("n_rows", "width", "n_digits", "n_layers")),
]


@pytest.mark.parametrize(("recipe", "changes"), ABSURD)
def test_what_no_machine_has_is_refused_by_name_before_the_work(
    recipe: ModuleType, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "usable_memory", lambda: 64e9)
    run = setup(0, device="cpu", quiet=True)
    with pytest.raises(ValueError, match=rf"^{next(iter(changes))}: .*, expected|^{next(iter(changes))}: expected"):
        recipe.fit(dataclasses.replace(recipe.PRESETS["smoke"], **changes), run, progress=False)


@pytest.mark.parametrize("recipe", [*RECIPES, masked_language_model])
def test_every_preset_fits_into_a_machine(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shared, "usable_memory", lambda: 4e9)
    for name in ("toy2d", "task_for", "origin_of"):
        if name in vars(recipe):
            monkeypatch.setattr(recipe, name, reached)
    for module in (parts, pretraining):
        monkeypatch.setattr(module, "task_for", reached)
    for preset in recipe.PRESETS.values():
        with pytest.raises(KeyboardInterrupt):
            recipe.fit(preset, setup(0, device="cpu", quiet=True), progress=False, **GIVEN.get(recipe, {}))


GIVEN: dict[ModuleType, dict[str, Any]] = {
    recipe: {"noise": language_model.build(language_model.SMOKE), "pretrained": object()} for recipe in RECIPES[:2]
}
