"""Runs trained side by side against the same runs one after another: Algorithm 1, fresh nets, the same updates.

Run with ``make bench``; on a GPU it is the GPU that is measured. There a run of its own leaves most of the device idle.
On two CPU cores one run fills them, its chains leave the batch and it does not read prefixes again, so that side by
side is the slower way; the figure then says by how much. What is compared runs in turn in one run; a ratio is that of
the shortest times, with the lowest and highest ratio of single rounds beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ebm_course.energies.language_model import LSTMLanguageModel
from ebm_course.energies.sequence_energies import LikelihoodEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.objectives.logistic import logistic
from ebm_course.recipes import adversarial_sequence
from ebm_course.recipes.side_by_side import fit_side_by_side
from ebm_course.runtime import setup
from ebm_course.tasks.arithmetic import VOCABULARY, Format

ON_GPU = torch.cuda.is_available()
N_RUNS, N_DIGITS, N_ROWS, WIDTH, ROUNDS = (10, 10, 1_000, 128, 3) if ON_GPU else (4, 2, 60, 32, 3)
CONFIG = replace(
    adversarial_sequence.PAPER, n_digits=N_DIGITS, n_rows=N_ROWS, n_noise=N_ROWS, n_epochs=1, batch_size=20,
    n_attack_steps=5, objective=logistic,
)  # fmt: skip
OPTIONS = {"toggles": {}, "freezes": {"include_current": True}, "no attack": {"n_attack_steps": 0}}


@pytest.fixture
def nets() -> dict[str, Any]:
    torch.manual_seed(0)
    v, device = len(VOCABULARY), setup(quiet=True).device
    net = Transformer(v, Format(N_DIGITS).length, width=WIDTH, n_layers=2, n_heads=4, dropout=0.0)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)  # wide enough that attacks move
    return {"pretrained": LikelihoodEnergy(net).to(device), "noise": LSTMLanguageModel(v, width=WIDTH).to(device)}


def seconds(act: Callable[[], Any]) -> float:
    """Of the whole call, the device's queued work included."""
    start = time.perf_counter()
    act()
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter() - start


@pytest.mark.parametrize("kind", OPTIONS)
def test_runs_side_by_side_against_one_after_another(benchmark: Any, nets: dict[str, Any], kind: str) -> None:
    config, slow_seconds = replace(CONFIG, **OPTIONS[kind]), []

    def together() -> None:
        runs = [setup(seed, quiet=True) for seed in range(N_RUNS)]
        seconds(lambda: fit_side_by_side(config, runs, progress=False, **nets))

    def one_after_another() -> None:
        for seed in range(N_RUNS):
            adversarial_sequence.fit_energy(config, setup(seed, quiet=True), progress=False, **nets)

    together()
    one_after_another()
    benchmark.pedantic(together, setup=lambda: slow_seconds.append(seconds(one_after_another)), rounds=ROUNDS)
    fast_seconds = benchmark.stats.stats.data
    ratios = [slow / fast for slow, fast in zip(slow_seconds, fast_seconds, strict=True)]
    name = f"{N_RUNS} runs side by side, {kind}: times faster"
    found = {"of_shortest": min(slow_seconds) / min(fast_seconds), "lowest": min(ratios), "highest": max(ratios)}
    benchmark.extra_info[name] = found
    print(f"\n{name}: {found['of_shortest']:.2f} ({min(ratios):.2f} to {max(ratios):.2f} over {ROUNDS} rounds)")
