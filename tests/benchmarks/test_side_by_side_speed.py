"""Runs trained side by side against the same runs one after another: Algorithm 1, fresh nets, the same updates.

Run with ``make bench``; on a GPU it is the GPU that is measured. There a run of its own leaves most of the device idle.
On two CPU cores one run fills them, its chains leave the batch and it does not read prefixes again, so that side by
side is the slower way wherever there is an attack; the figure then says by how much, at a small size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.sequence_energies import LikelihoodEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes.sequences import adversarial
from ebm_course.recipes.sequences.side_by_side import fit_side_by_side
from ebm_course.runtime import setup
from ebm_course.tasks.arithmetic import VOCABULARY, Format

ON_GPU = torch.cuda.is_available()
N_RUNS, WIDTH, ROUNDS = (10, 128, 3) if ON_GPU else (4, 32, 3)
SMALLER: dict[str, Any] = (
    {} if ON_GPU else {"n_digits": 2, "n_rows": 60, "n_noise": 60, "batch_size": 20, "n_attack_steps": 5}
)
CONFIG = replace(adversarial.PAPER, n_epochs=1, objective=logistic, **SMALLER)
OPTIONS: dict[str, dict[str, Any]] = {
    "toggles": {},
    "freezes": {"include_current": True},
    "no attack": {"n_attack_steps": 0},
}


@pytest.fixture
def nets() -> dict[str, Any]:
    torch.manual_seed(0)
    v, device = len(VOCABULARY), setup(quiet=True).device
    net = Transformer(v, Format(CONFIG.n_digits).length, width=WIDTH, n_layers=2, n_heads=4, dropout=0.0)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)  # wide enough that attacks move
    return {"pretrained": LikelihoodEnergy(net).to(device), "noise": LSTMLanguageModel(v, width=WIDTH).to(device)}


def finish() -> None:
    """Wait for what the device still has to do."""
    if ON_GPU:
        torch.cuda.synchronize()


@pytest.mark.parametrize("kind", OPTIONS)
def test_runs_side_by_side_against_one_after_another(
    times_faster: Callable[..., float], nets: dict[str, Any], kind: str
) -> None:
    config = replace(CONFIG, **OPTIONS[kind])

    def together() -> None:
        fit_side_by_side(config, [setup(seed, quiet=True) for seed in range(N_RUNS)], progress=False, **nets)
        finish()

    def one_after_another() -> None:
        for seed in range(N_RUNS):
            adversarial.fit(config, setup(seed, quiet=True), progress=False, **nets)
        finish()

    times_faster(f"{N_RUNS} runs side by side, {kind}: times faster", together, one_after_another, rounds=ROUNDS)
