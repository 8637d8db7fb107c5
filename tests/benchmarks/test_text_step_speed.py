"""Updates of the text recipes against one another: what a pass, a contrast and a reconstruction cost.

Run with ``make bench``. Batches of 32 texts of 8 to 24 tokens, a vocabulary of 4,000, the small encoder of two layers,
width 128. A ratio is that of the shortest times, with the lowest and highest of single rounds beside it. FreeLB at n
passes is to cost at most 1.05 n plain updates; CARL with m = 16,000 negatives at most 1.3 of FreeLB, RAR at most 1.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from ebm_course.energies.reconstruction_head import Reconstructing
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.recipes.text.carl import Contrast, Numbered
from ebm_course.recipes.text.parts import Learner
from ebm_course.samplers.memory_bank import MemoryBank

N, V, K, WIDTH, N_ROWS, ROUNDS = 32, 4_000, 4, 128, 60_000, 15
STARTS: dict[str, dict[str, Any]] = {
    "from the clean input": {"noise_size": 0.0, "n_passes": 3},
    "from noise": {"noise_size": 0.6, "n_passes": 2},
    "from noise, and a clean pass": {"noise_size": 0.6, "n_passes": 2, "clean_pass": True},
}


def batch() -> Numbered:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(24) < torch.randint(8, 25, (N, 1), generator=generator)
    x = torch.randint(5, V, mask.shape, generator=generator) * mask
    return Numbered(x, torch.arange(N) % K, mask, torch.arange(N))


def update(recipe: Any, n_rows: int = N_ROWS, **fields: Any) -> Callable[[], Any]:
    """One update to call again and again."""
    torch.manual_seed(0)
    net = TextClassifier(V, K, width=WIDTH, max_length=24)
    config = replace(recipe.PAPER, **fields)
    learner = Learner(Reconstructing(net) if recipe is rar else net, config)
    given = []
    if recipe is carl:
        y = torch.arange(n_rows) % K
        contrast = Contrast(y, WIDTH, replace(config, contrast_after=0), n_classes=K, fill_from=0)
        contrast.store(torch.arange(n_rows), *torch.randn(2, n_rows, WIDTH))
        contrast.updates = config.contrast_after
        given = [contrast]
    return partial(recipe.make_step(learner, *given), batch(), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_passes", [2, 3])
def test_freelb_against_plain_updates(times_faster: Callable[..., float], n_passes: int) -> None:
    name = f"plain update: times as fast as FreeLB of {n_passes} passes"
    times_faster(name, update(finetune), update(freelb, n_passes=n_passes), rounds=ROUNDS)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("n_rows, freshness", [(N_ROWS, "bank"), (6_920, "bank"), (N_ROWS, 16)])
def test_carl_against_freelb(times_faster: Callable[..., float], start: str, n_rows: int, freshness: Any) -> None:
    slow = update(carl, n_rows, **STARTS[start], freshness=freshness)
    name = f"FreeLB {start}: times as fast as CARL, {n_rows:,} rows, freshness {freshness}"
    times_faster(name, update(freelb, **STARTS[start]), slow, rounds=ROUNDS)


@pytest.mark.parametrize("start", STARTS)
def test_rar_against_freelb(times_faster: Callable[..., float], start: str) -> None:
    name = f"FreeLB {start}: times as fast as RAR"
    times_faster(name, update(freelb, **STARTS[start]), update(rar, **STARTS[start]), rounds=ROUNDS)


@pytest.mark.parametrize("megabytes", [1, 8, 64])
def test_a_bounded_gather_against_one_copy(times_faster: Callable[..., float], megabytes: int) -> None:
    bank = MemoryBank(N_ROWS, WIDTH, labels=torch.arange(N_ROWS) % K)
    rows = bank.draw(21_334, generator=torch.Generator().manual_seed(0))
    anchors = torch.randn(N, WIDTH, requires_grad=True)

    def product(max_bytes: float) -> None:
        bank.scores(anchors, rows, max_bytes=max_bytes).sum().backward()

    name = f"product with 21,334 rows in copies of {megabytes} MB: times as fast as in one"
    times_faster(name, partial(product, megabytes * 1e6), partial(product, float("inf")), rounds=ROUNDS)
