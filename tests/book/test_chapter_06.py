"""Chapter 6: its bare update is the package's, its first table is the ledger's, its words mean what they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import nn

from ebm_course.energies.sequence_energies import LikelihoodEnergy, PooledEnergy, SurpriseEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.experiments.claims import judged
from ebm_course.experiments.sequences.config import CLAIMS
from ebm_course.objectives.contrastive import contrastive
from ebm_course.recipes.sequences import adversarial
from ebm_course.results import ledger
from ebm_course.samplers.substitution import substitution

NAME = "06_adversarial_training"
CLAIM_ROWS = {
    "figure-1a": "Fig. 1a",
    "figure-2": "Fig. 2: the attack",
    "figure-2/plain": "Fig. 2: without",
    "figure-1b": "Fig. 1b",
}
"""Name of a claim in the ledger -> how its row on the first screen begins."""


def stack() -> nn.Sequential:
    return nn.Sequential(
        nn.Embedding(4, 6), nn.Flatten(), nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0)
    ).double()


class Energy(nn.Module):
    """The same stack as an energy with embeddings."""

    n_values = 4

    def __init__(self, net: nn.Sequential):
        super().__init__()
        self.net = net

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        return self.net[0](x)

    def from_embeddings(self, e: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.net[1:](e)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.parametrize("seed", range(3))
def test_the_bare_update_of_algorithm_1_equals_the_package(chapter: Callable[[str], Any], seed: int):
    torch.manual_seed(seed)
    names, bare, packaged = chapter(NAME).run("bare"), stack(), stack()
    packaged.load_state_dict(bare.state_dict())
    data, start = torch.randint(4, (2, 8, 5))
    sgd = torch.optim.SGD(bare.parameters(), lr=0.1)
    negatives = names["update_once"](bare, sgd, data, start, torch.arange(4), 6)

    others = torch.tensor([[v for v in range(4) if v != u] for u in range(4)])
    energy = Energy(packaged)
    found = substitution(energy, start, n_steps=6, synonyms=others, include_current=True)
    contrastive(energy(data), energy(found.x)).value.backward()
    torch.optim.SGD(packaged.parameters(), lr=0.1 * 8).step()  # a mean of 8 where line 18 has a sum

    assert torch.equal(negatives, found.x) and not torch.equal(found.x, start)
    for one, two in zip(bare.parameters(), packaged.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def first_table(text: str) -> dict[tuple[str, int], str]:
    """(claim, digits) -> verdict of the table on the first screen."""
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| Fig.")]
    found = {}
    for (name, start), row in zip(CLAIM_ROWS.items(), rows, strict=True):
        assert row[0].startswith(start), row
        found |= {(name, 3): row[1], (name, 10): row[2]}
    return found


def recorded_verdicts() -> dict[tuple[str, int], str]:
    """The same from the ledger, judged by the package."""
    sources = {10: ledger.read("sequences-cpu"), 3: ledger.read("sequences-notebook")}
    return {
        (one.claim.name, digits): one.verdict
        for digits, source in sources.items()
        for one in judged(CLAIMS, source.entries)
    }


def test_the_verdicts_on_the_first_screen_are_those_of_the_ledger(chapter: Callable[[str], Any]):
    assert first_table(chapter(NAME).notebook.cells[0].source) == recorded_verdicts()


@pytest.mark.parametrize("word, other", [("| undecided |", "| holds |"), ("| holds |", "| no effect |")])
def test_another_verdict_on_the_first_screen_would_be_noticed(chapter: Callable[[str], Any], word: str, other: str):
    text = chapter(NAME).notebook.cells[0].source
    assert first_table(text.replace(word, other, 1)) != recorded_verdicts()


def test_the_chapter_has_seven_sections_and_at_most_eighty_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    numbers = [int(k) for cell in opened.text for k in re.findall(r"^## (\d+)\. ", cell.source, flags=re.MULTILINE)]
    assert numbers == list(range(1, 8)) and len(opened.notebook.cells) <= 80


def test_as_printed_is_algorithm_1_to_the_letter_wherever_the_chapter_says_so(chapter: Callable[[str], Any]):
    live = {"adversarial": adversarial, "replace": replace, "contrastive": contrastive}
    source = next(cell.source for cell in chapter(NAME).code if cell["id"] == "06-break-run")
    exec("\n".join(line for line in source.splitlines() if re.match(r"short|printed", line)), live)
    recorded = (ledger.read(f"sequences-{preset}").variant("adversarial") for preset in ("cpu", "notebook"))
    for config in (asdict(live["printed"]) | {"objective": "contrastive"}, *recorded):
        assert (config["objective"], config["include_current"], config["grow_every"]) == ("contrastive", False, 0)
        assert config["n_attack_steps"] > 0 and not config["position_memory"]
    assert live["printed"].objective is contrastive


def test_surprise_with_weight_one_is_the_likelihood_less_its_expected_entropy():
    energy, x = SurpriseEnergy(Transformer(5, 6, width=8, n_heads=2)).eval(), torch.randint(5, (7, 6))
    nn.init.ones_(energy.weight)
    log_p = energy.net.logits(x)[:, :-1].log_softmax(dim=-1)
    entropy = -(log_p.exp() * log_p).sum(dim=(1, 2))
    pooled = PooledEnergy.from_features(energy, energy.net.features(energy.embed(x)), x)
    torch.testing.assert_close(energy(x), pooled + LikelihoodEnergy(energy.net)(x) - entropy)
