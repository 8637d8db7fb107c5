"""What an update of a text recipe costs beside its passes: it reads no number from the device, memory is bounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ebm_course.core import Batch
from ebm_course.energies import reconstruction_head, text_classifier
from ebm_course.energies.reconstruction_head import Reconstructing
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.recipes.text import carl, finetune, freelb, rar
from ebm_course.recipes.text.carl import Contrast, Numbered
from ebm_course.recipes.text.parts import Learner, Passed, labels
from ebm_course.samplers.memory_bank import MemoryBank

V, K, N, L, WIDTH, N_ROWS = 30, 2, 8, 6, 16, 400
HOW: dict[str, dict[str, Any]] = {
    "plain": {},
    "from the clean input": {"noise_size": 0.0, "n_passes": 3},
    "from noise": {"noise_size": 0.3, "n_passes": 2},
    "drawn negatives": {"noise_size": 0.0, "n_negatives": 50},
    "drawn in pieces": {"noise_size": 0.0, "n_negatives": 50, "bank_bytes": 4 * WIDTH * 7},
    "fresh negatives": {"noise_size": 0.0, "freshness": 2},
    "exact softmax": {"noise_size": 0.0, "estimator": "softmax"},
}
CASES = [
    (finetune, "plain"),
    *((recipe, how) for recipe in (freelb, rar, carl) for how in ("from the clean input", "from noise")),
    *((carl, how) for how in ("drawn negatives", "drawn in pieces", "fresh negatives", "exact softmax")),
]


class HostCopies(TorchDispatchMode):
    """Counts what would wait for a device: a number that is read from a tensor, and sizes that depend on its values.

    Not what an optimiser reads of its own counters, which lie on the CPU whatever the device.
    """

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.counters: set[int] = set()  # addresses

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        boolean = name.startswith(("index", "_index")) and any(
            isinstance(i, Tensor) and i.dtype == torch.bool for part in args if isinstance(part, list) for i in part
        )
        counted = name == "_local_scalar_dense" and args[0].data_ptr() in self.counters
        if (name in self.WAITS and not counted) or boolean:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def host_copies(monkeypatch: pytest.MonkeyPatch) -> HostCopies:
    """The mode; what reads a tensor without a call that can be seen is noted too."""
    mode = HostCopies()
    for name in ("tolist", "numpy", "cpu"):
        method: Callable[..., Any] = getattr(Tensor, name)

        def noted(self: Tensor, *args: Any, _name: str = name, _of: Callable[..., Any] = method, **more: Any) -> Any:
            mode.found.append(_name)
            return _of(self, *args, **more)

        monkeypatch.setattr(Tensor, name, noted)
    return mode


def batch() -> Numbered:
    mask = torch.arange(L) < torch.tensor([6, 5, 6, 3, 4, 2, 6, 1])[:, None]
    x = torch.randint(5, V, (N, L), generator=torch.Generator().manual_seed(0)) * mask
    return Numbered(x, torch.arange(N) % K, mask, torch.arange(N))


def contrast_of(config: Any, n_rows: int = N_ROWS) -> Contrast:
    made = Contrast(torch.arange(n_rows) % K, WIDTH, config, n_classes=K, fill_from=0)
    made.store(torch.arange(n_rows), *torch.randn(2, n_rows, WIDTH, generator=torch.Generator().manual_seed(1)))
    made.updates = config.contrast_after
    return made


def step_of(recipe: ModuleType, how: str) -> tuple[Learner, Callable[[Batch, torch.Generator], Any]]:
    torch.manual_seed(0)
    net = TextClassifier(V, K, width=WIDTH, n_layers=1, n_heads=2, max_length=L)
    config = replace(recipe.SMOKE, **HOW[how])
    learner = Learner(Reconstructing(net) if recipe is rar else net, config)
    return learner, recipe.make_step(learner, *([contrast_of(config)] if recipe is carl else []))


@pytest.mark.parametrize("recipe, how", CASES, ids=[f"{recipe.__name__[20:]} {how}" for recipe, how in CASES])
def test_an_update_reads_no_number_from_the_device(
    recipe: ModuleType, how: str, host_copies: HostCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    for check in ("_check", "_check_rows"):  # these and that of texts look at numbers on a CPU alone
        monkeypatch.setattr(MemoryBank, check, lambda *_: None)
    monkeypatch.setattr(text_classifier, "check_text", lambda *_: None)
    monkeypatch.setattr(reconstruction_head, "_counted", lambda *rows: rows)  # picks rows on a CPU alone
    (learner, step), rows, g = step_of(recipe, how), batch(), torch.Generator().manual_seed(2)
    step(rows, g)  # the first of them fixes the normaliser and may wait
    host_copies.counters = {state["step"].data_ptr() for state in learner.optimizer.state.values()}
    host_copies.found.clear()
    with host_copies:
        step(rows, g)
    assert host_copies.found == []


def test_a_number_that_is_read_would_be_counted(host_copies: HostCopies) -> None:
    x = torch.arange(4.0)
    with host_copies:
        float(x.sum())
        bool(x.any())
        x.tolist()
        x[x > 1]
        x.nonzero()
    assert host_copies.found == ["_local_scalar_dense", "_local_scalar_dense", "tolist", "index", "nonzero"]


def largest(bank_bytes: float, *, frozen: bool = False) -> int:
    """Bytes of the largest tensor that the contrast and its gradient make, with 3,000 of 4,000 rows drawn.

    ``frozen``: with normalisers that are known, as at all updates but the first.
    """
    config = replace(carl.SMOKE, noise_size=0.0, n_negatives=1_500, bank_bytes=bank_bytes)
    contrast, rows = contrast_of(config, n_rows=4_000), batch()[:2]
    contrast.of_clean.known = contrast.of_perturbed.known = frozen
    one, other = torch.randn(2, 2, WIDTH, generator=torch.Generator().manual_seed(3)).requires_grad_()
    passes = (Passed(torch.zeros(2, K), torch.zeros(2, L, WIDTH), sentence) for sentence in (one, other))
    with torch.profiler.profile(profile_memory=True) as seen:
        contrast.loss(*passes, labels(rows), 2, torch.Generator().manual_seed(0)).value.backward()
    return max(event.cpu_memory_usage for event in seen.events())


def test_the_memory_of_a_contrast_is_bounded_as_set() -> None:
    copied, scores = 3_000 * WIDTH * 4, 2 * 3_000 * 4
    assert largest(256e6) >= copied
    assert largest(4 * WIDTH * 100) <= 3 * scores < copied / 2
    of_a_piece, of_rows = 4 * WIDTH * 100, 3_000 * 8  # the numbers of the rows that were drawn
    of_labels = 4_000 * 8 + 8  # of all texts; the oldest torch counts one number more
    assert largest(of_a_piece, frozen=True) <= max(of_a_piece, of_rows, of_labels)
