"""The attack against Algorithm 1 written literally, against the machine, and against itself; the same result each time.

Run with ``make bench``. The net is the paper's transformer at ten digits, with wide drawn weights and, for single
steps, as pretrained too: drawn weights find the first digits salient, so that hardly any prefix can be reused, trained
ones find them everywhere. The literal code takes one sequence and one candidate at a time. What is compared runs in
turn in one run; a ratio is that of the shortest times, with the lowest and highest ratio of single rounds beside it.
How fast the literal code runs hangs on how threads wait: its products are so small that with OMP_WAIT_POLICY=PASSIVE it
takes two to three times as long, whole batches a tenth longer. Its own rate is therefore printed beside the ratio.

Useful FLOPs of a step, two a multiply-add, for N sequences of L tokens, each scored at K = 9 other digits: a token
costs c(t) = n_layers (24 D^2 + 4 D t) with t tokens in sight (qkv 6 D^2, out 2 D^2, perceptron 16 D^2, scores and
mixing 4 D t). The gradient is a pass forward and one backward to the inputs from the first free position f on:
sum_t c(t) + sum_{t >= f} c(t) a sequence. Candidates cost K sum_{t >= i*} c(t) from the changed position i* on, less
K (6 D^2 + 4 D t) for each token after i*, whose projections and attention in the first layer are shared. Embeddings,
norms, GELU, softmax and the head count as nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.energies.sequence_energies import LikelihoodEnergy, PooledEnergy, SequenceEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.files import load_checkpoint, shipped_checkpoint
from ebm_course.samplers.substitution import substitution
from ebm_course.samplers.substitution_proposals import by_saliency
from ebm_course.tasks.arithmetic import Format, arithmetic, digit_synonyms

LAYOUT, SYNONYMS, N, N_LITERAL, N_ITSELF = Format(10), digit_synonyms(), 256, 8, 32
FREE = {"free digits": LAYOUT.digit_positions(), "c only": LAYOUT.answer_positions()}
ROUNDS = 7


@pytest.fixture
def energy() -> SequenceEnergy:
    return drawn()


def drawn() -> SequenceEnergy:
    """Wide weights, so that candidates differ by more than rounding."""
    torch.manual_seed(0)
    made = PooledEnergy(Transformer(16, LAYOUT.length)).eval().requires_grad_(False)
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return made


def trained() -> SequenceEnergy:
    """The likelihood of the pretrained net that the package brings."""
    made = LikelihoodEnergy(Transformer(16, LAYOUT.length)).eval().requires_grad_(False)
    load_checkpoint(shipped_checkpoint("arithmetic-10-energy"), made)
    return made


NETS = {"drawn": drawn, "trained": trained}


def literal_step(energy: SequenceEnergy, x: Tensor, free: Tensor, include_current: bool) -> Tensor:
    """Lines 9 to 12 of Algorithm 1 for one sequence (L,)."""
    e = energy.embed(x[None]).detach().requires_grad_()
    (grad,) = torch.autograd.grad(energy.from_embeddings(e, x[None]).sum(), e)
    i = int(grad[0].abs().sum(dim=-1).masked_fill(~free, -1.0).argmax())
    lowest, best = torch.inf, x
    for v in [x[i], *SYNONYMS[x[i]]] if include_current else SYNONYMS[x[i]]:
        candidate = x.clone()
        candidate[i] = v
        with torch.no_grad():
            value = float(energy(candidate[None]))
        if value < lowest:
            lowest, best = value, candidate
    return best


def literal_attack(energy: SequenceEnergy, x: Tensor, free: Tensor, include_current: bool, n_steps: int) -> Tensor:
    """``n_steps`` literal steps for each sequence of (N, L)."""
    rows = list(x)
    for _ in range(n_steps):
        rows = [literal_step(energy, row, free, include_current) for row in rows]
    return torch.stack(rows)


def useful_flops(energy: SequenceEnergy, x: Tensor, free: Tensor) -> float:
    """Useful FLOPs of one step from x (N, L), as the module counts them."""
    d, length = energy.net.width, x.shape[1]
    a_token = len(energy.net.blocks) * (24 * d**2 + 4 * d * torch.arange(1, length + 1).double())  # (L,)
    _, where, what = by_saliency(energy, x, free.expand_as(x), SYNONYMS)
    from_here_on = a_token.flip(0).cumsum(0).flip(0)  # (L,)
    gradient = len(x) * (from_here_on[0] + from_here_on[int(free.long().argmax())])
    shared = 6 * d**2 + 4 * d * torch.arange(1, length + 1).double()  # (L,)
    after = shared.flip(0).cumsum(0).flip(0) - shared
    candidates = from_here_on[where] - after[where]  # (N, 1)
    return float(gradient + what.shape[1] * candidates.sum())


def literal_flops(energy: SequenceEnergy, n: int, free: Tensor) -> float:
    """FLOPs of a literal step of n sequences: a pass forward and back, and ten passes for the candidates."""
    d, length = energy.net.width, LAYOUT.length
    a_token = len(energy.net.blocks) * (24 * d**2 + 4 * d * torch.arange(1, length + 1).double())
    return float(n * a_token.sum() * (2 + SYNONYMS.shape[1] + 1))


def seconds(act: Callable[[], Any]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def paired(
    benchmark: Any, fast: Callable[[], Any], slow: Callable[[], Any], rounds: int, warmup: int = 0
) -> tuple[float, list[float]]:
    """Shortest times' ratio slow / fast and the ratios of single rounds; the two run in turn."""
    slow_seconds: list[float] = []
    benchmark.pedantic(fast, setup=lambda: slow_seconds.append(seconds(slow)), rounds=rounds, warmup_rounds=warmup)
    fast_seconds = benchmark.stats.stats.data
    measured = slow_seconds[-len(fast_seconds) :]
    return min(measured) / min(fast_seconds), [s / f for s, f in zip(measured, fast_seconds, strict=True)]


def report(benchmark: Any, name: str, ratio: float, ratios: list[float], scale: float = 1.0) -> None:
    low, high = min(ratios) * scale, max(ratios) * scale
    benchmark.extra_info[name] = {"of_shortest": ratio * scale, "lowest": low, "highest": high}
    print(f"\n{name}: {ratio * scale:.2f} ({low:.2f} to {high:.2f} over {len(ratios)} rounds)")


@pytest.mark.parametrize("where", FREE)
@pytest.mark.parametrize("net", NETS)
def test_a_step_against_the_literal_one(benchmark: Any, net: str, where: str) -> None:
    energy, x, free = NETS[net](), arithmetic(10, n_train=N).train.x, FREE[where]
    some = x[: 2 * N_LITERAL]
    found = substitution(energy, x, n_steps=1, synonyms=SYNONYMS, free=free, include_current=True).x
    assert torch.equal(found[: len(some)], literal_attack(energy, some, free, True, 1))
    fast = partial(substitution, energy, x, n_steps=1, synonyms=SYNONYMS, free=free, include_current=True)
    slow = partial(literal_attack, energy, some, free, True, 1)
    name = f"step, {where}, {net} weights"
    ratio, ratios = paired(benchmark, fast, slow, ROUNDS, 1)
    report(benchmark, f"{name}: times faster", ratio, ratios, scale=N / len(some))
    literal_seconds = ratio * min(benchmark.stats.stats.data)
    rate = literal_flops(energy, len(some), free) / literal_seconds / 1e9
    benchmark.extra_info[f"{name}: GFLOP/s of the literal code"] = rate
    print(f"{name}: the literal code runs at {rate:.0f} GFLOP/s")


@pytest.mark.parametrize("where", FREE)
@pytest.mark.parametrize("net", NETS)
def test_a_step_against_the_machines_matrix_rate(benchmark: Any, net: str, where: str) -> None:
    energy, x, free, side = NETS[net](), arithmetic(10, n_train=N).train.x, FREE[where], 2048
    a = torch.randn(side, side, generator=torch.Generator().manual_seed(0))
    fast = partial(substitution, energy, x, n_steps=1, synonyms=SYNONYMS, free=free, include_current=True)
    share = useful_flops(energy, x, free) / (2 * side**3)
    name = f"step, {where}, {net} weights: share of the matrix rate"
    report(benchmark, name, *paired(benchmark, fast, lambda: a @ a, ROUNDS, 1), share)


@pytest.mark.parametrize("include_current", [False, True], ids=["toggles", "freezes"])
@pytest.mark.parametrize("where", FREE)
def test_forty_steps_against_the_literal_attack(
    benchmark: Any, energy: SequenceEnergy, where: str, include_current: bool
) -> None:
    x, free, some = arithmetic(10, n_train=N).train.x, FREE[where], N_LITERAL
    fast = partial(substitution, energy, x, n_steps=40, synonyms=SYNONYMS, free=free, include_current=include_current)
    literal: list[Tensor] = []

    def slow() -> None:
        literal.append(literal_attack(energy, x[:some], free, include_current, 40))

    ratio, ratios = paired(benchmark, fast, slow, 2)
    assert torch.equal(fast().x[:some], literal[-1])
    kind = "freezes" if include_current else "toggles"
    report(benchmark, f"40 steps, {where}, {kind}: times faster", ratio, ratios, scale=N / some)


@pytest.mark.parametrize("include_current", [False, True], ids=["toggles", "freezes"])
@pytest.mark.parametrize("where", FREE)
def test_forty_steps_against_itself_without_leaving_and_prefixes(
    benchmark: Any, energy: SequenceEnergy, where: str, include_current: bool
) -> None:
    x, found = arithmetic(10, n_train=N_ITSELF).train.x, []

    def attack(**options: bool) -> None:
        free = FREE[where]
        options["include_current"] = include_current
        found.append(substitution(energy, x, n_steps=40, synonyms=SYNONYMS, free=free, **options).x)

    slow = partial(attack, drop_fixed=False, reuse_prefix=False)
    ratio, ratios = paired(benchmark, attack, slow, 2)
    assert all(torch.equal(found[0], other) for other in found)
    kind = "freezes" if include_current else "toggles"
    report(benchmark, f"40 steps, {where}, {kind}: times faster than itself", ratio, ratios)
