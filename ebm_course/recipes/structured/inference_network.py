r"""An energy and the networks that do its inference, trained against each other. One change to ``spen_gradient``:
descent gives way to networks.

.. math:: \min_\theta \max_{\phi, \psi} \sum_n
    \bigl[\Delta(F_\phi, y_n) - E_\theta(x_n, F_\phi) + E_\theta(x_n, y_n)\bigr]_+
    + \lambda \bigl[E_\theta(x_n, y_n) - E_\theta(x_n, A_\psi)\bigr]_+

Of the three losses ``margin`` is the first bracket, after which A is fine-tuned from F on E(x, A); ``perceptron`` the
second; ``compound`` both. With an energy that is given and ``trains="nothing"`` the same step fits A to that energy,
without labels where ``cross_entropy_a`` is 0.
Source: Tu, Pang and Gimpel (2020), Eqs. 4 to 6. Departures: pads change nothing; the I steps of an update share its
minibatch. lambda and the learning rates are unsaid; those by default are of the authors' code for "stacked", and SGD
is the paper's, where the code has Adam.

>>> config: Config = replace(SMOKE, n_epochs=1)
>>> fitted = fit(config, Run(torch.device("cpu"), 0), progress=False)
>>> type(fitted.module).__name__, "valid_a_minus_f" in fitted.rows[-1]
('Game', True)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ebm_course.core import frozen
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.recipes.shared import Fitted, Rows, a_recipe, check_ranges
from ebm_course.recipes.structured import bilstm, crf, tag_language_model
from ebm_course.recipes.structured.data import Data, data_of
from ebm_course.recipes.structured.decoding import Decoder, answered, cost_augmented
from ebm_course.recipes.structured.game import Anchor, Game, Updates, make_step, started_from
from ebm_course.recipes.structured.parts import (
    Learner,
    adam,
    encoder_of,
    energy_of,
    exact_decoder,
    sgd,
    train,
    validation,
)
from ebm_course.recipes.structured.spen_gradient import EnergyConfig
from ebm_course.runtime import Run
from ebm_course.samplers.inference_network import InferenceNetworks

LOSSES = ("margin", "perceptron", "compound")
TRAINS = ("energy", "chain", "nothing")
SELECTS = ("network", "exact")
JOINT = ("separated", "shared", "stacked")


@dataclass(frozen=True)
class Config(EnergyConfig):
    """The energy's configuration, whose optimiser is the networks', and the game."""

    optimizer: Callable[..., torch.optim.Optimizer] = sgd  # Section 6: of the networks, with cross-entropy
    rate: float = 0.05  # their code, where it has SGD
    energy_optimizer: Callable[..., torch.optim.Optimizer] = adam  # Section 6
    energy_rate: float = 1e-3  # their code
    loss: Literal["margin", "perceptron", "compound"] = "compound"
    parametrisation: Literal["separated", "shared", "stacked", "single"] = "stacked"  # single: margin, perceptron
    perceptron_weight: float = 10.0  # lambda of Eq. 6; unsaid, their code: 10 stacked, 1 separated
    truncate: bool = False  # Section 4.1: the networks' losses at 0; the energy's always are
    n_inference_steps: int = 1  # Section 4.3: k I steps an E step; tuned, unsaid
    cross_entropy_a: float = 1.0  # Section 6: weight of the local cross-entropy on A
    cross_entropy_f: float = 1.0  # footnote 2: on F; their code for "stacked" has none
    entropy_weight: float = 0.0  # of the networks' entropy, falling to 0; Tu and Gimpel (2018) have a constant one
    entropy_until: float = 0.8  # share of the updates after which it is 0
    anchor: float = 0.0  # weight of the squared distance from the pretrained networks: Tu and Gimpel (2018)
    fine_tune_epochs: int = 20  # of A, from F, after a margin loss; unsaid
    fine_tune_cross_entropy: float = 0.0  # Section 2: none
    trains: Literal["energy", "chain", "nothing"] = "energy"  # of the energy: all, all but language models, nothing
    select: Literal["network", "exact"] = "network"  # whose validation error chooses what is kept

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self,
            counts="n_inference_steps",
            whole="fine_tune_epochs",
            positive_finite="energy_rate entropy_until",
            not_negative="perceptron_weight cross_entropy_a cross_entropy_f entropy_weight anchor "
            "fine_tune_cross_entropy",
            shares="entropy_until",
            flags="truncate",
            functions="energy_optimizer",
        )
        for name, known in {"loss": LOSSES, "trains": TRAINS, "select": SELECTS}.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}.")
        fitting = JOINT if self.loss == "compound" else ("single",)
        if self.parametrisation not in fitting:
            raise ValueError(
                f"parametrisation: expected one of {', '.join(fitting)} for the loss {self.loss!r}, got "
                f"{self.parametrisation!r}."
            )


SMALL: dict[str, Any] = {"optimizer": adam, "perceptron_weight": 1.0}
"""What the presets for a CPU change in the game."""

ENTITIES: dict[str, Any] = SMALL | {"energy_rate": 5e-4, "tag_hidden": 128, "beam_width": 2, "n_searched": 10}
"""A beam search with the four models of (c) takes about half a second a sentence."""

TOY: dict[str, Any] = crf.TOY | SMALL | tag_language_model.TOY | {"energy_rate": 3e-3, "fine_tune_epochs": 5}

TINY: dict[str, Any] = TOY | crf.TINY | {"fine_tune_epochs": 1, "n_searched": 10}

MARGIN: dict[str, Any] = {"loss": "margin", "parametrisation": "single"}
"""What Tu and Gimpel (2018) did, for ``replace``."""

PAPER = Config()
CPU = Config(**bilstm.SMALL | SMALL)
NER = Config(**bilstm.ENTITIES | ENTITIES)
NOTEBOOK = Config(**TOY)
SMOKE = Config(**TINY)
PRESETS = {"paper": PAPER, "cpu": CPU, "ner": NER, "notebook": NOTEBOOK, "smoke": SMOKE}


def fresh_networks(config: Config, data: Data) -> InferenceNetworks:
    """A and F as the configuration shares their parameters.

    >>> data = data_of(SMOKE, Run(torch.device("cpu"), 0))
    >>> for parametrisation in JOINT:
    ...     nets = fresh_networks(replace(SMOKE, parametrisation=parametrisation), data)
    ...     print(parametrisation, nets.cost_encoder is not None, nets.cost_head.in_features)
    separated True 12
    shared False 12
    stacked False 14
    """
    second = encoder_of(config, data) if config.parametrisation == "separated" else None
    return InferenceNetworks(
        encoder_of(config, data), data.n_tags, parametrisation=config.parametrisation, cost_encoder=second
    )


@a_recipe
def fit(
    config: Config,
    run: Run,
    *,
    pretrained: InferenceNetworks | None = None,
    energy: Spen | GlobalEnergy | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> Fitted:
    """Train an energy and its networks.

    Args:
        pretrained: a tagger of the recipe ``bilstm`` with the same sizes, from which A and F start; a copy is trained.
        energy: one to start from, or to stay as it is; a copy is trained. By default a fresh one.

    Returns:
        ``Game``. Rows have of the last I step what ``game.inference_loss`` returns, ``inference_loss`` and
        ``inference_gradient_norm``; of the E step the terms of ``compound``, ``energy_loss`` and
        ``energy_gradient_norm``; ``valid_network_accuracy`` of A, ``valid_exact_accuracy`` of the energy's best tags,
        and where F is not A ``valid_cost_augmented_accuracy`` of F and ``valid_a_minus_f``. Fine-tuning goes on with
        the count of updates.

    Raises:
        ValueError: an anchor without pretrained networks, pretrained ones of other sizes, an energy of other tags, or
            parts of an energy to train that it does not have.
    """
    if config.anchor and pretrained is None:
        raise ValueError(
            f"anchor: {config.anchor} ties networks to pretrained ones: expected pretrained=..., got none."
        )
    data = data_of(config, run)
    given = {"pretrained": pretrained, "energy": energy}
    if energy is not None and energy.n_values != data.n_tags:
        raise ValueError(
            f"energy: expected one of {data.n_tags} tags, as the task has, got one of {energy.n_values}. "
            f"Train it on this task."
        )
    playing = energy_of(config, data) if energy is None else copy.deepcopy(energy).requires_grad_()
    if config.trains == "chain" and isinstance(playing, Spen):
        raise ValueError("trains: a chain beside fixed language models is trained where there are some: got a chain.")
    game = Game(playing, started_from(fresh_networks(config, data), pretrained)).to(run.device)
    tunes = config.loss == "margin" and config.fine_tune_epochs > 0
    where = folder / "joint" if folder is not None and tunes else folder
    played = _play(game, config, run, data, given, where, progress)
    if not tunes:
        return played
    tuned = Game(game.energy, copy.deepcopy(game.nets), cost_nets=game.nets)
    tuning = replace(
        config,
        loss="perceptron",
        trains="nothing",
        select="network",
        perceptron_weight=1.0,
        n_epochs=config.fine_tune_epochs,
        cross_entropy_a=config.fine_tune_cross_entropy,
        entropy_weight=0.0,
        anchor=0.0,
        n_inference_steps=1,
    )
    given = {"energy": game.energy, "networks": game.nets}
    after = _play(tuned, tuning, run, data, given, None if folder is None else folder / "fine_tuning", progress)
    return after._replace(rows=played.rows + _later(after.rows, played.rows), origin=played.origin)


def _later(rows: Rows, before: Rows) -> Rows:
    start = before[-1]["step"] if before else 0.0
    return [row | {"step": start + row["step"]} for row in rows]


def _play(
    game: Game, config: Config, run: Run, data: Data, given: Mapping[str, Any], folder: Path | None, progress: bool
) -> Fitted:
    """Train those of the game's players that the configuration trains."""
    nets = Learner(game.nets, config.optimizer(game.nets, rate=config.rate), player="inference", run=run)
    keep: dict[str, Any] = {"optimizer": nets.optimizer}
    energy, held = None, nn.ModuleDict()
    if config.trains != "nothing":
        part: Spen | GlobalEnergy = game.energy
        if config.trains == "chain" and isinstance(part, GlobalEnergy):
            held, part = part.language_models, part.spen
        energy = Learner(part, config.energy_optimizer(part, rate=config.energy_rate), player="energy", run=run)
        keep["energy_optimizer"] = energy.optimizer
    keep["updates"] = updates = Updates()
    n_updates = max(1, config.n_epochs * (len(data.train) // config.batch_size))
    anchor = Anchor(game.nets, config.anchor)
    step = make_step(game, nets, energy, config, updates=updates, n_updates=n_updates, anchor=anchor, run=run)
    search = {"beam_width": config.beam_width, "n_searched": config.n_searched}
    decoders = {
        "network": Decoder(answered(game.nets), data.valid),
        "exact": exact_decoder(game.energy, data.valid, **search),
    }
    if game.has_both:
        decoders["cost_augmented"] = Decoder(cost_augmented(game.cost_augmenting), data.valid)
    differences = {"a_minus_f": ("network", "cost_augmented")} if game.has_both else None
    validate = validation(decoders, data.score, select=config.select, differences=differences)
    options: dict[str, Any] = {"given": given, "folder": folder, "progress": progress}
    with frozen(held):  # which would gather gradients that no optimiser takes
        return train(config, run, game, data, step, validate, recipe=fit, keep=keep, **options)
