r"""What a trained tagger is worth on a part of the data: its network's tags beside the best tags of its energy.

The two may lie far apart, for a network learns from labels what its energy need not know. Their energies say by how
much the network misses the minimum that it is there to find. It knows trained modules, no training.

>>> from ebm_course.energies.token_encoder import TokenEncoder
>>> from ebm_course.tasks.agreement import agreement
>>> made = agreement(n_train=20, n_valid=10, n_test=10)
>>> encoders = [TokenEncoder(made.vocabulary.n_values_of_columns, width=4, hidden=3) for _ in range(2)]
>>> energy = Spen(encoders[0], n_tags=7)
>>> nets = InferenceNetworks(encoders[1], n_tags=7, parametrisation="single")
>>> found = evaluation(Game(energy, nets), made.task.valid, made.task.score)
>>> [name for name in found if name.endswith("accuracy")], found["energy_gap"] > -1e-5
(['network_accuracy', 'exact_accuracy'], True)
>>> energies(energy, made.task.valid, made.task.valid.y).shape
torch.Size([10])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ebm_course.core import Batch, frozen
from ebm_course.energies.global_energy import GlobalEnergy
from ebm_course.energies.spen import Spen
from ebm_course.recipes.structured.decoding import Decode, answered, cost_augmented, decoded, in_parts, searched
from ebm_course.recipes.structured.game import Game
from ebm_course.samplers.inference_network import InferenceNetworks


def evaluation(
    module: nn.Module,
    rows: Batch,
    score: Callable[[Tensor, Batch], dict[str, float]],
    *,
    beam_width: int = 4,
) -> dict[str, float]:
    """The task's score of every way to tags that the module has, NAME_accuracy and the like.

    Args:
        module: of a tagging recipe: networks alone have ``network``, an energy has ``exact``, its best tags (of one
            with global terms those of a beam search), a game has both, and ``cost_augmented`` where F is not A.
        score: of the task.

    Returns:
        The scores, and of a game ``energy_gap``, the mean of E(x, tags of A) - E(x, best tags), nats, 0 or larger but
        where a beam search misses them.

    Raises:
        TypeError: the module is none of these.
    """
    if not isinstance(module, InferenceNetworks | Spen | GlobalEnergy | Game):
        raise TypeError(f"expected networks, an energy of tags or a game of both, got a {type(module).__name__}.")
    tags = {name: decoded(decode, rows) for name, decode in _ways(module, beam_width)}
    values = {f"{name}_{key}": value for name, y in tags.items() for key, value in score(y, rows).items()}
    if isinstance(module, Game):
        e, lowest = (energies(module.energy, rows, tags[name]) for name in ("network", "exact"))
        values["energy_gap"] = float((e - lowest).mean())
    return values


def _ways(module: InferenceNetworks | Spen | GlobalEnergy | Game, width: int) -> Iterator[tuple[str, Decode]]:
    if isinstance(module, Game):
        yield "network", answered(module.nets)
        yield "exact", searched(module.energy, width=width)
        if module.has_both:
            yield "cost_augmented", cost_augmented(module.cost_augmenting)
    elif isinstance(module, InferenceNetworks):
        yield "network", answered(module)
    else:
        yield "exact", searched(module, width=width)


@torch.no_grad()
def energies(energy: Spen | GlobalEnergy, rows: Batch, y: Tensor, *, rows_at_once: int = 128) -> Tensor:
    """E(x, y), (N,), of tags (N, L) or relaxed tags (N, L, K), in eval mode."""
    with frozen(energy):
        parts = zip(in_parts(rows, rows_at_once), y.split(rows_at_once), strict=True)
        return torch.cat([energy(some.x, some.mask, tags) for some, tags in parts])
