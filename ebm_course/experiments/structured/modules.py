"""Fresh modules of the arms' shapes, for their weights to be put into; and how many parameters one has.

>>> from ebm_course.experiments.structured.config import SMOKE
>>> from ebm_course.recipes.structured.data import data_of
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> data = data_of(SMOKE.variant("toy/crf").config, SINGLE_PROCESS)
>>> chain, model = (fresh(SMOKE.variant(name), data) for name in ("toy/crf", "toy/tag-lm"))
>>> [type(given_energy(nets)).__name__ for nets in ([chain], [chain, model])]
['Spen', 'GlobalEnergy']
>>> size: Size = size_of(model)
>>> size.trained == 8 * 16 + 4 * 8 * (16 + 8 + 2) + 8 * (8 + 1)  # vectors of tags, an LSTM, logits of the next tag
True
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.energies.tag_language_model import TagLanguageModel
from ebm_course.experiments.variants import Variant
from ebm_course.recipes.structured import bilstm, crf, spen_gradient, tag_language_model
from ebm_course.recipes.structured.data import Data
from ebm_course.recipes.structured.game import Game
from ebm_course.recipes.structured.inference_network import fresh_networks
from ebm_course.recipes.structured.parts import chain_energy_of, energy_of, with_language_model


class Size(NamedTuple):
    """Parameters of all that is trained, and of what tags sentences; ``_layers`` counts no tables of words."""

    trained: int
    trained_layers: int
    inference: int
    inference_layers: int


def fresh(variant: Variant, data: Data) -> nn.Module:
    """A module of the shape that the variant's recipe trains."""
    config: Any = variant.config
    if variant.fit is bilstm.fit:
        return bilstm.fresh_tagger(config, data)
    if variant.fit is crf.fit:
        return chain_energy_of(config, data)
    if variant.fit is spen_gradient.fit:
        return energy_of(config, data)
    if variant.fit is tag_language_model.fit:
        return TagLanguageModel(data.n_tags, width=config.tag_width, hidden=config.tag_hidden, backward=config.backward)
    energy, nets = energy_of(config, data), fresh_networks(config, data)
    if len(variant.starts_from.split()) == 2:
        assert isinstance(energy, Spen)
        sizes: dict[str, Any] = {"width": config.tag_width, "hidden": config.tag_hidden}
        energy = with_language_model(energy, TagLanguageModel(data.n_tags, **sizes))
    tuned = config.loss == "margin" and config.fine_tune_epochs > 0
    return Game(energy, nets, cost_nets=fresh_networks(config, data) if tuned else None)


def given_energy(nets: list[nn.Module]) -> Spen | GlobalEnergy:
    """The energy that a network is fitted to: a chain, or a chain and a language model."""
    chain = nets[0]
    assert isinstance(chain, Spen)
    if len(nets) == 1:
        return chain
    assert isinstance(nets[1], TagLanguageModel)
    return with_language_model(chain, nets[1])


def size_of(module: nn.Module, *, given: bool = False) -> Size:
    """How many parameters an arm trains, and how many of them tag sentences.

    Args:
        module: of a recipe.
        given: whether a game's energy was given, so that its networks alone are trained.

    What fine-tuning kept of F, a copy of what A was, counts once, as in the paper. Fixed vectors are not trained.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> size_of(Spen(TokenEncoder((50,), width=8, hidden=6), n_tags=5)).trained_layers  # an LSTM, U, and W
    864
    """
    whole, used = module, module
    if isinstance(module, Game):
        whole = module.nets if given else nn.ModuleList([module.energy, module.nets])
        used = nn.ModuleList([module.nets.encoder, module.nets.head])
    return Size(_count(whole, True), _count(whole, False), _count(used, True), _count(used, False))


def _count(module: nn.Module, tables: bool) -> int:
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    return sum(p.numel() for name, p in named if tables or not name.endswith("table.weight"))
