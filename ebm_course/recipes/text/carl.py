r"""CARL: clean and perturbed sentences close, those of other labels apart. One change to ``freelb``: a contrast.

.. math:: \min_\theta \; L_C + w_d (L_D^a + L_D^o), \qquad
    L_D^a = -\log \frac{h(R^{adv}, R)}{h(R^{adv}, R) + \sum_j h(R^{adv}, B^{orig}_j)}, \quad
    h(x, z) = e^{x \cdot z / \tau}

and L_D^o with the two exchanged. Negatives come from two memory banks with a row for each text. ``contrast_after``
updates go by before L_D is used, in the last epoch of which the banks are filled. Where these are no whole epochs, some
rows are not met in that time: they become negatives once they are. L_D is that of the last perturbation, which no
ascent follows: the attack climbs L_C alone.

A row of the whole bank is an epoch old on average half: while the encoder moves, all present sentences can leave all
old ones behind together, and end in one place. ``freshness`` = k takes negatives of the last k updates alone, which
are where sentences are now.
Source: Qiu, Zhang and Zhou, Section 3.2; Tian, Krishnan and Isola (2020). Departure: sentences have norm 1 in L_D, as
theirs, without which e^(x.x / tau) says nothing; of a data set larger than needed, one draw of rows serves a batch.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, contrast_after=1, n_steps=2, validate_every=1)
>>> data = data_of(config, run := Run(torch.device("cpu"), 0))
>>> batches = NumberedBatches(data.train, 8, seed=0)
>>> isinstance(batch := batches[0], Numbered) and torch.equal(batch.y, data.train.y[batch.rows])
True
>>> net, given = classifier_for(config, data, run), labels(data.train)
>>> contrast = Contrast(given, net.width, config, n_classes=2, fill_from=0)
>>> step, generator = make_step(Learner(net, config), contrast), torch.Generator().manual_seed(0)
>>> ["pair" in step(batches[i], generator) for i in range(2)], contrast.updates
([False, True], 2)
>>> ["pair" in row for row in fit(config, run, progress=False).rows]
[False, True]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ebm_course.core import Batch, Loss, Step
from ebm_course.objectives.frozen_nce_in_pieces import frozen_nce_in_pieces
from ebm_course.objectives.info_nce import Normaliser, frozen_nce, info_nce
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.recipes.text import finetune, freelb
from ebm_course.recipes.text.freelb import climb
from ebm_course.recipes.text.parts import Learner, Passed, classifier_for, data_of, labels, train
from ebm_course.runtime import Run
from ebm_course.samplers.memory_bank import MemoryBank
from ebm_course.training.length_batches import LengthBatches

ESTIMATORS = ("nce", "softmax")


@dataclass(frozen=True)
class Config(freelb.Config):
    """FreeLB's configuration and that of the contrast. Defaults: Section 4.3 and Table 3, SST-2."""

    contrast_weight: float = 1.0  # w_d, Eq. 6
    contrast_after: int = 6_315  # Table 3: updates before L_D is used
    temperature: float = 0.07  # tau
    momentum: float = 0.5  # M of both banks
    n_negatives: int = 16_000  # m of each anchor, or as many as there are
    freshness: Literal["bank"] | int = "bank"  # rows of any age, as in the paper, or of the last k updates alone
    estimator: Literal["nce", "softmax"] = "nce"  # Section 3.2: NCE in the place of the exact softmax
    bank_bytes: float = 256e6  # the largest copy of rows of a bank, where not all of it is used

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self,
            counts="n_negatives",
            whole="contrast_after",
            positive="temperature bank_bytes",
            not_negative="contrast_weight",
            shares_below_1="momentum",
        )
        if self.freshness != "bank" and not (type(self.freshness) is int and self.freshness >= 1):
            hint = "expected 'bank', the paper's, or a whole number of updates, 1 or more"
            raise ValueError(f"freshness: {hint}, got {self.freshness!r}.")
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"estimator: expected one of {', '.join(ESTIMATORS)}, got {self.estimator!r}.")
        if not self.noise_size and self.n_passes < 2:
            raise ValueError("n_passes: expected 2 or more where noise_size is 0, for the first pass is clean, got 1.")


REVIEWS: dict[str, Any] = {"contrast_after": 432}  # two epochs of film reviews: the second fills the banks
SMALL: dict[str, Any] = {"contrast_after": 124}  # two epochs of the embedded language: one to fill the banks
TINY: dict[str, Any] = {"contrast_after": 3}

PAPER = Config()
CPU = Config(**finetune.REVIEWS, **REVIEWS)
PRETRAINED = Config(**finetune.MINILM, **REVIEWS)
NOTEBOOK = Config(**finetune.SMALL, **freelb.SMALL, **SMALL)
SMOKE = Config(**finetune.TINY, **freelb.SMALL, **TINY)
PRESETS = {"paper": PAPER, "cpu": CPU, "minilm": PRETRAINED, "notebook": NOTEBOOK, "smoke": SMOKE}


@dataclass(frozen=True, eq=False)
class Numbered(Batch):
    """A minibatch that says which rows of the data it holds, int64 (N,)."""

    rows: Tensor | None = None


class NumberedBatches(LengthBatches):
    """Minibatches of like lengths that say which rows they hold."""

    def __getitem__(self, i: int) -> Numbered:
        batch = super().__getitem__(i)
        return Numbered(batch.x, batch.y, batch.mask, self.rows(i).to(batch.x.device))


class Contrast:
    """L_D: two memory banks of clean and of perturbed sentences, the normaliser of each direction, and the updates.

    Args:
        y: labels of all rows of the data, (n_rows,), int64.
        width: of a sentence.
        config: of the recipe.
        n_classes: K; of M rows drawn, about (K - 1) / K have another label than an anchor.
        fill_from: the update from which the banks are filled.
    """

    def __init__(self, y: Tensor, width: int, config: Config, *, n_classes: int, fill_from: int):
        if n_classes < 2:
            raise ValueError(f"n_classes: expected 2 or more, got {n_classes}: negatives differ in label. Use freelb.")
        self.config, self.fill_from, self.updates = config, fill_from, 0
        self.clean, self.perturbed = (MemoryBank(len(y), width, labels=y, momentum=config.momentum) for _ in range(2))
        self.of_perturbed, self.of_clean = Normaliser(y.device), Normaliser(y.device)
        self.n_drawn = math.ceil(config.n_negatives * n_classes / (n_classes - 1))

    @property
    def filling(self) -> bool:
        """Whether sentences are stored at this update."""
        return self.updates >= self.fill_from

    @property
    def used(self) -> bool:
        """Whether L_D is a part of this update's loss."""
        return self.updates >= self.config.contrast_after

    def loss(self, last: Passed, clean: Passed | None, y: Tensor, n: int, generator: torch.Generator) -> Loss:
        """w_d (L_D^a + L_D^o); terms of both, ``pair`` and ``others``, mean cosines of pairs and of negatives.

        Args:
            y: labels of the rows of both passes.
            n: rows that an update stores.
        """
        assert clean is not None
        r_adv, r = normalize(last.sentence, dim=1), normalize(clean.sentence, dim=1)
        pair = (r_adv * r).sum(dim=1)
        losses = self._both(pair, r_adv, r, y, self._rows(n, generator))
        terms = {"contrast_perturbed": losses[0].value.detach(), "contrast_clean": losses[1].value.detach()}
        terms |= {"pair": losses[0].terms["positive"], "others": losses[0].terms["negative"]}
        return Loss(self.config.contrast_weight * (losses[0].value + losses[1].value), terms)

    def _rows(self, n: int, generator: torch.Generator) -> Tensor | None:
        """The rows that are looked at; None: all, whose product needs no copy."""
        if self.config.freshness != "bank":
            return self.clean.newest(min(self.config.freshness * n, self.n_drawn))
        return None if self.n_drawn >= len(self.clean) else self.clean.draw(self.n_drawn, generator=generator)

    def _both(self, pair: Tensor, r_adv: Tensor, r: Tensor, y: Tensor, rows: Tensor | None) -> list[Loss]:
        """L_D^a and L_D^o; both banks are written together, so that one look at labels and ages serves both.

        With both normalisers frozen, NCE reads the banks piece by piece and makes no table of similarities.
        """
        config = self.config
        of: dict[str, Any] = {"rows": rows, "last_k": None if config.freshness == "bank" else config.freshness}
        sides = ((r_adv, self.clean, self.of_perturbed), (r, self.perturbed, self.of_clean))
        tau, max_bytes = config.temperature, config.bank_bytes
        if config.estimator == "nce" and self.of_perturbed.known and self.of_clean.known:
            kinds, counted = self.clean.kinds_of(y, **of)
            among: dict[str, Any] = {"kinds": kinds, "counted": counted, "n_rows": len(self.clean), "temperature": tau}
            return [
                frozen_nce_in_pieces(pair, a, bank.pieces(rows, max_bytes=max_bytes), log_z=z.value, **among)
                for a, bank, z in sides
            ]
        options: dict[str, Any] = {"mask": self.clean.negatives_of(y, **of), "temperature": tau}
        scores = [bank.scores(a, rows, max_bytes=max_bytes) for a, bank, _ in sides]
        if config.estimator == "softmax":
            return [info_nce(pair, s, **options) for s in scores]
        pairs = zip(scores, sides, strict=True)
        return [frozen_nce(pair, s, **options, normaliser=z, n_rows=len(bank)) for s, (_, bank, z) in pairs]

    def store(self, rows: Tensor, clean: Tensor, perturbed: Tensor) -> None:
        """Mix the sentences (N, H) of an update into their rows of both banks."""
        self.clean.update(rows, clean)
        self.perturbed.update(rows, perturbed)

    def state_dict(self) -> dict[str, Any]:
        """Banks, without the labels that the run's origin knows, normalisers and updates."""
        state = {name: getattr(self, name).state_dict() for name in ("clean", "perturbed", "of_clean", "of_perturbed")}
        del state["clean"]["labels"], state["perturbed"]["labels"]
        return {"updates": self.updates, **state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; changes the banks."""
        self.updates = state["updates"]
        for name in state.keys() - {"updates"}:
            getattr(self, name).load_state_dict(state[name])


def make_step(learner: Learner, contrast: Contrast) -> Step:
    """One update of FreeLB with L_D at its last pass, once its time has come; then the banks are brought up to date."""
    run = learner.run
    contrast.of_clean.gather = contrast.of_perturbed.gather = run.gather  # one log Z of the rows of all processes

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        if not isinstance(batch, Numbered) or batch.rows is None:
            raise TypeError(
                f"a memory bank has to know which rows a minibatch holds: got a {type(batch).__name__} without "
                "numbers. Use NumberedBatches."
            )

        def between(last: Passed, clean: Passed | None, rows: Batch) -> Loss:
            return contrast.loss(last, clean, labels(rows), len(batch), generator)

        also = between if contrast.used else None
        found = climb(learner, batch, generator, also=also, clean=contrast.filling)
        log = learner.descend(found.loss)
        if found.clean is not None and contrast.filling:
            contrast.store(batch.rows, *(run.gather(p.sentence.detach()) for p in (found.clean, found.last)))
        contrast.updates += 1
        return log

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train ``config.net`` with a contrast.

    Returns:
        The classifier. Rows also have, once L_D is used, its two halves and the mean cosines ``pair`` and ``others``.
    """
    data = data_of(config, run)
    net = classifier_for(config, data, run)
    learner = Learner(net, config, run=run)
    batches = NumberedBatches(data.train, config.batch_size, seed=run.seed)
    fill_from = max(0, config.contrast_after - batches.steps_per_epoch)
    contrast = Contrast(labels(data.train), net.width, config, n_classes=data.n_classes, fill_from=fill_from)
    options: dict[str, Any] = {"batches": batches, "keep": {"contrast": contrast}}
    options |= {"folder": folder, "progress": progress}
    return train(config, run, learner, data, make_step(learner, contrast), recipe=fit, **options)
