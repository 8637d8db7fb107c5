r"""A structured prediction energy network whose inference is descent. One change to ``crf``: Z gives way to a margin.

.. math:: \min_\theta \; \tfrac{1}{N} \sum_n \Bigl[\max_y \bigl(\Delta(y, y_n) - E(x_n, y)\bigr) + E(x_n, y_n)\Bigr]_+

The maximum over relaxed tags is approached by descent on E - Delta; no sum over tags is needed, so that the energy may
have terms of which no sum is known: language models of tags.
Source: Belanger and McCallum (2016); Eq. 4 of Tu, Pang and Gimpel (2020) with descent in the place of its network.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_epochs=1)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [name for name in fitted.rows[-1] if name.startswith("valid") and name.endswith("accuracy")]
['valid_descent_accuracy', 'valid_exact_accuracy']
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ebm_course.core import Batch, Energy, Step, WrapsModule, frozen
from ebm_course.energies.global_energy import KINDS
from ebm_course.objectives.compound import compound
from ebm_course.objectives.tagging_terms import l1_cost
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.recipes.structured import bilstm, crf, tag_language_model
from ebm_course.recipes.structured.data import data_of
from ebm_course.recipes.structured.decoding import Decoder, descended, uniform
from ebm_course.recipes.structured.parts import Learner, energy_of, exact_decoder, train, validation
from ebm_course.runtime import Run
from ebm_course.samplers.relaxed_descent import METHODS, relaxed_descent
from ebm_course.tasks.tagging import gold_of


@dataclass(frozen=True)
class EnergyConfig(crf.Config):
    """The chain's configuration and global terms.

    >>> EnergyConfig(global_terms="d")
    Traceback (most recent call last):
    ValueError: global_terms: expected one of a, b, c or None, got 'd'.
    """

    global_terms: Literal["a", "b", "c"] | None = None  # Section 5: tag language models beside the chain
    gamma: float = 1.0  # Eq. 9, of the models with words; tuned, unsaid
    global_weight: float = 1.0  # Eq. 9, of all tag language models
    tag_width: int = 32  # unsaid: of a tag's vector in a language model
    tag_hidden: int = 64  # unsaid for tweets; 128 for entities
    beam_width: int = 4  # of the search that measures energies with global terms
    n_searched: int = 100  # validation sentences that it measures; a chain is measured on all

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, counts="tag_width tag_hidden beam_width n_searched", not_negative="gamma global_weight")
        if self.global_terms is not None and self.global_terms not in KINDS:
            raise ValueError(f"global_terms: expected one of {', '.join(KINDS)} or None, got {self.global_terms!r}.")


@dataclass(frozen=True)
class Config(EnergyConfig):
    """The energy's configuration and descent, which is unsaid in Tu, Pang and Gimpel (2020)."""

    n_descent_steps: int = 20
    descent_step_size: float = 1.0  # a nat
    descent_method: Literal["softmax", "exponentiated"] = "exponentiated"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, whole="n_descent_steps", positive_finite="descent_step_size")
        if self.descent_method not in METHODS:
            raise ValueError(f"descent_method: expected one of {', '.join(METHODS)}, got {self.descent_method!r}.")


PAPER = Config()
CPU = Config(**bilstm.SMALL)
NER = Config(**bilstm.ENTITIES, tag_hidden=128)
NOTEBOOK = Config(**crf.TOY, **tag_language_model.TOY)
SMOKE = Config(**crf.TINY, **tag_language_model.TOY, n_descent_steps=3, n_searched=10)
PRESETS = {"paper": PAPER, "cpu": CPU, "ner": NER, "notebook": NOTEBOOK, "smoke": SMOKE}


class CostAugmented:
    """y -> E(x, y) - Delta(y, gold), the energy of tags that look good to E and are wrong.

    >>> gold, mask = torch.tensor([[0, 1]]), torch.tensor([[True, True]])
    >>> energy = CostAugmented(lambda y: torch.zeros(len(y)), gold, mask)
    >>> energy(torch.tensor([[0, 1]])), energy(torch.tensor([[0, 0]]))  # a wrong tag is worth 2 nats
    (tensor([0.]), tensor([-2.]))
    """

    def __init__(self, energy: Energy, gold: Tensor, mask: Tensor):
        self.energy, self.gold, self.mask = energy, gold, mask
        self.module = energy.module if isinstance(energy, WrapsModule) else None

    def __call__(self, y: Tensor) -> Tensor:
        return self.energy(y) - l1_cost(y, self.gold, self.mask)


def make_step(learner: Learner, config: Config) -> Step:
    """One update of the margin loss, at relaxed tags that descent has found.

    >>> data = data_of(SMOKE, Run(torch.device("cpu"), 0))
    >>> energy = energy_of(SMOKE, data)
    >>> step = make_step(Learner(energy, SMOKE.optimizer(energy, rate=0.01)), SMOKE)
    >>> losses = [float(step(data.train[:8], torch.Generator())["loss"]) for _ in range(5)]
    >>> losses[-1] < losses[0]
    True
    """
    descent: dict[str, Any] = {"n_steps": config.n_descent_steps, "step_size": config.descent_step_size}

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        share = learner.run.share(batch)
        gold, mask = gold_of(share)
        energy: Any = learner.net
        with frozen(energy):
            given = CostAugmented(energy.given(share.x, mask), gold, mask)
        start = uniform(share, energy.n_values)
        found = relaxed_descent(given, start, **descent, method=config.descent_method, mask=mask, generator=generator).x
        energy.train()
        given = energy.given(share.x, mask)
        return learner.descend(compound(given(gold), e_augmented=given(found), cost=l1_cost(found, gold, mask)))

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train an energy against what descent finds.

    Returns:
        ``Spen`` or ``GlobalEnergy``; rows as the chain's, with the terms of ``compound``, and beside the search's
        ``valid_exact_accuracy`` also ``valid_descent_accuracy`` of descent, whose error chooses what is kept.
    """
    data = data_of(config, run)
    energy = energy_of(config, data).to(run.device)
    learner = Learner(energy, config.optimizer(energy, rate=config.rate), run=run)
    descent: dict[str, Any] = {"n_steps": config.n_descent_steps, "step_size": config.descent_step_size}
    search = {"beam_width": config.beam_width, "n_searched": config.n_searched}
    decoders = {
        "descent": Decoder(descended(energy, **descent, method=config.descent_method), data.valid),
        "exact": exact_decoder(energy, data.valid, **search),
    }
    validate = validation(decoders, data.score, select="descent")
    options: dict[str, Any] = {"keep": {"optimizer": learner.optimizer}, "folder": folder, "progress": progress}
    return train(config, run, energy, data, make_step(learner, config), validate, recipe=fit, **options)
