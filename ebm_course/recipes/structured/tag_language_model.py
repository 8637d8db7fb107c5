r"""A language model of tags by maximum likelihood, the global term of an energy before there is one.

.. math:: \min \; -\tfrac{1}{N} \sum_n \sum_{t=1}^{T+1} \log \bigl(y_{n,t}^\top \bar y_{n,t}\bigr)

Tu and Gimpel (2018) train their global term so, on tags of their tagger, and hold it fixed. Tu, Pang and Gimpel (2020)
learn it with the energy instead. Source: Eq. 8 of the latter.

>>> from dataclasses import replace
>>> config: Config = replace(SMOKE, n_epochs=1)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> 0 < fitted.rows[-1]["valid_cross_entropy"] < 3  # of 8 choices, the end among them: log 8 is 2.08
True
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebm_course.core import Batch, Loss, Step
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.recipes.shared import Fitted, a_recipe, check_ranges
from ebm_course.recipes.structured import bilstm
from ebm_course.recipes.structured.data import data_of
from ebm_course.recipes.structured.parts import Learner, train
from ebm_course.runtime import Run
from ebm_course.tasks.tagging import gold_of


@dataclass(frozen=True)
class Config(bilstm.Config):
    """The BiLSTM's configuration, of which words' fields are not read, and the model's own."""

    tag_width: int = 32  # unsaid: size of a tag's vector
    tag_hidden: int = 64  # unsaid for tweets; 128 for entities
    backward: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, counts="tag_width tag_hidden", flags="backward")


TOY: dict[str, Any] = {"tag_width": 16, "tag_hidden": 32}
"""What the notebook's presets change in tag language models, here and in energies."""

PAPER = Config()
CPU = Config(**bilstm.SMALL)
NER = Config(**bilstm.ENTITIES, tag_hidden=128)
NOTEBOOK = Config(**bilstm.TOY, **TOY)
SMOKE = Config(**bilstm.TINY, **TOY)
PRESETS = {"paper": PAPER, "cpu": CPU, "ner": NER, "notebook": NOTEBOOK, "smoke": SMOKE}


def make_step(learner: Learner) -> Step:
    """One update of the mean E(y) of gold tags; term ``cross_entropy``, nats a tag, ends included.

    >>> data = data_of(SMOKE, Run(torch.device("cpu"), 0))
    >>> model = TagLanguageModel(data.n_tags, width=4, hidden=4)
    >>> step = make_step(Learner(model, SMOKE.optimizer(model, rate=0.01)))
    >>> losses = [float(step(data.train[:8], torch.Generator())["loss"]) for _ in range(5)]
    >>> losses[-1] < losses[0]
    True
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        gold, mask = gold_of(learner.run.share(batch))
        e = learner.net.train()(gold, mask)
        return learner.descend(Loss(e.mean(), {"cross_entropy": e.detach().sum() / (mask.sum() + len(e))}))

    return step


@a_recipe
def fit(config: Config, run: Run, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """Train a language model on the training part's tags.

    Returns:
        ``TagLanguageModel``; rows also have ``valid_cross_entropy``, nats a tag, which chooses what is kept.
    """
    data = data_of(config, run)
    sizes: dict[str, Any] = {"width": config.tag_width, "hidden": config.tag_hidden, "backward": config.backward}
    model = TagLanguageModel(data.n_tags, **sizes).to(run.device)
    learner = Learner(model, config.optimizer(model, rate=config.rate), run=run)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        gold, mask = gold_of(data.valid)
        e = model.eval()(gold, mask)
        return {"cross_entropy": float(e.sum() / (mask.sum() + len(e)))}

    options: dict[str, Any] = {"keep": {"optimizer": learner.optimizer}, "folder": folder, "progress": progress}
    return train(config, run, model, data, make_step(learner), validate, recipe=fit, **options)
