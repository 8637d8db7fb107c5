"""How good images are to a judge, and what a reader can compare that with. It knows images and a judge, no energy.

>>> from torch import nn
>>> generator, y, judge = torch.Generator().manual_seed(0), torch.arange(60) % 3, nn.Flatten()
>>> judge.features = nn.Flatten()  # it sees the pixels
>>> held_out, train = (2 * torch.rand(n, 1, 2, 2, generator=generator) - 1 for n in (30, 60))
>>> reference = Reference(judge, held_out, train)
>>> itself = reference.quality(held_out)
>>> abs(itself["distance"]) < 1e-4, itself["recall"], itself["nearest"]
(True, 1.0, 1.0)
>>> found = anchors(Batch(train, y), ClassGaussians.fit(train, y, 3), n=30, generator=generator)
>>> list(found), reference.quality(found["train"])["nearest"]
(['train', 'paler', 'gaussians', 'means', 'noise'], 0.0)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Batch
from ebm_course.metrics.image_quality import classifier_score, frechet_distance, nearest_ratio, precision_recall
from ebm_course.recipes.images.parts import ROWS_AT_ONCE, evaluated, labels
from ebm_course.samplers.class_gaussians import ClassGaussians
from ebm_course.tasks.image_checks import check_images

MOST_TRAINED_ON = 10_000
"""Training images among which the nearest is looked for, the first ones: with more it is nearer, for all alike."""
PALER = 0.8
"""Factor of the anchor that is real but for its contrast."""


class Reference:
    """A judge and the held-out images that it compares others with.

    Args:
        judge: images -> logits, with ``features``; no sample was drawn from it.
        held_out: images (N, C, H, W) that neither judge nor arms were trained on, N above the number of features.
        train: those the arms were trained on (T, C, H, W).

    Raises:
        ValueError: images out of [-1, 1], in which those that are judged are clamped.
    """

    def __init__(self, judge: Any, held_out: Tensor, train: Tensor):
        for x in (held_out, train):
            check_images(x)
        self.judge, self.held_out, self.train = judge, held_out, train[:MOST_TRAINED_ON]
        self.real = self.features(held_out)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """The judge's (N, D)."""
        return torch.cat([self.judge.features(part).float() for part in x.split(ROWS_AT_ONCE)])

    def quality(self, x: Tensor, *, nearest: bool = True) -> dict[str, float]:
        """``distance``, ``score``, ``precision``, ``recall`` and ``nearest`` of images, of which pixels are clamped.

        Args:
            x: as many as are held out, lest distances be those of other sizes. Their range is not asked for: a net may
                make bright images without a pixel below 0, and pixels that leave [-1, 1].
            nearest: whether to look for the nearest training images too.

        Raises:
            ValueError: another number of images.
        """
        if len(x) != len(self.held_out):
            raise ValueError(f"sets of one size are compared: expected {len(self.held_out)} images, got {len(x)}.")
        x = x.clamp(-1, 1)
        features = self.features(x)
        found = {"distance": frechet_distance(self.real, features), "score": classifier_score(evaluated(self.judge, x))}
        found |= precision_recall(self.real, features)
        if nearest:
            found["nearest"] = nearest_ratio(x, self.train, self.held_out)
        return found


def anchors(train: Batch, gaussians: ClassGaussians, n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Images that no energy made, n of each kind, by name.

    ``train``: real ones, trained on; ``paler``: the same with less contrast; ``gaussians``: one Gaussian a class, where
    chains start; ``means``: of the classes; ``noise``: uniform.
    """
    rows = torch.randperm(min(len(train), MOST_TRAINED_ON), generator=generator, device=train.x.device)[:n]
    if len(rows) < n:
        raise ValueError(f"anchors are as many as samples: expected {n} training images or more, got {len(rows)}.")
    y = labels(train)[rows]
    noise = 2 * torch.rand(n, *train.x.shape[1:], generator=generator, device=train.x.device) - 1
    return {
        "train": train.x[rows],
        "paler": PALER * train.x[rows],
        "gaussians": gaussians.sample(y, generator=generator),
        "means": gaussians.means[y],
        "noise": noise,
    }
