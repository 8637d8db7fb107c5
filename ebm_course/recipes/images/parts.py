"""What the image recipes share: optimisers and their rate, a net in training, its data, and the loop round a step.

It knows nets, images and classes; no energy's chains and no attack.

>>> from ebm_course.recipes.images.classifier import SMOKE, fit, make_step
>>> data: Data = data_of(SMOKE, SINGLE_PROCESS)
>>> data.shape, data.n_classes
((1, 8, 8), 10)
>>> learner = Learner(SMOKE.net(data.shape, data.n_classes), SMOKE)
>>> fitted = train(
...     SMOKE, SINGLE_PROCESS, learner, data, make_step(learner), recipe=fit, folder=None, progress=False
... )
>>> loss = classification(evaluated(fitted.module, data.valid.x), labels(data.valid))
>>> abs(float(loss.value) - fitted.rows[-1]["valid_nll"]) < 1e-3
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.core import Batch, Energy, Loss, Step
from ebm_course.energies.joint import Joint
from ebm_course.recipes.images.passes import Passes, together
from ebm_course.recipes.shared import Fitted, check_memory, check_rows, origin_of
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.tasks.augmentation import augment
from ebm_course.tasks.image_checks import check_images, check_labels
from ebm_course.tasks.images import n_classes_of, shape_of
from ebm_course.training import fit as loop
from ebm_course.training.batches import Batches
from ebm_course.training.update import update

ROWS_AT_ONCE = 500
"""Images that are evaluated in one call."""


def adam(net: nn.Module, *, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Adam, as Grathwohl et al. (2020) train JEM.

    >>> optimizer = adam(nn.Linear(2, 1), rate=0.1, weight_decay=0.0)
    >>> type(optimizer).__name__, optimizer.param_groups[0]["lr"]
    ('Adam', 0.1)
    """
    return torch.optim.Adam(net.parameters(), lr=rate, weight_decay=weight_decay)


def sgd(net: nn.Module, *, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Descent with momentum 0.9, as Yang and Ji (2021) train JEM++.

    >>> sgd(nn.Linear(2, 1), rate=0.1, weight_decay=4e-4).param_groups[0]["momentum"]
    0.9
    """
    return torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, weight_decay=weight_decay)


def rate_factor(i: int, config: Any) -> float:
    """Factor on the learning rate at update i: linear warm-up, then ``decay`` for every milestone that was passed.

    >>> from types import SimpleNamespace
    >>> config = SimpleNamespace(n_steps=100, warm_up=4, milestones=(0.5, 0.75), decay=0.2)
    >>> [round(rate_factor(i, config), 3) for i in (0, 3, 49, 50, 75)]
    [0.25, 1.0, 1.0, 0.2, 0.04]
    """
    rise = min(1.0, (i + 1) / max(1, config.warm_up))
    return float(rise * config.decay ** sum(i >= share * config.n_steps for share in config.milestones))


class Data(NamedTuple):
    """Rows on the run's device, the shape (C, H, W) of an image, the number of classes, and the task's score."""

    train: Batch
    valid: Batch
    shape: tuple[int, int, int]
    n_classes: int
    score: Callable[[Tensor, Batch], dict[str, float]]


def data_of(config: Any, run: Run) -> Data:
    """The configuration's task, split by the run's seed.

    Raises:
        ValueError: its images leave [-1, 1], its labels are no classes, or rows and buffer do not fit the memory.
    """
    task = config.task(seed=run.seed)
    check_rows(train=task.train, valid=task.valid)
    for part in (task.train, task.valid):
        check_images(part.x)
        check_labels(labels(part), n_classes_of(task))
    shape = shape_of(task)
    image = 4 * shape[0] * shape[1] * shape[2]
    sizes = {"batch_size": image * config.batch_size}
    if "buffer_size" in vars(config):
        sizes["buffer_size"] = 4 * image * config.buffer_size  # its states and three tensors they are drawn from
    check_memory(config, run, **sizes)
    dtype = torch.get_default_dtype()  # that of the net's weights
    train, valid = (replace(part, x=part.x.to(dtype)).to(run.device) for part in (task.train, task.valid))
    return Data(train, valid, shape, n_classes_of(task), task.score)


class Learner:
    """A classifier in training, which is an energy too: what the steps of all four recipes do with it.

    Samplers and attacks see the net in eval mode and without gradients of its parameters (``core.frozen``); batch norm
    then uses its running statistics. Losses see it in training mode, all images in one call; with batch norm each kind
    of image passes alone, so that images and samples are normalised by their own statistics. Of several processes each
    then normalises by its own rows and running statistics are means over processes: one net, but not that of one
    process.

    Args:
        net: images (N, C, H, W) -> logits (N, K); trained.
        config: of a recipe: its ``precision``, ``compile``, ``channels_last`` are read, as are the rate's fields.
        run: several processes attack and score their share of the rows each.
    """

    def __init__(self, net: nn.Module, config: Any, *, run: Run = SINGLE_PROCESS):
        self.net, self.config, self.run = net, config, run
        options = {"precision": config.precision, "compiled": config.compile, "channels_last": config.channels_last}
        self.passes = Passes(net, **options)
        self.joint = Joint(self.passes)
        self.optimizer = config.optimizer(net, rate=config.rate, weight_decay=config.weight_decay)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda i: rate_factor(i, config))

    @property
    def energy(self) -> Energy:
        """E(x), for samplers."""
        return together(self.joint, self.run)

    def log_likelihood(self, y: Tensor) -> Energy:
        """x -> log p(y | x), for attacks."""
        return together(self.joint.log_likelihood(y), self.run)

    def augmented(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The images of a minibatch as training sees them."""
        config = self.config
        if not (config.pad or config.flip or config.image_noise_std):
            return batch.x
        options: dict[str, Any] = {"pad": config.pad, "flip": config.flip, "noise_std": config.image_noise_std}
        return augment(batch.x, **options, generator=generator)

    def logits(self, **images: Tensor) -> dict[str, Tensor]:
        """Logits with a graph, of this process's share of each kind of images, by the names they were given."""
        self.passes.train()
        shares = [self.run.share(x) for x in images.values()]
        if self.passes.rows_mix():
            return {name: self.joint.logits(x) for name, x in zip(images, shares, strict=True)}
        joined = self.joint.logits(torch.cat(shares)).split([len(x) for x in shares])
        return dict(zip(images, joined, strict=True))

    def descend(self, loss: Loss) -> dict[str, Tensor]:
        """One step down the loss; returns what is logged."""
        log = update(loss, self.net, self.optimizer, scheduler=self.schedule, run=self.run)
        self.run.average_buffers(self.net)
        return log


def labels(batch: Batch) -> Tensor:
    """The classes of a minibatch, (N,)."""
    if batch.y is None:
        raise ValueError("a classifier learns from labels (N,): got a batch without. Pass Batch(x, y).")
    return batch.y


def classification(logits: Tensor, y: Tensor) -> Loss:
    """The mean of -log p(y | x), nats; terms ``cross_entropy`` and ``accuracy``."""
    value = F.cross_entropy(logits, y)
    right = (logits.detach().argmax(dim=1) == y).float().mean()
    return Loss(value, {"cross_entropy": value.detach(), "accuracy": right})


@torch.no_grad()
def evaluated(net: nn.Module, x: Tensor) -> Tensor:
    """Logits (N, K) in eval mode, in float32."""
    net.eval()
    return torch.cat([net(part).float() for part in x.split(ROWS_AT_ONCE)])


def in_parts(move: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """``move`` of images and their classes, some hundred at once.

    >>> in_parts(lambda x, y: x * y[:, None], torch.ones(3, 2), torch.arange(3)).sum(dim=1)
    tensor([0., 2., 4.])
    """
    pairs = zip(x.split(ROWS_AT_ONCE), y.split(ROWS_AT_ONCE), strict=True)
    return torch.cat([move(some, of) for some, of in pairs])


def train(
    config: Any,
    run: Run,
    learner: Learner,
    data: Data,
    step: Step,
    *,
    recipe: Callable[..., Fitted],
    also: Callable[[Tensor], Mapping[str, float]] | None = None,
    keep: Mapping[str, Any] | None = None,
    folder: Path | None,
    progress: bool,
) -> Fitted:
    """Go through ``config.n_steps`` updates.

    Args:
        recipe: the ``fit`` that is running, which names what made the net.
        also: logits of the validation images -> more to report at a validation.
        keep: what changes in training beside the net, its optimiser and the rate.

    Returns:
        The net, the last one or with ``config.keep_best`` that of the lowest ``valid_nll``, and rows with the means of
        what was logged; those of a validation also have ``valid_nll``, nats, and ``valid_accuracy``.
    """

    def validate() -> dict[str, float]:
        logits = evaluated(learner.net, data.valid.x)
        found = data.score(logits, data.valid)
        return {"nll": found["nll"], "accuracy": found["accuracy"], **(also(logits) if also else {})}

    last: dict[str, Any] = {}
    origin = origin_of(recipe, config, run, data={"train": data.train, "valid": data.valid})
    rows = loop.fit(
        step,
        Batches(data.train, config.batch_size, seed=run.seed),
        n_steps=config.n_steps,
        generator=run.generator(recipe.__module__.rpartition(".")[2]),
        validate=validate,
        validate_every=config.validate_every,
        keep={"net": learner.net, "optimizer": learner.optimizer, "schedule": learner.schedule, **(keep or {})},
        keep_best=config.keep_best,
        last=last,
        log_every=max(1, config.validate_every // 4),
        folder=folder,
        save_every=config.validate_every if folder is not None else 0,
        origin=origin,
        progress=progress,
        run=run,
    )
    return Fitted(learner.net.eval(), rows, last["net"] if config.keep_best else None, origin)
