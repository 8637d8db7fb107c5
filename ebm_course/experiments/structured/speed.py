"""Sentences a second in training: one update after another on the same minibatches, the arms taken in turn.

>>> from ebm_course.experiments.structured.config import SMOKE
>>> from ebm_course.runtime import SINGLE_PROCESS as run
>>> stacked = SMOKE.variant("toy/stacked")
>>> rates = sentences_a_second([stacked], 0, run, SMOKE)
>>> list(rates), rates["toy/stacked"] > 0
(['toy/stacked'], True)
>>> data = data_of(stacked.config, run)
>>> step = step_of(stacked, data, run)
>>> {"margin_loss", "cross_entropy_a"} <= step(data.train[:4], run.generator("speed")).keys()
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ebm_course.core import Batch, Step
from ebm_course.experiments.clock import medians_in_turn
from ebm_course.experiments.structured.modules import fresh
from ebm_course.experiments.variants import Variant, seeded
from ebm_course.recipes.structured import game
from ebm_course.recipes.structured.data import Data, data_of
from ebm_course.recipes.structured.parts import Learner
from ebm_course.runtime import Run
from ebm_course.training.length_batches import LengthBatches


def sentences_a_second(variants: Sequence[Variant], k: int, run: Run, config: Any) -> dict[str, float]:
    """Of each arm with a game, by its name: fresh players, run k's minibatches, the median over passes.

    Args:
        variants: on one set of sentences.
        config: of the experiment: how many minibatches a pass has, and how many passes are timed.
    """
    if not variants:
        return {}
    stream = seeded(run, k)
    data = data_of(variants[0].config, stream)
    batches = LengthBatches(data.train, variants[0].config.batch_size, seed=stream.seed)
    some = [batches[i] for i in range(config.n_speed_batches)]
    acts = {variant.name: _pass(step_of(variant, data, stream), some, stream) for variant in variants}
    n = sum(len(batch) for batch in some)
    return {name: n / s for name, s in medians_in_turn(acts, run.device, n_repeats=config.n_speed_repeats).items()}


def step_of(variant: Variant, data: Data, run: Run) -> Step:
    """The update of a game with fresh players."""
    config, module = variant.config, fresh(variant, data).to(run.device)
    assert isinstance(module, game.Game)
    nets = Learner(module.nets, config.optimizer(module.nets, rate=config.rate), player="inference")
    optimizer = config.energy_optimizer(module.energy, rate=config.energy_rate)
    energy = Learner(module.energy, optimizer, player="energy")
    counted: dict[str, Any] = {"updates": game.Updates(), "n_updates": 1, "anchor": game.Anchor(module.nets, 0.0)}
    return game.make_step(module, nets, energy, config, **counted)


def _pass(step: Step, batches: Sequence[Batch], run: Run) -> Callable[[], None]:
    generator = run.generator("speed")

    def act() -> None:
        for batch in batches:
            step(batch, generator)

    return act
