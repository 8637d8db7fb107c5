r"""A classifier of texts, by cross-entropy: the first of four recipes, each one change away from the next.

.. math:: \min_\theta \; L_C = -\tfrac{1}{N} \sum_n \log p_\theta(y_n \mid x_n), \qquad p_\theta(y \mid x) \propto
    e^{-E_\theta(x, y)}

Source: Qiu, Zhang and Zhou, Eq. 8 and Section 4.3. What they leave unsaid is marked so, and taken from the settings of
FreeLB, Zhu et al. (2020), whose SST-2 column their Table 1 repeats.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_steps=4, validate_every=2)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [(row["step"], round(row["valid_error"] + row["valid_accuracy"], 6)) for row in fitted.rows]
[(2, 1.0), (4, 1.0)]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ebm_course.core import Batch, Step
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.energies.text_energy import TextEnergy
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.recipes.text.parts import (
    PRECISIONS,
    Learner,
    adamw,
    classification,
    classifier_for,
    data_of,
    labels,
    train,
)
from ebm_course.recipes.text.sets import (
    film_reviews,
    film_reviews_for_minilm,
    opinions,
    phrases,
    pretrained_albert,
    pretrained_minilm,
)
from ebm_course.runtime import Run
from ebm_course.tasks.text import Text, mask_of


@dataclass(frozen=True)
class Config:
    """What is trained, on what, and how. The defaults are those of the paper on SST-2."""

    task: Callable[..., Text] = phrases  # called with the run's seed
    net: Callable[..., TextEnergy] = pretrained_albert  # called with sizes of vocabulary and classes, and max_length
    batch_size: int = 32  # Section 4.3
    n_steps: int = 20_935  # unsaid; FreeLB's
    optimizer: Callable[..., torch.optim.Optimizer] = adamw  # Section 4.3 says Adam
    rate: float = 1e-5  # Section 4.3
    weight_decay: float = 0.01  # unsaid; FreeLB's
    warm_up: int = 1_256  # unsaid; FreeLB's: updates with a rising rate, which then falls to 0
    clip: float = 1.0  # unsaid; FreeLB's: the largest norm of a gradient
    keep_best: bool = True  # the weights of the highest validation accuracy, or the last ones
    validate_every: int = 2_105  # an epoch of SST-2
    precision: Literal["float32", "bfloat16"] = "float32"  # of the encoder's products; weights stay float32

    def __post_init__(self) -> None:
        check_ranges(
            self,
            counts="batch_size validate_every",
            whole="n_steps warm_up",
            positive="rate clip",
            not_negative="weight_decay",
            functions="task net optimizer",
        )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}.")


REVIEWS: dict[str, Any] = {
    "task": film_reviews,
    "net": TextClassifier,
    "n_steps": 864,
    "rate": 1e-3,
    "warm_up": 43,
    "validate_every": 216,
}
"""What the presets for a CPU change in all four recipes: 6,920 sentences four times, a small net from scratch."""

MINILM: dict[str, Any] = REVIEWS | {
    "task": film_reviews_for_minilm,
    "net": pretrained_minilm,
    "n_steps": 648,
    "rate": 1e-4,
}
"""What those for a CPU with a pretrained encoder change: three epochs of the same sentences."""

SMALL: dict[str, Any] = {
    "task": opinions,
    "net": partial(TextClassifier, width=32, dropout=0.0),
    "n_steps": 400,
    "rate": 3e-3,
    "warm_up": 40,
    "validate_every": 100,
}
"""What the notebook's presets of all four recipes change: the embedded language, a small net, seconds a run."""

TINY: dict[str, Any] = SMALL | {
    "net": partial(TextClassifier, width=8, n_layers=1, n_heads=2),
    "batch_size": 8,
    "n_steps": 6,
    "warm_up": 2,
    "validate_every": 3,
}

PAPER = Config()
CPU = Config(**REVIEWS)
PRETRAINED = Config(**MINILM)
NOTEBOOK = Config(**SMALL)
SMOKE = Config(**TINY)
PRESETS = {"paper": PAPER, "cpu": CPU, "minilm": PRETRAINED, "notebook": NOTEBOOK, "smoke": SMOKE}


def make_step(learner: Learner) -> Step:
    """theta <- theta - rate grad of the mean -log p(y | x).

    >>> run = Run(torch.device("cpu"), 0)
    >>> data = data_of(SMOKE, run)
    >>> net = classifier_for(SMOKE, data, run)
    >>> before = net.word_embedding.weight.detach().clone()
    >>> log = make_step(Learner(net, SMOKE))(data.train[:8], torch.Generator())
    >>> abs(float(log["loss"]) - 0.693) < 0.1, torch.equal(net.word_embedding.weight, before)  # from log 2 on
    (True, False)
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        share = learner.run.share(batch)
        loss = classification(learner.passed(learner.net.embed(share.x), mask_of(share)).logits, labels(share))
        learner.optimizer.zero_grad(set_to_none=True)
        loss.value.backward()
        return learner.descend(loss)

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train ``config.net`` as a classifier; rows as in :func:`~ebm_course.recipes.text.parts.train`."""
    data = data_of(config, run)
    learner = Learner(classifier_for(config, data, run), config, run=run)
    return train(config, run, learner, data, make_step(learner), recipe=fit, folder=folder, progress=progress)
