"""What the tagging recipes share: optimisers, nets by a configuration, a net in training, and the loop round a step.

It knows nets, energies and tags; no loss.

>>> from dataclasses import replace
>>> from ebm_course.recipes.structured.crf import fit, make_step
>>> from ebm_course.recipes.structured.data import data_of
>>> from ebm_course.recipes.structured.spen_gradient import SMOKE
>>> data, config = data_of(SMOKE, SINGLE_PROCESS), replace(SMOKE, n_epochs=1, keep_best=False)
>>> energy = energy_of(config, data)  # a chain, without global terms
>>> validate = validation({"exact": exact_decoder(energy, data.valid)}, data.score, select="exact")
>>> learner = Learner(energy, adam(energy, rate=0.01))
>>> keep: dict = {"optimizer": learner.optimizer}
>>> options = {"recipe": fit, "keep": keep, "folder": None, "progress": False}
>>> fitted = train(config, SINGLE_PROCESS, energy, data, make_step(learner), validate, **options)
>>> fitted.rows[-1]["valid_error"] == validate()["error"], fitted.module is energy
(True, True)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Loss, Step
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.energies.word_encoder import WordEncoder
from ebm_course.recipes.shared import Fitted, origin_of
from ebm_course.recipes.structured.data import Data
from ebm_course.recipes.structured.decoding import Decoder, headline, measured, searched
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.training import fit as loop
from ebm_course.training.fit import Validate
from ebm_course.training.length_batches import LengthBatches
from ebm_course.training.update import update


def adam(net: nn.Module, *, rate: float) -> torch.optim.Optimizer:
    """Adam, as the paper trains energies; one pass over all parameters, which a large table of words needs.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> before, optimizer = net.weight.item(), adam(net, rate=0.1)
    >>> net(torch.ones(1, 1)).sum().backward()
    >>> optimizer.step()
    >>> round(before - net.weight.item(), 4)  # the first step of Adam is the rate
    0.1
    """
    return torch.optim.Adam(net.parameters(), lr=rate, fused=True)


def sgd(net: nn.Module, *, rate: float) -> torch.optim.Optimizer:
    """Descent with momentum 0.9, as the paper trains networks beside a local cross-entropy.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> before, optimizer = net.weight.item(), sgd(net, rate=0.1)
    >>> net(torch.full((1, 1), 3.0)).sum().backward()
    >>> for _ in range(2):
    ...     optimizer.step()
    >>> round(before - net.weight.item(), 4)  # 0.1 * 3, then 0.9 of it more
    0.87
    """
    return torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)


def encoder_of(config: Any, data: Data) -> TokenEncoder:
    """A fresh encoder of the data's columns.

    >>> from ebm_course.recipes.structured.data import data_of
    >>> from ebm_course.recipes.structured.bilstm import SMOKE
    >>> data = data_of(SMOKE, SINGLE_PROCESS)
    >>> encoder_of(SMOKE, data)(data.valid.x, data.valid.mask).shape[2]  # 6 units in each direction
    12
    """
    options = {"width": config.width, "hidden": config.hidden, "dropout": config.dropout}
    return TokenEncoder(data.vocabulary.n_values_of_columns, **options, vectors=data.vectors)


def chain_energy_of(config: Any, data: Data) -> Spen:
    """A fresh chain on features that see the sentence or, as the configuration says, each word alone.

    >>> from dataclasses import replace
    >>> from ebm_course.recipes.structured.crf import SMOKE
    >>> from ebm_course.recipes.structured.data import data_of
    >>> data = data_of(SMOKE, SINGLE_PROCESS)
    >>> energies = [chain_energy_of(replace(SMOKE, energy_sees=seen), data) for seen in ("sentence", "word")]
    >>> [type(energy.encoder).__name__ for energy in energies]
    ['TokenEncoder', 'WordEncoder']
    """
    if config.energy_sees == "sentence":
        return Spen(encoder_of(config, data), data.n_tags)
    columns = data.vocabulary.n_values_of_columns
    encoder = WordEncoder(columns, width=config.width, dropout=config.dropout, vectors=data.vectors)
    return Spen(encoder, data.n_tags)


def energy_of(config: Any, data: Data) -> Spen | GlobalEnergy:
    """A fresh energy: a chain, and the tag language models that the configuration names."""
    chain = chain_energy_of(config, data)
    if config.global_terms is None:
        return chain
    sizes = {"width": config.tag_width, "hidden": config.tag_hidden}
    return GlobalEnergy(chain, config.global_terms, **sizes, gamma=config.gamma, weight=config.global_weight)


def with_language_model(chain: Spen, model: TagLanguageModel, *, weight: float = 1.0) -> GlobalEnergy:
    """A trained chain and a trained forward model of tags as one energy, of kind (a), which takes over the chain.

    >>> chain = Spen(TokenEncoder((50,), width=8, hidden=6), n_tags=5)
    >>> model = TagLanguageModel(5, width=4, hidden=6)
    >>> x, y = torch.randint(50, (2, 4, 1)), torch.zeros(2, 4, dtype=torch.int64)
    >>> energy = with_language_model(chain, model, weight=0.5)
    >>> torch.equal(energy(x, None, y), chain(x, None, y) + 0.5 * model(y))
    True
    """
    if model.backward or model.word_width:
        raise ValueError(
            "an energy of kind (a) has a forward model of tags alone: got one that reads backwards or reads words."
        )
    sizes = {"width": model.embedding.embedding_dim, "hidden": model.lstm.hidden_size}
    energy = GlobalEnergy(chain, "a", **sizes, weight=weight)
    energy.language_models["tags"].load_state_dict(model.state_dict())
    return energy


class Learner:
    """A net in training.

    Args:
        net: trained.
        optimizer: of its parameters.
        player: what its loss and the norm of its gradient are called in the log, "energy" or "inference"; empty: no
            name before them.
        run: several processes take gradients of their share of the rows each.
    """

    def __init__(
        self, net: nn.Module, optimizer: torch.optim.Optimizer, *, player: str = "", run: Run = SINGLE_PROCESS
    ):
        self.net, self.optimizer, self.run = net, optimizer, run
        self.prefix = f"{player}_" if player else ""

    def descend(self, loss: Loss) -> dict[str, Tensor]:
        """One step down the loss; returns its value, its terms and the norm of its gradient."""
        log = update(loss, self.net, self.optimizer, clip=math.inf, run=self.run)
        return {self.prefix + name if name in ("loss", "gradient_norm") else name: x for name, x in log.items()}


def exact_decoder(
    energy: Spen | GlobalEnergy, valid: Batch, *, beam_width: int = 1, n_searched: int | None = None
) -> Decoder:
    """The search for the energy's best tags; of an energy with global terms on the first ``n_searched`` rows alone."""
    return Decoder(searched(energy, width=beam_width), valid if isinstance(energy, Spen) else valid[:n_searched])


def validation(
    decoders: Mapping[str, Decoder],
    score: Callable[[Tensor, Batch], dict[str, float]],
    *,
    select: str,
    differences: Mapping[str, tuple[str, str]] | None = None,
) -> Validate:
    """What measures every decoder: ``error`` of the selected one, to be minimised, then NAME_accuracy and the like.

    Args:
        select: the decoder whose error, 1 - F1 or 1 - accuracy, chooses the weights that are kept.
        differences: name -> (one, other): the headline of one decoder minus that of the other.
    """

    def validate() -> dict[str, float]:
        found = measured(decoders, score)
        values = {"error": 1 - headline(found[select])}
        values |= {f"{name}_{key}": value for name, scores in found.items() for key, value in scores.items()}
        for name, (one, other) in (differences or {}).items():
            values[name] = headline(found[one]) - headline(found[other])
        return values

    return validate


def train(
    config: Any,
    run: Run,
    module: nn.Module,
    data: Data,
    step: Step,
    validate: Validate,
    *,
    recipe: Callable[..., Fitted],
    keep: Mapping[str, Any],
    given: Mapping[str, Any] | None = None,
    folder: Path | None,
    progress: bool,
) -> Fitted:
    """Go through ``config.n_epochs`` epochs of minibatches of about one length.

    Args:
        module: what is trained, kept and returned.
        validate: its first value chooses what is kept and when to stop.
        recipe: the ``fit`` that is running, which names what made the module.
        keep: what changes in training beside the module.
        given: the nets that were handed in, by name; None where none was.

    Returns:
        The module, the last one or with ``config.keep_best`` the best, and rows with the means of what was logged, one
        a validation, which ends in its values, ``valid_...``.
    """
    batches = LengthBatches(data.train, config.batch_size, seed=run.seed)
    every = config.validate_every * batches.steps_per_epoch
    last: dict[str, Any] = {}
    origin = origin_of(recipe, config, run, data={"train": data.train, "valid": data.valid}, **(given or {}))
    rows = loop.fit(
        step,
        batches,
        n_steps=config.n_epochs * batches.steps_per_epoch,
        generator=run.generator(recipe.__module__.rpartition(".")[2]),
        validate=validate,
        validate_every=every,
        patience=config.patience,
        keep={"module": module, **keep},
        keep_best=config.keep_best,
        last=last,
        log_every=every,
        folder=folder,
        save_every=every if folder is not None else 0,
        origin=origin,
        progress=progress,
        run=run,
    )
    return Fitted(module.eval(), rows, last["module"] if config.keep_best else None, origin)
