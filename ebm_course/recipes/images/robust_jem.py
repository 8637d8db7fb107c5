r"""Robust JEM: the joint model's classifier meets attacked images. One change to ``jem``: the attack, and one to
``robust_classifier``: the energy term.

The paper does not say whether p(x) sees clean or attacked images: ``energy_sees`` is a field.
Source: Korst and Asadulaev (2022), Section 3. Their "n = 300, n = 5" has to be m = 300.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_steps=2, validate_every=2)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> {"valid_energy_gap", "valid_robust_accuracy"} <= set(fitted.rows[-1])
True
>>> replace(SMOKE, energy_sees="both")
Traceback (most recent call last):
ValueError: energy_sees: expected one of clean, adversarial, got 'both'.
>>> from ebm_course.recipes.images.chains import uniform
>>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
>>> for weights in net.parameters():
...     _ = torch.nn.init.zeros_(weights)
>>> batch = Batch(torch.ones(3, 1, 2, 2), y=torch.tensor([0, 0, 1]))
>>> step = make_step(Learner(net, SMOKE), Chains(jem.langevin_steps(SMOKE), uniform(batch, 2)))
>>> log = step(batch, torch.Generator().manual_seed(0))  # a net of zeros: E is -log 2 everywhere
>>> [round(float(log[name]), 3) for name in ("cross_entropy", "e_data", "energy_gap")]
[0.693, -0.693, 0.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ebm_course.core import Batch, Step
from ebm_course.recipes.images import classifier, jem, robust_classifier
from ebm_course.recipes.images.chains import Chains
from ebm_course.recipes.images.jem import joint_loss, train_watched
from ebm_course.recipes.images.parts import Learner, data_of, labels
from ebm_course.recipes.images.robust_classifier import adversarial, attacked, robust_accuracy
from ebm_course.recipes.shared import Fitted, a_recipe
from ebm_course.runtime import Run

SEEN = ("clean", "adversarial")


@dataclass(frozen=True)
class Config(robust_classifier.Config, jem.Config):
    """Both configurations, and which images p(x) sees. Defaults: Korst and Asadulaev (2022)."""

    energy_sees: Literal["clean", "adversarial"] = "clean"  # unsaid; it changes stability

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.energy_sees not in SEEN:
            raise ValueError(f"energy_sees: expected one of {', '.join(SEEN)}, got {self.energy_sees!r}.")


PAPER = Config(**classifier.FAST)
NOTEBOOK = Config(**classifier.SMALL, **jem.SMALL, **robust_classifier.SMALL)
SMOKE = Config(**classifier.TINY, **jem.TINY, radius=0.3, n_attack_steps=2)
PRESETS = {"paper": PAPER, "notebook": NOTEBOOK, "smoke": SMOKE}


def make_step(learner: Learner, chains: Chains) -> Step:
    """One update of the joint model with its classifier at attacked images."""
    config, run = learner.config, learner.run
    seen = "clean" if config.energy_sees == "clean" else "attacked"

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        x, y = learner.augmented(batch, generator), labels(batch)
        x0, slots = chains.start(len(batch), generator)  # 1 start
        samples = chains.sampler(learner.energy, x0, generator=generator)  # 2 negatives
        images = {"attacked": attacked(config, learner.log_likelihood(y), x, generator), "samples": samples.x}
        if config.clean_share or seen == "clean":
            images["clean"] = x
        logits = learner.logits(**images)  # 3 objective
        conditional = adversarial(logits, run.share(y), clean_share=config.clean_share)
        loss = joint_loss(conditional, logits[seen], logits["samples"], weight=config.energy_weight, l2=config.l2)
        log = learner.descend(loss)  # 4 update
        chains.store(slots, samples.x)
        return log | {"sample_grad_norm": samples.info["grad_norm"].mean()}  # 5 log

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train ``config.net`` as a robust joint model; rows and errors as of ``jem`` and of ``robust_classifier``."""
    data = data_of(config, run)
    learner = Learner(config.net(data.shape, data.n_classes).to(run.device), config, run=run)
    chains = Chains.of(config, data, run)
    step, also = make_step(learner, chains), robust_accuracy(learner, data)
    return train_watched(config, run, learner, data, chains, step, fit, folder, progress, also)
