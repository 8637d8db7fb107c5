r"""RAR: the words have to be named from perturbed states. One change to ``freelb``: a reconstruction loss.

.. math:: \min_\theta \; L_C + w_r L_R, \qquad L_R = -\tfrac{1}{|x|} \sum_i \log p_\theta(x_i \mid h_i(e + \delta))

L_R is that of the last perturbation, the strongest, which no ascent follows: the attack climbs L_C alone.
Source: Qiu, Zhang and Zhou, Section 3.3.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_steps=2, validate_every=2)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> type(fitted.module).__name__, 0 <= fitted.rows[-1]["named"] <= 1
('Reconstructing', True)
>>> run = Run(torch.device("cpu"), 0)
>>> data = data_of(SMOKE, run)
>>> learner, generator = Learner(with_head(SMOKE, data, run), SMOKE), torch.Generator().manual_seed(0)
>>> log = make_step(learner)(data.train[:8], generator)
>>> torch.allclose(log["loss"], log["cross_entropy"] + SMOKE.reconstruction_weight * log["reconstruction"])
True
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Batch, Loss, Step
from ebm_course.energies.reconstruction_head import Reconstructing
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.recipes.text import finetune, freelb
from ebm_course.recipes.text.freelb import climb
from ebm_course.recipes.text.parts import Data, Learner, Passed, classifier_for, data_of, train
from ebm_course.runtime import Run
from ebm_course.tasks.text import mask_of


@dataclass(frozen=True)
class Config(freelb.Config):
    """FreeLB's configuration and that of the reconstruction."""

    reconstruction_weight: float = 0.1  # w_r, Section 3.3
    whole_vocabulary: bool = True  # False: words that occur in no text of the data are left out of the softmax

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, not_negative="reconstruction_weight")


SMALL: dict[str, Any] = {"whole_vocabulary": False}
"""What all presets but the paper's change."""

PAPER = Config()
CPU = Config(**finetune.REVIEWS, **SMALL)
PRETRAINED = Config(**finetune.MINILM, **SMALL)
NOTEBOOK = Config(**finetune.SMALL, **freelb.SMALL, **SMALL)
SMOKE = Config(**finetune.TINY, **freelb.SMALL, **SMALL)
PRESETS = {"paper": PAPER, "cpu": CPU, "minilm": PRETRAINED, "notebook": NOTEBOOK, "smoke": SMOKE}


def with_head(config: Config, data: Data, run: Run) -> Reconstructing:
    """A fresh classifier and its head, on the run's device.

    >>> run = Run(torch.device("cpu"), 0)
    >>> data = data_of(SMOKE, run)
    >>> module = with_head(SMOKE, data, run)
    >>> module.head.loss(torch.zeros(1, 2, 8), data.train.x[:1, :2], torch.ones(1, 2).bool())[0].shape
    torch.Size([])
    """
    parts = (data.task.train, data.task.valid, data.task.test)
    kept = None if config.whole_vocabulary else torch.cat([part.x[mask_of(part)] for part in parts]).unique()
    return Reconstructing(classifier_for(config, data, run), kept=kept).to(run.device)


def make_step(learner: Learner) -> Step:
    """One update of FreeLB with ``reconstruction_weight`` L_R at its last pass; terms of L_R, and ``named``."""
    module, weight = learner.module, learner.config.reconstruction_weight
    assert isinstance(module, Reconstructing)
    head = module.head

    def reconstruction(last: Passed, clean: Passed | None, rows: Batch) -> Loss:
        value, named = head.loss(last.states, rows.x, mask_of(rows))
        return Loss(weight * value, {"reconstruction": value.detach(), "named": named})

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        return learner.descend(climb(learner, batch, generator, also=reconstruction).loss)

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train ``config.net`` and a head.

    Returns:
        ``Reconstructing``: the classifier and the head. Rows also have ``reconstruction``, L_R in nats a token, and
        ``named``, the share of words that the head names rightly.
    """
    data = data_of(config, run)
    learner = Learner(with_head(config, data, run), config, run=run)
    options: dict[str, Any] = {"folder": folder, "progress": progress}
    return train(config, run, learner, data, make_step(learner), recipe=fit, **options)
