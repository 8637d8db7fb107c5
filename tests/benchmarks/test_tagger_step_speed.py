"""Training steps a second of the three parametrisations, and against descent in the place of the networks.

Run with ``make bench``. A step is an I step and an E step of the compound loss on one minibatch of 32 sentences of
4 to 28 tokens, the paper's sizes and 25 tags; of the energy trained by descent, 20 steps of descent and its update.
Ways are timed in turn in one run; ratios are of the shortest times, with the lowest and highest of single rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.energies.spen import Spen
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.recipes.structured import bilstm, inference_network, spen_gradient
from ebm_course.recipes.structured.game import Anchor, Game, Updates, make_step
from ebm_course.recipes.structured.parts import Learner, adam
from ebm_course.samplers.inference_network import InferenceNetworks

K, N, ROUNDS = 25, 32, 15
COLUMNS = (1_500, 17, 50, 145, 580, 800)  # of the tweets: words and Brown clusters


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(4, 29, (N,), generator=generator).tolist()
    x = [torch.stack([torch.randint(c, (n,), generator=generator) for c in COLUMNS], dim=1) for n in sizes]
    return Batch.padded(x, [torch.randint(K, (n,), generator=generator) for n in sizes])


def encoder() -> TokenEncoder:
    return TokenEncoder(COLUMNS, width=100, hidden=100, dropout=0.3)


def learner(net: torch.nn.Module, player: str = "") -> Learner:
    return Learner(net, adam(net, rate=1e-3), player=player)


def step(name: str) -> Callable[[], Any]:
    """One update to call again and again."""
    torch.manual_seed(0)
    data, generator = batch(), torch.Generator()
    if name == "bilstm":
        tagger = InferenceNetworks(encoder(), K, parametrisation="single")
        return partial(bilstm.make_step(learner(tagger)), data, generator)
    if name == "descent":
        energy = Spen(encoder(), K)
        return partial(spen_gradient.make_step(learner(energy), spen_gradient.CPU), data, generator)
    second = encoder() if name == "separated" else None
    game = Game(Spen(encoder(), K), InferenceNetworks(encoder(), K, parametrisation=name, cost_encoder=second))
    config = replace(inference_network.CPU, parametrisation=name)
    players = (learner(game.nets, "inference"), learner(game.energy, "energy"))
    given: dict[str, Any] = {"updates": Updates(), "n_updates": 1_000, "anchor": Anchor(game.nets, 0.0)}
    return partial(make_step(game, *players, config, **given), data, generator)


@pytest.mark.parametrize("slow", ["shared", "separated", "descent"])
def test_a_step_of_the_stacked_game_against_others(
    benchmark: Any, times_faster: Callable[..., float], slow: str
) -> None:
    times_faster(f"training step, stacked: times as fast as {slow}", step("stacked"), step(slow), rounds=ROUNDS)
    print(f"{N / min(benchmark.stats.stats.data):,.0f} sentences a second, stacked")


def test_a_step_of_a_bilstm_against_the_stacked_game(benchmark: Any, times_faster: Callable[..., float]) -> None:
    times_faster("training step, BiLSTM: times as fast as stacked", step("bilstm"), step("stacked"), rounds=ROUNDS)
    print(f"{N / min(benchmark.stats.stats.data):,.0f} sentences a second, BiLSTM")
