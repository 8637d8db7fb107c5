"""What the text recipes share: optimiser and rate, a classifier in training, its data, and the loop round a step.

It knows classifiers, texts and labels; no perturbation, no bank and no head.

>>> from ebm_course.recipes.text.finetune import SMOKE, fit, make_step
>>> data: Data = data_of(SMOKE, SINGLE_PROCESS)
>>> len(data.train), data.n_classes, data.train.x.shape[1] <= data.longest
(2000, 2, True)
>>> net = classifier_for(SMOKE, data, SINGLE_PROCESS)
>>> learner = Learner(net, SMOKE)
>>> passed: Passed = learner.passed(net.embed(data.valid.x[:3]), data.valid.mask[:3])
>>> passed.logits.shape, passed.sentence.shape
(torch.Size([3, 2]), torch.Size([3, 8]))
>>> options = {"recipe": fit, "folder": None, "progress": False}
>>> fitted = train(SMOKE, SINGLE_PROCESS, learner, data, make_step(learner), **options)
>>> loss, y = classification(evaluated(net, data.valid), labels(data.valid)), labels(data.valid)
>>> abs(float(loss.terms["accuracy"]) - max(row["valid_accuracy"] for row in fitted.rows)) < 1e-4  # the best is kept
True
>>> log_p = log_likelihood(classifier_of(fitted.module), y, data.valid.mask)(net.embed(data.valid.x))
>>> torch.allclose(evaluated(net, data.valid).log_softmax(dim=1)[range(len(y)), y], log_p, atol=1e-5)
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.checks import at_least_single
from ebm_course.core import Batch, Conditioned, Loss, Step
from ebm_course.energies.reconstruction_head import Reconstructing
from ebm_course.energies.text_energy import TextEnergy
from ebm_course.recipes.shared import Fitted, check_memory, check_rows, origin_of
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.tasks.text import Text, mask_of
from ebm_course.training import fit as loop
from ebm_course.training.length_batches import LengthBatches, trimmed
from ebm_course.training.update import adamw as decayed
from ebm_course.training.update import descend

ROWS_AT_ONCE = 250
"""Texts that are evaluated in one call."""

PRECISIONS = ("float32", "bfloat16")


def adamw(net: nn.Module, *, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW that decays matrices alone, as BERT-like encoders are fine-tuned.

    >>> optimizer = adamw(nn.Linear(2, 1), rate=1e-3, weight_decay=0.01)
    >>> [(list(group["params"][0].shape), group["weight_decay"]) for group in optimizer.param_groups]
    [([1, 2], 0.01), ([1], 0.0)]
    """
    return decayed(net, rate=rate, weight_decay=weight_decay, betas=(0.9, 0.999))


def rate_factor(i: int, config: Any) -> float:
    """Factor on the learning rate at update i: linear warm-up, then a linear way down to 0 at the end.

    >>> from types import SimpleNamespace
    >>> config = SimpleNamespace(n_steps=10, warm_up=2)
    >>> [round(rate_factor(i, config), 3) for i in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.125]
    """
    rise = (i + 1) / max(1, config.warm_up)
    fall = (config.n_steps - i) / max(1, config.n_steps - config.warm_up)
    return max(0.0, min(1.0, rise, fall))


class Passed(NamedTuple):
    """What a pass through the classifier gives: logits (N, K), states (N, L, H), sentences (N, H); in float32."""

    logits: Tensor
    states: Tensor
    sentence: Tensor


class Data(NamedTuple):
    """Rows on the run's device, and the task they are of."""

    train: Batch
    valid: Batch
    task: Text

    @property
    def n_classes(self) -> int:
        """K."""
        assert self.task.n_values is not None
        return self.task.n_values

    @property
    def longest(self) -> int:
        """Positions L of the longest text of any part."""
        return max(part.x.shape[1] for part in (self.task.train, self.task.valid, self.task.test))


def data_of(config: Any, run: Run) -> Data:
    """What a recipe's configuration trains on: ``config.task``, called with the run's seed.

    Raises:
        ValueError: there are fewer texts than a minibatch has, or a minibatch does not fit the memory.
    """
    task: Text = config.task(seed=run.seed)
    check_rows(train=task.train, valid=task.valid)
    n, length = task.train.x.shape
    if config.batch_size > n:
        raise ValueError(f"batch_size: expected {n} at most, which {task.name} has, got {config.batch_size}.")
    check_memory(config, run, batch_size=8 * length * config.batch_size)
    train, valid = (Batch(part.x, part.y, mask_of(part)).to(run.device) for part in (task.train, task.valid))
    return Data(train, valid, task)


def classifier_for(config: Any, data: Data, run: Run) -> TextEnergy:
    """A fresh net of the configuration, on the run's device."""
    net: TextEnergy = config.net(data.task.n_tokens, data.n_classes, max_length=data.longest)
    return net.to(run.device)


def classifier_of(module: nn.Module) -> TextEnergy:
    """The classifier in what a text recipe returned, without RAR's head."""
    found = module.classifier if isinstance(module, Reconstructing) else module
    assert isinstance(found, TextEnergy)
    return found


class Learner:
    """A classifier in training, and what else is trained with it.

    Args:
        module: trained; a classifier, or one with a head.
        config: of a recipe: its optimiser, the rate's fields, ``clip`` and ``precision`` are read.
        run: several processes take gradients of their share of the rows each.
    """

    def __init__(self, module: nn.Module, config: Any, *, run: Run = SINGLE_PROCESS):
        self.module, self.net, self.config, self.run = module, classifier_of(module), config, run
        self.optimizer = config.optimizer(module, rate=config.rate, weight_decay=config.weight_decay)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda i: rate_factor(i, config))

    def passed(self, embedded: Tensor, mask: Tensor) -> Passed:
        """A pass from embeddings of words (N, L, D), in training mode and in the configured precision."""
        self.module.train()
        in_16_bits = self.config.precision == "bfloat16"
        with torch.autocast(embedded.device.type, torch.bfloat16, enabled=in_16_bits):
            found = self.net.logits_and_states(embedded, mask)
        return Passed(*(t.float() for t in found)) if in_16_bits else Passed(*found)

    def descend(self, loss: Loss) -> dict[str, Tensor]:
        """One step along the gradients that are there; returns what is logged."""
        options: dict[str, Any] = {"clip": self.config.clip, "scheduler": self.schedule, "run": self.run}
        return descend(loss, self.module, self.optimizer, **options)


def labels(batch: Batch) -> Tensor:
    """The classes of a minibatch, (N,)."""
    if batch.y is None:
        raise ValueError("a classifier learns from labels (N,): got a batch without. Pass Batch(x, y, mask).")
    return batch.y


def classification(logits: Tensor, y: Tensor) -> Loss:
    """The mean of -log p(y | x), nats; terms ``cross_entropy`` and ``accuracy``."""
    value = F.cross_entropy(logits, y)
    right = (logits.detach().argmax(dim=1) == y).float().mean()
    return Loss(value, {"cross_entropy": value.detach(), "accuracy": right})


def log_likelihood(net: TextEnergy, y: Tensor, mask: Tensor) -> Conditioned:
    """Embeddings (N, L, D) -> log p(y | x), (N,): the energy in which an attack goes downhill."""

    def of(y: Tensor, mask: Tensor, embedded: Tensor) -> Tensor:
        logits = net.logits_and_states(embedded, mask)[0]
        return -F.cross_entropy(at_least_single(logits), y, reduction="none")

    return Conditioned(of, y, mask, module=net)


@torch.no_grad()
def evaluated(net: TextEnergy, batch: Batch) -> Tensor:
    """Logits (N, K) in eval mode, in float32, texts of like lengths together."""
    net.eval()
    order = batch.lengths.argsort(stable=True)
    parts = [trimmed(batch[rows]) for rows in order.split(ROWS_AT_ONCE)]
    logits = torch.cat([net(part.x, part.mask).float() for part in parts])
    return torch.empty_like(logits).index_copy_(0, order, logits)


def train(
    config: Any,
    run: Run,
    learner: Learner,
    data: Data,
    step: Step,
    *,
    recipe: Callable[..., Fitted],
    batches: LengthBatches | None = None,
    keep: Mapping[str, Any] | None = None,
    folder: Path | None,
    progress: bool,
) -> Fitted:
    """Go through ``config.n_steps`` updates on minibatches of about one length.

    Args:
        recipe: the ``fit`` that is running, which names what made the net.
        batches: where a recipe needs its own.
        keep: what changes in training beside the module, its optimiser and the rate.

    Returns:
        The module, the last one or with ``config.keep_best`` that of the highest validation accuracy, and rows with the
        means of what was logged; those of a validation also have ``valid_error``, ``valid_accuracy`` and ``valid_nll``.
    """

    def validate() -> dict[str, float]:
        found = data.task.score(evaluated(learner.net, data.valid), data.valid)
        return {"error": 1 - found["accuracy"], **found}

    last: dict[str, Any] = {}
    origin = origin_of(recipe, config, run, data={"train": data.train, "valid": data.valid})
    rows = loop.fit(
        step,
        batches or LengthBatches(data.train, config.batch_size, seed=run.seed),
        n_steps=config.n_steps,
        generator=run.generator(recipe.__module__.rpartition(".")[2]),
        validate=validate,
        validate_every=config.validate_every,
        keep={
            "module": learner.module,
            "optimizer": learner.optimizer,
            "schedule": learner.schedule,
            **(keep or {}),
        },
        keep_best=config.keep_best,
        last=last,
        log_every=config.validate_every,
        folder=folder,
        save_every=config.validate_every if folder is not None else 0,
        origin=origin,
        progress=progress,
        run=run,
    )
    return Fitted(learner.module.eval(), rows, last["module"] if config.keep_best else None, origin)
