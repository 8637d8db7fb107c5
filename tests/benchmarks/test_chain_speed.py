"""log Z and the best tags of a chain against pytorch-crf and torch-struct, at equal output, and their growth in length.

Run with ``make bench``. Batches of 64 sentences of full length, 25 and 100 tags, single precision, scores of a normal
distribution. Before anything is timed the three give the same log Z (relative 1e-5) and the same tags. What is compared
runs in turn in one run; the ratio is that of the shortest times. pytorch-crf has start and end transitions of its own;
torch-struct has no start and end: they are added to the first and last potentials, and building its (N, L - 1, K, K)
table of potentials, which it asks for, counts as its own time. It sums over a tree, whose K^3 products a pair of tokens
are for GPUs: with 100 tags and 64 sentences they do not fit into memory, so both then get 2 sentences of 10 tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.samplers.forward_algorithm import log_partition
from ebm_course.samplers.viterbi import viterbi

N, ROUNDS = 64, 5
LENGTHS, TAGS = [10, 40, 100], [25, 100]
SIZES_OF_STRUCT = [(10, 25, N), (40, 25, N), (100, 25, N), (10, 100, 2)]
every_size = pytest.mark.parametrize("length, k", [(length, k) for k in TAGS for length in LENGTHS])


def scores(length: int, k: int, n: int = N) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    unary, w = torch.randn(n, length, k, generator=generator), torch.randn(k + 1, k + 1, generator=generator)
    return unary, w, torch.ones(n, length, dtype=torch.bool)


def torch_crf(w: Tensor) -> Any:
    torchcrf = pytest.importorskip("torchcrf")
    k = len(w) - 1
    crf = torchcrf.CRF(k, batch_first=True)
    with torch.no_grad():
        crf.transitions.copy_(w[:k, :k])
        crf.start_transitions.copy_(w[k, :k])
        crf.end_transitions.copy_(w[:k, k])
    return crf


def torch_struct_chain(unary: Tensor, w: Tensor) -> Any:
    """The distribution over tags; its potentials [n, t, j, i] score tag j after tag i."""
    struct = pytest.importorskip("torch_struct")
    k = unary.shape[2]
    table = w[:k, :k].T + unary[:, 1:, :, None]  # (N, L - 1, K, K)
    table[:, 0] += (unary[:, 0] + w[k, :k])[:, None, :]
    table[:, -1] += w[:k, k][None, :, None]
    return struct.LinearChainCRF(table)


def crf_log_z(crf: Any, unary: Tensor, mask: Tensor) -> Tensor:
    """Its own function for log Z, without the score of gold tags that its forward adds."""
    return crf._compute_normalizer(unary.transpose(0, 1), mask.transpose(0, 1))


def with_gradient(act: Callable[[Tensor], Tensor], unary: Tensor) -> Tensor:
    scored = unary.detach().requires_grad_()
    (grad,) = torch.autograd.grad(act(scored).sum(), scored)
    return grad


@every_size
def test_log_z_and_its_gradient_against_pytorch_crf(times_faster, length, k):
    unary, w, mask = scores(length, k)
    crf = torch_crf(w)
    ours, theirs = (lambda u: log_partition(u, w, mask)), (lambda u: crf_log_z(crf, u, mask))
    torch.testing.assert_close(ours(unary), theirs(unary), rtol=1e-5, atol=0)
    torch.testing.assert_close(with_gradient(ours, unary), with_gradient(theirs, unary), rtol=0, atol=1e-4)
    name = f"log Z and gradient, {length} tokens, {k} tags: times faster than pytorch-crf"
    assert (
        times_faster(name, lambda: with_gradient(ours, unary), lambda: with_gradient(theirs, unary), rounds=ROUNDS) > 1
    )


@pytest.mark.parametrize("length, k, n", SIZES_OF_STRUCT)
def test_log_z_and_its_gradient_against_torch_struct(times_faster, length, k, n):
    unary, w, mask = scores(length, k, n)
    ours, theirs = (lambda u: log_partition(u, w, mask)), (lambda u: torch_struct_chain(u, w).partition)
    torch.testing.assert_close(ours(unary), theirs(unary), rtol=1e-5, atol=0)
    name = f"log Z and gradient, {length} tokens, {k} tags: times faster than torch-struct"
    assert times_faster(name, lambda: with_gradient(ours, unary), lambda: with_gradient(theirs, unary), rounds=2) > 1


@every_size
def test_viterbi_against_pytorch_crf(times_faster, length, k):
    unary, w, mask = scores(length, k)
    crf = torch_crf(w)
    assert viterbi(unary, w, mask)[0].tolist() == crf.decode(unary, mask)

    def decode() -> Any:
        with torch.no_grad():
            return crf.decode(unary, mask)

    name = f"Viterbi, {length} tokens, {k} tags: times faster than pytorch-crf"
    assert times_faster(name, lambda: viterbi(unary, w, mask), decode, rounds=ROUNDS) > 1


@pytest.mark.parametrize("length, k, n", SIZES_OF_STRUCT)
def test_viterbi_against_torch_struct(times_faster, length, k, n):
    unary, w, mask = scores(length, k, n)

    def decode() -> Tensor:
        parts = torch_struct_chain(unary, w).argmax  # (N, L - 1, K, K), 1 at (tag, tag before)
        first = parts[:, 0].sum(dim=1).argmax(dim=1)
        return torch.cat([first[:, None], parts.sum(dim=3).argmax(dim=2)], dim=1)

    assert torch.equal(viterbi(unary, w, mask)[0], decode())
    name = f"Viterbi, {length} tokens, {k} tags: times faster than torch-struct"
    assert times_faster(name, lambda: viterbi(unary, w, mask), decode, rounds=2) > 1


@pytest.mark.parametrize("act", ["log Z and gradient", "Viterbi"])
def test_time_grows_with_length_and_no_faster(times_faster, act):
    """Four times the tokens take about four times the time; a quadratic algorithm would take sixteen."""
    sizes = [scores(length, 25) for length in (100, 400)]
    runs = [
        (lambda u=u, w=w, m=m: viterbi(u, w, m))
        if act == "Viterbi"
        else (lambda u=u, w=w, m=m: with_gradient(lambda s: log_partition(s, w, m), u))
        for u, w, m in sizes
    ]
    assert 2 < times_faster(f"{act}, 400 tokens over 100: times slower", *runs, rounds=ROUNDS) < 8
