r"""FreeLB: the classifier also meets perturbed embeddings. One change to ``finetune``: the passes of an update.

.. math:: \min_\theta \; \tfrac{1}{n} \sum_{t < n} L_C(e + \delta_t; \theta), \qquad
    \delta_{t+1} = \Pi_\epsilon [ \delta_t + \alpha \, \nabla_\delta L_C / \| \nabla_\delta L_C \|_2 ]

The gradient that moves delta is there once that of the parameters is: n passes, each forward and backward once, with
one dropout mask. With noise at the start the clean input is never seen; ``clean_pass`` adds it to the mean.
Source: Zhu et al. (2020), Algorithm 1; settings: Qiu, Zhang and Zhou, Table 1, SST-2.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_steps=4, validate_every=2)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> ["rise" in row for row in fitted.rows]
[True, True]
>>> replace(SMOKE, noise_size=0.0, clean_pass=True)
Traceback (most recent call last):
ValueError: clean_pass: expected False where noise_size is 0, for the first pass is clean already, got True.
>>> run = Run(torch.device("cpu"), 0)
>>> data = data_of(SMOKE, run)
>>> net = classifier_for(SMOKE, data, run)
>>> before, generator = net.word_embedding.weight.detach().clone(), torch.Generator().manual_seed(0)
>>> log = make_step(Learner(net, SMOKE))(data.train[:8], generator)
>>> sorted(log), torch.equal(net.word_embedding.weight, before)
(['accuracy', 'cross_entropy', 'gradient_norm', 'loss', 'rise'], False)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebm_course.core import Batch, Loss, Step
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.recipes.text import finetune
from ebm_course.recipes.text.parts import Learner, Passed, classification, classifier_for, data_of, labels, train
from ebm_course.runtime import Run
from ebm_course.tasks.text import mask_of
from ebm_course.training.freelb import freelb, same_dropout


@dataclass(frozen=True)
class Config(finetune.Config):
    """The classifier's configuration and that of the perturbation. Defaults: Table 1, SST-2."""

    n_passes: int = 2  # n: n - 1 ascents
    step_size: float = 0.1  # alpha, length of an ascent of a sentence
    noise_size: float = 0.6  # gamma: the start's length is about 0.58 of it
    radius: float = 0.0  # eps, the largest length of a perturbation; 0: no limit
    clean_pass: bool = False  # whether the mean has the clean input too; where noise_size is 0, the first pass is it

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, counts="n_passes", not_negative="step_size noise_size radius")
        if self.clean_pass and not self.noise_size:
            raise ValueError(
                "clean_pass: expected False where noise_size is 0, for the first pass is clean already, got True."
            )


SMALL: dict[str, Any] = {"step_size": 0.02, "noise_size": 0.1}
"""What the notebook's presets change: embeddings from scratch are short, a sentence about 0.8 long where a pretrained
encoder has 5 and more, so that a perturbation of 0.1 would hide its words."""

PAPER = Config()
CPU = Config(**finetune.REVIEWS)
PRETRAINED = Config(**finetune.MINILM)
NOTEBOOK = Config(**finetune.SMALL, **SMALL)
SMOKE = Config(**finetune.TINY, **SMALL)
PRESETS = {"paper": PAPER, "cpu": CPU, "minilm": PRETRAINED, "notebook": NOTEBOOK, "smoke": SMOKE}

Also = Callable[[Passed, Passed | None, Batch], Loss]
"""What a recipe adds to the loss: of the last pass, the clean one where it was asked for, and the rows."""


class Climbed(NamedTuple):
    """The loss whose gradients an update has added up, the last pass, and the clean one where it was asked for.

    >>> passed = Passed(torch.zeros(1, 2), torch.zeros(1, 3, 8), torch.zeros(1, 8))
    >>> Climbed(Loss(torch.tensor(0.5)), last=passed, clean=None).last.logits.shape
    torch.Size([1, 2])
    """

    loss: Loss
    last: Passed
    clean: Passed | None


def climb(
    learner: Learner, batch: Batch, generator: torch.Generator, *, also: Also | None = None, clean: bool = False
) -> Climbed:
    """Add up the gradients of the mean L_C over all passes; no step is made yet.

    Args:
        learner: its gradients are set to 0 first.
        batch: all rows, of which this process takes its share.
        also: a term beside the last pass's L_C. No ascent follows that pass, so that none is steered by the term.
        clean: whether ``also`` needs the pass without a perturbation. Its graph is kept until the last pass: where the
            noise is 0 it is the first pass, whose ascent then costs a gradient of its own, else a pass more.

    Returns:
        The loss; terms ``cross_entropy`` and ``accuracy``, means over passes of L_C, ``rise``, L_C of the last minus
        that of the first, and those of ``also``.

    >>> from dataclasses import replace
    >>> config, run = replace(SMOKE, noise_size=0.0), Run(torch.device("cpu"), 0)
    >>> data = data_of(config, run)
    >>> learner = Learner(classifier_for(config, data, run), config)
    >>> found: Climbed = climb(learner, data.train[:8], torch.Generator(), clean=True)
    >>> bool(found.loss.terms["rise"] > 0), found.last.logits.shape  # one ascent, then the last pass
    (True, torch.Size([8, 2]))
    >>> clean = classification(found.clean.logits, labels(data.train[:8]))
    >>> torch.allclose(clean.value + found.loss.terms["rise"] / 2, found.loss.value)  # the mean over both passes
    True
    """
    config, run = learner.config, learner.run
    share = run.share(batch)
    y, mask = labels(share), mask_of(share)
    learner.optimizer.zero_grad(set_to_none=True)
    whole = learner.net.embed(batch.x)
    words = run.share(whole)
    leaf = words.detach().requires_grad_()  # the table gets its gradient once, at the end
    restore = same_dropout(leaf.device)
    n = config.n_passes + config.clean_pass
    losses: list[Loss] = []
    held: list[Tensor] = []  # what goes down together with the last pass
    without: Passed | None = None

    def passed(embedded: Tensor) -> tuple[Passed, Tensor]:
        restore()
        found = learner.passed(embedded, mask)
        losses.append(classification(found.logits, y))
        return found, losses[-1].value / n

    # 1. the clean pass, where it is none of the others
    if config.noise_size and (config.clean_pass or clean):
        without, value = passed(leaf)
        if not config.clean_pass:
            losses.pop()
        elif clean:
            held.append(value)
        else:
            value.backward()
    # 2. the passes of FreeLB; each but the last leaves in delta.grad where the next one goes
    sizes = {name: getattr(config, name) for name in ("n_passes", "step_size", "noise_size", "radius")}
    perturbations = freelb(whole.detach(), mask_of(batch), **sizes, generator=generator, run=run)
    for i, delta in enumerate(perturbations):
        last, value = passed(leaf + delta)
        if i == config.n_passes - 1:
            held.append(value)
        elif clean and without is None:
            without = last
            held.append(value)
            (delta.grad,) = torch.autograd.grad(value, delta, retain_graph=True)
        else:
            value.backward()
    # 3. what the recipe adds, and all that was held back
    terms = _terms(losses)
    total = torch.stack([loss.value.detach() for loss in losses]).sum() / n
    if also is not None:
        added = also(last, without, share)
        held.append(added.value)
        terms |= added.terms
        total = total + added.value.detach()
    torch.stack(held).sum().backward()
    assert leaf.grad is not None
    words.backward(leaf.grad)
    return Climbed(Loss(total, terms), last, without)


def _terms(losses: list[Loss]) -> dict[str, Tensor]:
    means = {name: torch.stack([loss.terms[name] for loss in losses]).mean() for name in losses[0].terms}
    return means | {"rise": losses[-1].terms["cross_entropy"] - losses[0].terms["cross_entropy"]}


def make_step(learner: Learner) -> Step:
    """One update along the gradient of the mean loss over n passes."""

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        return learner.descend(climb(learner, batch, generator).loss)

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train ``config.net`` on perturbed embeddings; rows as the classifier's, and ``rise``."""
    data = data_of(config, run)
    learner = Learner(classifier_for(config, data, run), config, run=run)
    options: dict[str, Any] = {"folder": folder, "progress": progress}
    return train(config, run, learner, data, make_step(learner), recipe=fit, **options)
