r"""A chain of tags by maximum likelihood. One change to ``bilstm``: tags are scored together, and Z is exact.

.. math:: -\log p(y \mid x) = E(x, y) + \log Z(x), \qquad \log Z(x) = \log \sum_{y'} e^{-E(x, y')}

The energy is that of Eq. 7 of Tu, Pang and Gimpel (2020), whose best tags and whose Z are known exactly, so that its
tagger is what networks that do inference are compared with. Source: Lafferty, McCallum and Pereira (2001).

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_epochs=1)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> [name for name in fitted.rows[-1] if name.startswith("valid")]
['valid_error', 'valid_exact_accuracy', 'valid_exact_fillers', 'valid_exact_closers']
>>> type(fitted.module.encoder).__name__  # its features see each word alone, as the notebook's do
'WordEncoder'
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ebm_course.core import Batch, Loss, Step
from ebm_course.recipes.shared import Fitted, a_recipe
from ebm_course.recipes.structured import bilstm
from ebm_course.recipes.structured.data import data_of
from ebm_course.recipes.structured.parts import Learner, chain_energy_of, exact_decoder, train, validation
from ebm_course.runtime import Run
from ebm_course.samplers.forward_algorithm import log_partition
from ebm_course.tasks.tagging import gold_of

SEEN = ("sentence", "word")


@dataclass(frozen=True)
class Config(bilstm.Config):
    """The BiLSTM's configuration: what is trained is the energy."""

    energy_sees: Literal["sentence", "word"] = "sentence"  # what its features read, a BiLSTM or each word alone

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.energy_sees not in SEEN:
            raise ValueError(f"energy_sees: expected one of {', '.join(SEEN)}, got {self.energy_sees!r}.")


TOY: dict[str, Any] = bilstm.TOY | {"energy_sees": "word"}
"""With a BiLSTM below it a chain of the agreement language would look as if it knew what that has read."""

TINY: dict[str, Any] = bilstm.TINY | {"energy_sees": "word"}


PAPER = Config()
CPU = Config(**bilstm.SMALL)
NER = Config(**bilstm.ENTITIES)
NOTEBOOK = Config(**TOY)
SMOKE = Config(**TINY)
PRESETS = {"paper": PAPER, "cpu": CPU, "ner": NER, "notebook": NOTEBOOK, "smoke": SMOKE}


def make_step(learner: Learner) -> Step:
    """One update of the mean -log p(y | x); terms ``e_data`` and ``log_z``, means over sentences.

    >>> data = data_of(SMOKE, Run(torch.device("cpu"), 0))
    >>> energy = chain_energy_of(SMOKE, data)
    >>> for weights in energy.parameters():
    ...     _ = torch.nn.init.zeros_(weights)
    >>> log = make_step(Learner(energy, SMOKE.optimizer(energy, rate=0.01)))(data.train[:1], torch.Generator())
    >>> n_tokens = int(data.train[:1].mask.sum())
    >>> abs(float(log["loss"]) / n_tokens - torch.tensor(7.0).log().item()) < 1e-4  # each of 7 tags is as likely
    True
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        share = learner.run.share(batch)
        gold, mask = gold_of(share)
        energy: Any = learner.net.train()
        unary = energy.unary(share.x, mask)
        e = energy.from_unary(unary, mask, gold)
        log_z = log_partition(unary, energy.transitions, mask)
        terms = {"e_data": e.detach().mean(), "log_z": log_z.detach().mean()}
        return learner.descend(Loss((e + log_z).mean(), terms))

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train a chain by its exact likelihood.

    Returns:
        ``Spen``; rows as the BiLSTM's, of the exact decoding: ``valid_exact_accuracy`` and the like.
    """
    data = data_of(config, run)
    energy = chain_energy_of(config, data).to(run.device)
    learner = Learner(energy, config.optimizer(energy, rate=config.rate), run=run)
    validate = validation({"exact": exact_decoder(energy, data.valid)}, data.score, select="exact")
    options: dict[str, Any] = {"keep": {"optimizer": learner.optimizer}, "folder": folder, "progress": progress}
    return train(config, run, energy, data, make_step(learner), validate, recipe=fit, **options)
