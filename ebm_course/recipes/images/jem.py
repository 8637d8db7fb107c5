r"""JEM: the classifier's logits also have to make the data likely. One change to ``classifier``: the energy term.

.. math:: -\log p_\theta(x, y) = -\log p_\theta(y \mid x) - \log p_\theta(x), \qquad
    \nabla_\theta [-\log p_\theta(x)] = \nabla_\theta E_\theta(x) - \mathbb E_{p_\theta}[\nabla_\theta E_\theta]

The expectation is a mean over samples: short chains on E(x) = -logsumexp_y f(x)[y], which go on in a replay buffer.
Source: Grathwohl et al. (2020), JEM, Eqs. 4, 6, 8, Algorithm 1; the defaults are those of Yang and Ji (2021), JEM++.
Departure: chains see a net with batch norm in eval mode, and in the loss data and samples are normalised apart; the
paper's preset takes convolutions in 16 bits.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_steps=2, validate_every=2)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [name for name in fitted.rows[-1] if name.startswith("valid")]
['valid_nll', 'valid_accuracy', 'valid_energy_gap', 'valid_restarts']
>>> from ebm_course.recipes.images.chains import uniform
>>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
>>> for weights in net.parameters():
...     _ = torch.nn.init.zeros_(weights)
>>> batch = Batch(torch.ones(3, 1, 2, 2), y=torch.tensor([0, 0, 1]))
>>> step = make_step(Learner(net, SMOKE), Chains(langevin_steps(SMOKE), uniform(batch, 2)))
>>> log = step(batch, torch.Generator().manual_seed(0))  # a net of zeros: E is -log 2 everywhere
>>> [round(float(log[name]), 3) for name in ("cross_entropy", "e_data", "energy_gap", "sample_grad_norm")]
[0.693, -0.693, 0.0, 0.0]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Batch, Loss, Step
from ebm_course.objectives.contrastive import contrastive
from ebm_course.recipes.images import classifier
from ebm_course.recipes.images.chains import Chains, Sampler, class_gaussians, langevin_steps, pyld_steps
from ebm_course.recipes.images.gap_watch import GapWatch
from ebm_course.recipes.images.parts import Data, Learner, classification, data_of, evaluated, labels, train
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.runtime import Run
from ebm_course.training.batches import Draw


@dataclass(frozen=True)
class Config(classifier.Config):
    """The classifier's configuration and that of the energy term. Defaults: Yang and Ji (2021)."""

    energy_weight: float = 1.0  # of -log p(x) beside -log p(y | x)
    l2: float = 0.0  # anchor on the energies
    sampler: Callable[[Any], Sampler] = pyld_steps  # or langevin_steps: one inner step, and noise
    n_sampler_steps: int = 10  # M: each takes a gradient through the whole net
    n_inner_steps: int = 5  # N, of pyld_steps alone
    step_size: float = 0.2
    noise_std: float | None = 0.0  # of a chain's step; None: sqrt(2 step_size), the only choice that samples p
    max_grad_value: float | None = 1.0  # a pixel's gradient is clamped to it
    bounds: tuple[float, float] | None = (-1.0, 1.0)  # of a chain's pixels
    start: Callable[[Batch, int], Draw] = class_gaussians
    buffer_size: int = 10_000
    restart_probability: float = 0.05
    gap_limit: float = 1e3  # nats; healthy gaps on digits are below 1
    watch_every: int = 10  # updates between two looks at the gap
    restarts: int = 0  # times that a diverged run goes back to its last good state

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self,
            counts="n_inner_steps buffer_size watch_every",
            whole="n_sampler_steps restarts",
            positive="step_size gap_limit",
            not_negative="energy_weight l2",
            not_negative_or_none="noise_std",
            positive_or_none="max_grad_value",
            shares="restart_probability",
            functions="sampler start",
            intervals_or_none="bounds",
        )
        if self.buffer_size < self.batch_size:
            raise ValueError(
                f"buffer_size: expected {self.batch_size} or more, a chain for each row of a batch, got "
                f"{self.buffer_size}."
            )


SMALL: dict[str, Any] = {
    "sampler": langevin_steps,
    "step_size": 1.0,
    "noise_std": 0.01,
    "max_grad_value": None,
    "bounds": None,
    "buffer_size": 1_000,
}
"""What the notebook's presets change in the energy term: the chains of Grathwohl et al. (2020), half as many steps."""

TINY: dict[str, Any] = SMALL | {"n_sampler_steps": 2, "buffer_size": 32}

PAPER = Config(**classifier.FAST)
NOTEBOOK = Config(**classifier.SMALL, **SMALL)
SMOKE = Config(**classifier.TINY, **TINY)
PRESETS = {"paper": PAPER, "notebook": NOTEBOOK, "smoke": SMOKE}


def joint_loss(conditional: Loss, logits: Tensor, logits_of_samples: Tensor, *, weight: float, l2: float) -> Loss:
    """-log p(y | x) - weight log p(x), whose gradient is right where the samples follow p.

    Args:
        conditional: the loss of the classifier.
        logits: of data (N, K); E(x) = -logsumexp of them.
        logits_of_samples: (M, K).

    Returns:
        The loss; terms: the classifier's, ``e_data``, ``e_negative``, and ``energy_gap``, mean E(data) - mean
        E(samples): below 0 the net tells samples from data, chains colder than p end with a gap a little above.

    >>> loss = joint_loss(Loss(torch.tensor(0.5)), torch.tensor([[3.0]]), torch.tensor([[1.0]]), weight=1.0, l2=0.0)
    >>> float(loss.value), float(loss.terms["energy_gap"])  # E is -3 and -1
    (-1.5, -2.0)
    """
    marginal = contrastive(-logits.logsumexp(dim=1), -logits_of_samples.logsumexp(dim=1), l2=l2)
    terms = {name: marginal.terms[name] for name in ("e_data", "e_negative")}
    terms["energy_gap"] = terms["e_data"] - terms["e_negative"]
    return Loss(conditional.value + weight * marginal.value, {**conditional.terms, **terms})


def make_step(learner: Learner, chains: Chains) -> Step:
    """One update of -log p(x, y), with samples from ``chains``; several processes move all of them together."""
    config, run = learner.config, learner.run

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        x = learner.augmented(batch, generator)
        x0, slots = chains.start(len(batch), generator)  # 1 start
        samples = chains.sampler(learner.energy, x0, generator=generator)  # 2 negatives
        logits = learner.logits(clean=x, samples=samples.x)  # 3 objective
        conditional = classification(logits["clean"], run.share(labels(batch)))
        loss = joint_loss(conditional, logits["clean"], logits["samples"], weight=config.energy_weight, l2=config.l2)
        log = learner.descend(loss)  # 4 update
        chains.store(slots, samples.x)
        return log | {"sample_grad_norm": samples.info["grad_norm"].mean()}  # 5 log

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train ``config.net`` as a joint model.

    Returns:
        As the classifier's; rows also have the energies of data and samples, ``energy_gap``, ``sample_grad_norm``, the
        mean over chains of the largest norm met, and at a validation ``valid_energy_gap``, of held-out images and of
        the buffer, and ``valid_restarts``, how often the run has gone back so far.

    Raises:
        DivergedError: the gap left ``config.gap_limit``, or chains or energies are not finite, and no restart is left.
    """
    data = data_of(config, run)
    learner = Learner(config.net(data.shape, data.n_classes).to(run.device), config, run=run)
    chains = Chains.of(config, data, run)
    return train_watched(config, run, learner, data, chains, make_step(learner, chains), fit, folder, progress)


def train_watched(
    config: Config,
    run: Run,
    learner: Learner,
    data: Data,
    chains: Chains,
    step: Step,
    recipe: Callable[..., Fitted],
    folder: Path | None,
    progress: bool,
    also: Callable[[], Mapping[str, float]] = dict,
) -> Fitted:
    """Train with a watch on the energy gap; ``also`` gives more to report at a validation.

    >>> run = Run(torch.device("cpu"), 0)
    >>> data = data_of(SMOKE, run)
    >>> learner = Learner(SMOKE.net(data.shape, data.n_classes), SMOKE)
    >>> def step(batch, generator):
    ...     return {"energy_gap": torch.tensor(7e3)}
    >>> train_watched(
    ...     SMOKE, run, learner, data, Chains.of(SMOKE, data, run), step, fit, folder=None, progress=False
    ... )  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ebm_course.recipes.images.gap_watch.DivergedError: update 6: the largest energy gap, ... Lower step_size; ...
    """
    kept = {"net": learner.net, "optimizer": learner.optimizer, "buffer": chains.buffer}
    cause = (
        f"Langevin steps of step_size {config.step_size:g} are too long for how steep this energy has become, so that "
        f"chains overshoot. Lower step_size; restarts=1 goes back to the last good state instead."
    )
    limits: dict[str, Any] = {"limit": config.gap_limit, "every": config.watch_every, "restarts": config.restarts}
    watch = GapWatch(step, kept, **limits, cause=cause, last=config.n_steps, run=run)

    def measured(logits: Tensor) -> dict[str, float]:
        assert chains.buffer is not None
        of_samples = evaluated(learner.net, chains.buffer.states[: len(logits)])
        gap = of_samples.logsumexp(dim=1).mean() - logits.logsumexp(dim=1).mean()
        return {"energy_gap": float(gap), "restarts": float(watch.done), **also()}

    keep = {"buffer": chains.buffer, "watch": watch}
    options: dict[str, Any] = {"also": measured, "keep": keep, "folder": folder, "progress": progress}
    return train(config, run, learner, data, watch, recipe=recipe, **options)
