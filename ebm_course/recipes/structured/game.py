r"""The game of an energy and the networks that do its inference: who plays, and what each move is.

I step: the networks lower E(x, A) and E(x, F) - Delta(F, y). E step: the energy lowers the compound loss at what they
found. Each player is frozen, in eval mode, while the other moves. It knows energies, networks and losses; no data.
Source: Tu, Pang and Gimpel (2020), Sections 3 and 4.

>>> from ebm_course.recipes.structured.data import data_of
>>> from ebm_course.recipes.structured.inference_network import SMOKE, fresh_networks
>>> from ebm_course.recipes.structured.parts import energy_of
>>> data = data_of(SMOKE, SINGLE_PROCESS)
>>> game, batch = Game(energy_of(SMOKE, data), fresh_networks(SMOKE, data)), data.train[:8]
>>> nets = Learner(game.nets, SMOKE.optimizer(game.nets, rate=0.01), player="inference")
>>> energy = Learner(game.energy, SMOKE.energy_optimizer(game.energy, rate=0.01), player="energy")
>>> updates, anchor = Updates(), Anchor(game.nets, SMOKE.anchor)
>>> before = inference_loss(game, batch, SMOKE, entropy_weight=0.0, anchor=anchor).value
>>> step = make_step(game, nets, energy, SMOKE, updates=updates, n_updates=10, anchor=anchor)
>>> log = step(batch, torch.Generator())  # the networks' move, then the energy's
>>> torch.allclose(log["inference_loss"], before), bool(log["energy_loss"] >= 0), updates.done
(True, True, 1)
>>> bool(energy_loss(game, batch, SMOKE).value < log["energy_loss"])  # whose step went down
True
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, Loss, Step, frozen
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.objectives.compound import compound, compound_inference
from ebm_course.objectives.tagging_terms import annealed, l1_cost, local_cross_entropy, local_entropy
from ebm_course.recipes.structured.parts import Learner
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.samplers.inference_network import InferenceNetworks
from ebm_course.tasks.tagging import gold_of


class Game(nn.Module):
    """An energy and its networks; after fine-tuning, when A has left F, ``cost_nets`` holds F.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> encoders = [TokenEncoder((50,), width=8, hidden=6) for _ in range(2)]
    >>> nets = InferenceNetworks(encoders[0], n_tags=5, parametrisation="stacked")
    >>> game = Game(Spen(encoders[1], n_tags=5), nets)
    >>> game.cost_augmenting is nets, game.has_both
    (True, True)
    """

    def __init__(
        self, energy: Spen | GlobalEnergy, nets: InferenceNetworks, *, cost_nets: InferenceNetworks | None = None
    ):
        super().__init__()
        self.energy, self.nets, self.cost_nets = energy, nets, cost_nets

    @property
    def cost_augmenting(self) -> InferenceNetworks:
        """The networks whose F is to be asked."""
        return self.nets if self.cost_nets is None else self.cost_nets

    @property
    def has_both(self) -> bool:
        """Whether there is an F that is not its A."""
        return self.cost_nets is not None or self.nets.parametrisation != "single"


class Updates:
    """How many updates were made; kept with the state of a run, because the entropy's weight hangs on it.

    >>> first, resumed = Updates(), Updates()
    >>> first.done = 7
    >>> resumed.load_state_dict(first.state_dict())
    >>> resumed.done
    7
    """

    def __init__(self) -> None:
        self.done = 0

    def state_dict(self) -> dict[str, int]:
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.done = state["done"]


class Anchor:
    """weight * the squared distance of the networks' parameters from where they started; 0 without a weight.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> anchor = Anchor(net, weight=0.5)
    >>> _ = net.weight.data.add_(2.0)
    >>> round(anchor().item(), 4), Anchor(net, weight=0.0)()  # 0.5 * 2^2
    (2.0, 0.0)
    """

    def __init__(self, nets: nn.Module, weight: float):
        self.weight, self.starts = weight, [p.detach().clone() for p in nets.parameters()] if weight else []
        self.nets = nets

    def __call__(self) -> Tensor | float:
        if not self.weight:
            return 0.0
        pairs = zip(self.nets.parameters(), self.starts, strict=True)
        return self.weight * torch.stack([(p - start).square().sum() for p, start in pairs]).sum()


def make_step(
    game: Game,
    nets: Learner,
    energy: Learner | None,
    config: Any,
    *,
    updates: Updates,
    n_updates: int,
    anchor: Anchor,
    run: Run = SINGLE_PROCESS,
) -> Step:
    """``config.n_inference_steps`` I steps and an E step on one minibatch; without a learner of the energy no E step.

    Args:
        config: of the recipe ``inference_network``: which losses, with which weights.
        updates: counted on; with ``n_updates`` it says how far the entropy's weight has fallen.
    """

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        share, log = run.share(batch), dict[str, Tensor]()
        entropy_weight = annealed(config.entropy_weight, updates.done / n_updates, until=config.entropy_until)
        for _ in range(config.n_inference_steps):
            log = nets.descend(inference_loss(game, share, config, entropy_weight=entropy_weight, anchor=anchor))
        if energy is not None:
            log |= energy.descend(energy_loss(game, share, config))
        updates.done += 1
        return log

    return step


def inference_loss(game: Game, batch: Batch, config: Any, *, entropy_weight: float, anchor: Anchor) -> Loss:
    """What the networks lower: minus the compound loss, cross-entropies, minus entropies, and the anchor.

    Returns:
        The loss; terms as of ``compound``, and of each network that plays ``cross_entropy_a``, ``entropy_a``, nats a
        token, and ``a_minus_f``, the difference of the accuracies where both play; for F alone with ``_f``.
    """
    gold, mask = gold_of(batch)
    n, tokens = len(batch), mask.sum()
    log_a, log_f = game.nets.train().log_probabilities(batch.x, gold, mask)
    with frozen(game.energy):
        found = _energies(game, batch, *_playing(config, log_a.exp(), log_f.exp()))
        loss = compound_inference(**found, weight=config.perceptron_weight, truncate=config.truncate)
    value, terms = loss.value + anchor(), dict(loss.terms)
    for name, log_p, weight in _players(config, log_a, log_f):
        cross_entropy = local_cross_entropy(log_p, gold, mask).sum()
        entropy = local_entropy(log_p, mask).sum()
        value = value + weight * cross_entropy / n - entropy_weight * entropy / n
        terms |= {
            f"cross_entropy_{name}": cross_entropy.detach() / tokens,
            f"entropy_{name}": entropy.detach() / tokens,
        }
    if config.loss == "compound":
        right = [(log_p.detach().argmax(dim=2) == gold) & mask for log_p in (log_a, log_f)]
        terms["a_minus_f"] = (right[0].sum() - right[1].sum()) / tokens
    return Loss(value, terms)


def energy_loss(game: Game, batch: Batch, config: Any) -> Loss:
    """What the energy lowers: the compound loss, truncated at 0, at what the networks say now."""
    gold, mask = gold_of(batch)
    with frozen(game.nets), torch.no_grad():
        a, f = (log_p.exp() for log_p in game.nets.log_probabilities(batch.x, gold, mask))
    game.energy.train()
    return compound(**_energies(game, batch, *_playing(config, a, f)), weight=config.perceptron_weight, truncate=True)


def _energies(game: Game, batch: Batch, a: Tensor | None, f: Tensor | None) -> dict[str, Any]:
    """Arguments of ``compound``: energies of gold tags and of what those that play have found; one reading of x."""
    gold, mask = gold_of(batch)
    energy = game.energy.given(batch.x, mask)
    found: dict[str, Any] = {"e_gold": energy(gold)}
    if f is not None:
        found |= {"e_augmented": energy(f), "cost": l1_cost(f, gold, mask)}
    if a is not None:
        found["e_test"] = energy(a)
    return found


def _playing(config: Any, a: Tensor, f: Tensor) -> tuple[Tensor | None, Tensor | None]:
    return (None if config.loss == "margin" else a), (None if config.loss == "perceptron" else f)


def _players(config: Any, log_a: Tensor, log_f: Tensor) -> list[tuple[str, Tensor, float]]:
    players = [("a", log_a, config.cross_entropy_a), ("f", log_f, config.cross_entropy_f)]
    return [one for one in players if config.loss == "compound" or one[0] == ("f" if config.loss == "margin" else "a")]


def started_from(nets: InferenceNetworks, pretrained: InferenceNetworks | None) -> InferenceNetworks:
    """The networks, each encoder and head that a pretrained tagger has too put where it ended; changes ``nets``.

    The layer of a stacked F stays fresh: it reads tags and not features.

    Raises:
        ValueError: the tagger has parameters of other sizes.

    >>> from ebm_course.energies.token_encoder import TokenEncoder
    >>> def networks(parametrisation):
    ...     return InferenceNetworks(TokenEncoder((50,), width=8, hidden=6), n_tags=5, parametrisation=parametrisation)
    >>> tagger, nets, x = networks("single"), networks("stacked"), torch.ones(2, 4, 1, dtype=torch.int64)
    >>> torch.equal(started_from(nets, tagger).test_time(x), tagger.test_time(x)), started_from(nets, None) is nets
    (True, True)
    """
    if pretrained is None:
        return nets
    encoders = [nets.encoder] + ([] if nets.cost_encoder is None else [nets.cost_encoder])
    heads = [nets.head] + ([] if nets.cost_head is None or nets.parametrisation == "stacked" else [nets.cost_head])
    for module, source in [*((m, pretrained.encoder) for m in encoders), *((m, pretrained.head) for m in heads)]:
        _check_sizes(module, source)
        module.load_state_dict(copy.deepcopy(source.state_dict()))
    return nets


def _check_sizes(module: nn.Module, source: nn.Module) -> None:
    """Refuse a pretrained part whose parameters have other names or shapes; the message has the first."""
    own, given = ({name: tuple(x.shape) for name, x in part.state_dict().items()} for part in (module, source))
    for name in own | given:
        if own.get(name) != given.get(name):
            raise ValueError(
                f"pretrained: expected a tagger of the same sizes, with {name} {own.get(name, 'absent')}, got "
                f"{given.get(name, 'none')}. Train it with this task, width and hidden size."
            )
