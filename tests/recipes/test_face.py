"""What every recipe refuses in the same words, and that a given net trains whatever flags it was left with."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from ebm_course.commands import choices
from ebm_course.core import Batch, Task
from ebm_course.origin import digest
from ebm_course.recipes.images import classifier
from ebm_course.recipes.likelihood import potts
from ebm_course.recipes.sequences import adversarial, language_model, residual_nce
from ebm_course.recipes.shared import Fitted
from ebm_course.recipes.structured import bilstm, inference_network
from ebm_course.recipes.text import finetune
from ebm_course.runtime import Run, setup

ROWS = language_model.rows_for(language_model.SMOKE, setup(0, device="cpu", quiet=True))


def run() -> Run:
    """A fresh one: initial weights come from the stream that it seeds."""
    return setup(0, device="cpu", quiet=True)


@pytest.mark.parametrize("name", choices.RECIPES)
def test_what_is_no_configuration_of_a_recipe_or_no_run_is_refused(name: str) -> None:
    recipe = choices.recipe(name)
    smoke = recipe.PRESETS["smoke"]
    for config in (type(smoke), {"rate": 0.1}, "smoke", None, SimpleNamespace(**vars(smoke))):
        with pytest.raises(TypeError, match=rf"{name}\.fit takes a Config of its own: got .* Pass Config\(\.\.\.\)"):
            recipe.fit(config, run())
    with pytest.raises(TypeError, match=r"a recipe works in a Run: got 0\. Pass run = "):
        recipe.fit(smoke, 0)
    with pytest.raises(TypeError, match="a recipe works in a Run"):
        recipe.fit(config=smoke, run="cpu")


def test_the_configuration_of_another_recipe_is_called_so() -> None:
    with pytest.raises(TypeError, match=r"got one of ebm_course\.recipes\.likelihood\.potts\. Pass Config"):
        language_model.fit(potts.SMOKE, run())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([*ROWS], TypeError, "data: expected a pair of batches"),
        ((*ROWS, ROWS[0]), TypeError, "data: expected a pair of batches"),
        (ROWS[0], TypeError, "data: expected a pair of batches"),
        ((ROWS[0].x, ROWS[1].x), TypeError, "train: expected a Batch, got a Tensor"),
        ((ROWS[0], ROWS[1][:0]), ValueError, "valid: expected a row at least, got none"),
        ((ROWS[0][:0], ROWS[1]), ValueError, "train: expected a row at least, got none"),
        ((Batch(ROWS[0].x[:, :1]), Batch(ROWS[1].x[:, :1])), ValueError, "sequences .* of one length L, 2 or more"),
        ((ROWS[0], Batch(ROWS[1].x[:, :5])), ValueError, "sequences .* of one length L, 2 or more"),
    ],
)
def test_rows_that_nothing_can_be_learned_from_are_refused(data: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        language_model.fit(language_model.SMOKE, run(), data=data, progress=False)


def without(part: str, *, task: Any, seed: int) -> Any:
    """A task, one part of which is empty."""
    made = task(seed=seed)
    if isinstance(made, Task):
        return replace(made, **{part: getattr(made, part)[:0]})
    if hasattr(made, "task"):
        return replace(made, task=without(part, task=lambda seed: made.task, seed=seed))
    return replace(made, **{part: getattr(made, part)[:0]})


@pytest.mark.parametrize("recipe", [classifier, finetune, bilstm])
@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_task_with_an_empty_part_is_refused(recipe: Any, part: str) -> None:
    config = replace(recipe.SMOKE, task=partial(without, part, task=recipe.SMOKE.task))
    with pytest.raises(ValueError, match=f"{part}: expected a row at least, got none"):
        recipe.fit(config, run(), progress=False)


@pytest.mark.parametrize("recipe", [adversarial, residual_nce])
def test_a_net_that_was_frozen_is_fine_tuned_all_the_same(recipe: Any) -> None:
    def weights(pretrained: nn.Module) -> str:
        fitted: Fitted = recipe.fit(recipe.SMOKE, run(), pretrained=pretrained, progress=False)
        return digest(fitted.module)

    net = language_model.load("arithmetic-3-energy")
    frozen, compiled = copy.deepcopy(net).requires_grad_(False), cast(nn.Module, torch.compile(net, backend="eager"))
    expected = weights(net)
    assert weights(frozen) == expected == weights(compiled)
    assert not any(p.requires_grad for p in frozen.parameters())


def test_an_energy_that_was_frozen_goes_on_learning() -> None:
    start: Any = adversarial.fit(adversarial.SMOKE, run(), progress=False).module
    frozen = copy.deepcopy(start).requires_grad_(False)
    found = [adversarial.fit(adversarial.SMOKE, run(), start=one, progress=False).module for one in (start, frozen)]
    assert digest(found[0]) == digest(found[1])
    game: Any = inference_network.fit(inference_network.SMOKE, run(), progress=False).module
    frozen = copy.deepcopy(game.energy).requires_grad_(False)
    found = [
        inference_network.fit(inference_network.SMOKE, run(), energy=one, progress=False).module
        for one in (game.energy, frozen)
    ]
    assert digest(found[0]) == digest(found[1])


@pytest.mark.parametrize("net", [nn.Linear(2, 1), language_model.build(language_model.SMOKE)])
def test_a_net_without_a_transformer_is_no_start(net: nn.Module) -> None:
    with pytest.raises(TypeError, match=r"pretrained: expected an energy with a transformer, .* Pass the net itself"):
        adversarial.fit(adversarial.SMOKE, run(), pretrained=net, progress=False)  # type: ignore[arg-type]


def test_a_net_in_double_precision_gets_a_head_in_double_precision() -> None:
    net = language_model.load("arithmetic-3-energy").double()
    fitted = adversarial.fit(adversarial.SMOKE, run(), pretrained=net, progress=False)  # type: ignore[arg-type]
    assert {p.dtype for p in fitted.module.parameters()} == {torch.float64}
