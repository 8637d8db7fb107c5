r"""A tagger that decides each token alone, by cross-entropy: the first of four recipes, each one change from the next.

.. math:: \min_\psi \; -\tfrac{1}{N} \sum_n \sum_t \log A_\psi(x_n)_t(y_{n,t})

Source: the first row of Table 2 of Tu, Pang and Gimpel (2020). What they leave unsaid is marked so, and taken from the
code of Tu and Gimpel (2018) where it says it.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_epochs=1)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> row = fitted.rows[-1]
>>> round(row["valid_error"] + row["valid_network_accuracy"], 6)
1.0
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Loss, Step
from ebm_course.objectives.tagging_terms import local_cross_entropy
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.recipes.structured.data import data_of, language, no_vectors, posts, tweets
from ebm_course.recipes.structured.decoding import Decoder, answered
from ebm_course.recipes.structured.parts import Learner, adam, encoder_of, train, validation
from ebm_course.runtime import Run
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.tasks.tagging import Tagging, gold_of
from ebm_course.tasks.vocabulary import Vocabulary


@dataclass(frozen=True)
class Config:
    """What is trained, on what, and how. The defaults are those of Tu, Pang and Gimpel (2020) on tweets."""

    task: Callable[..., Tagging] = tweets  # called with the run's seed
    vectors: Callable[[Vocabulary], Tensor | None] = no_vectors  # or glove_vectors, which stay fixed
    width: int = 100  # Section 6: of a token's vector. Ours are learned, with those of Brown clusters
    hidden: int = 100  # Section 6
    dropout: float = 0.0  # unsaid for tweets; 0.3 for entities
    batch_size: int = 10  # their code
    n_epochs: int = 500  # their code
    optimizer: Callable[..., torch.optim.Optimizer] = adam  # unsaid
    rate: float = 1e-3  # unsaid
    patience: int | None = None  # validations without a new best one, then training ends
    keep_best: bool = True  # the weights of the lowest validation error, or the last ones
    validate_every: int = 1  # epochs

    def __post_init__(self) -> None:
        check_ranges(
            self,
            counts="width hidden batch_size validate_every",
            counts_or_none="patience",
            whole="n_epochs",
            positive_finite="rate",
            shares_below_1="dropout",
            flags="keep_best",
            functions="task vectors optimizer",
        )


SMALL: dict[str, Any] = {"dropout": 0.3, "batch_size": 32, "n_epochs": 14, "rate": 2e-3}
"""What the presets for a CPU change on tweets, in all recipes: about a minute a run and recipe."""

ENTITIES: dict[str, Any] = {
    "task": posts,
    "hidden": 128,
    "dropout": 0.3,
    "n_epochs": 100,
    "rate": 5e-4,
    "patience": 10,
}
"""The paper's setting for entities, Section 6, on data that may be passed on."""

TOY: dict[str, Any] = {"task": language, "width": 24, "hidden": 24, "batch_size": 20, "n_epochs": 25, "rate": 1e-2}
"""What the notebook's presets change: the agreement language, small nets, seconds a run."""

TINY: dict[str, Any] = TOY | {"width": 6, "hidden": 6, "batch_size": 40, "n_epochs": 2}

PAPER = Config()
CPU = Config(**SMALL)
NER = Config(**ENTITIES)
NOTEBOOK = Config(**TOY)
SMOKE = Config(**TINY)
PRESETS = {"paper": PAPER, "cpu": CPU, "ner": NER, "notebook": NOTEBOOK, "smoke": SMOKE}


def make_step(learner: Learner) -> Step:
    """One update of the mean -log A(x)(y) of whole sentences; terms ``cross_entropy``, nats a token.

    >>> data = data_of(SMOKE, Run(torch.device("cpu"), 0))
    >>> nets, some = fresh_tagger(SMOKE, data), data.train[:8]
    >>> before = cross_entropy(nets.log_probabilities(some.x, some.y, some.mask)[0], some.y, some.mask).value
    >>> log = make_step(Learner(nets, adam(nets, rate=0.01)))(some, torch.Generator())
    >>> torch.allclose(log["loss"], before)
    True
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        share = learner.run.share(batch)
        gold, mask = gold_of(share)
        nets: Any = learner.net.train()
        log_a, _ = nets.log_probabilities(share.x, gold, mask)
        return learner.descend(cross_entropy(log_a, gold, mask))

    return step


def cross_entropy(log_a: Tensor, gold: Tensor, mask: Tensor) -> Loss:
    """The mean over sentences of the sum over tokens.

    >>> loss = cross_entropy(torch.full((1, 2, 4), 0.25).log(), torch.zeros(1, 2).long(), torch.ones(1, 2).bool())
    >>> round(float(loss.value), 3), round(float(loss.terms["cross_entropy"]), 3)
    (2.773, 1.386)
    """
    of_sentences = local_cross_entropy(log_a, gold, mask)
    return Loss(of_sentences.mean(), {"cross_entropy": of_sentences.detach().sum() / mask.sum()})


def fresh_tagger(config: Any, data: Any) -> InferenceNetworks:
    """A(x), a BiLSTM with a layer on top.

    >>> data = data_of(SMOKE, Run(torch.device("cpu"), 0))
    >>> nets = fresh_tagger(SMOKE, data)
    >>> nets.test_time(data.valid.x, data.valid.mask).shape == (*data.valid.x.shape[:2], data.n_tags)
    True
    """
    return InferenceNetworks(encoder_of(config, data), data.n_tags, parametrisation="single")


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train a BiLSTM on tags one by one.

    Returns:
        ``InferenceNetworks`` of one network; rows also have ``gradient_norm``, ``valid_error`` and
        ``valid_network_accuracy``, of entities ``valid_network_f1`` too.
    """
    data = data_of(config, run)
    nets: nn.Module = fresh_tagger(config, data).to(run.device)
    learner = Learner(nets, config.optimizer(nets, rate=config.rate), run=run)
    decoders = {"network": Decoder(answered(nets), data.valid)}  # type: ignore[arg-type]
    validate = validation(decoders, data.score, select="network")
    options: dict[str, Any] = {"keep": {"optimizer": learner.optimizer}, "folder": folder, "progress": progress}
    return train(config, run, nets, data, make_step(learner), validate, recipe=fit, **options)
