r"""Beam search for energies of whole sentences: the tags left of a place are searched, those right of it completed.

At position t each of B kept rows tries all K tags; the rest of the sentence is what the start says there. Of the B K
completions, which are whole sentences with their true energies, the B lowest are kept, so the lowest never rises. A
second pass completes with what the first one found. With B >= K^(L-1) nothing is ever dropped and the search is
exhaustive. Any discrete energy will do, a backward language model included, which no search over prefixes can score.
An energy that keeps what it has read of a prefix is asked for it. It knows no net and no sentence.
Source: Lowerre (1976), beam search. Departure: completions in place of prefixes.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ebm_course.checks import check_count, check_finite, check_generator, check_tokens
from ebm_course.core import Energy, Negatives, energies_of, frozen
from ebm_course.sentence_checks import check_moves


class Completions(Protocol):
    """Rows of tags (N, B, t) that a search from left to right keeps, one a sentence and no tag at first.

    >>> from ebm_course.energies import global_energy, spen, token_encoder
    >>> chain = spen.Spen(token_encoder.TokenEncoder((50,), width=8, hidden=6), n_tags=5)
    >>> energy = global_energy.GlobalEnergy(chain, "a").given(torch.ones(2, 4, 1).long())
    >>> start = torch.zeros(2, 4).long()
    >>> rows: Completions = energy.completions(start)
    >>> rows.energies().shape, torch.allclose(rows.energies()[:, 0, 0], energy(start))  # (N, B, K), B = 1 at first
    (torch.Size([2, 1, 5]), True)
    >>> rows.keep(torch.zeros(2, 3).long(), torch.tensor([[0, 1, 4]] * 2))  # go on with three of the five
    >>> rows.energies().shape
    torch.Size([2, 3, 5])
    """

    def energies(self) -> Tensor:
        """(N, B, K): of each row with each tag at the place at hand and the start's tags behind it."""

    def keep(self, rows: Tensor, tags: Tensor) -> None:
        """Go on with the rows (N, B') of these numbers and with these tags (N, B') at the place at hand."""


@runtime_checkable
class CompletesPrefix(Protocol):
    """An energy that need not read again what stands before a place to try all tags there; a beam then does not.

    >>> isinstance(torch.nn.Linear(2, 1), CompletesPrefix)
    False
    """

    def __call__(self, x: Tensor, /) -> Tensor: ...

    def completions(self, x: Tensor) -> Completions:
        """Of the start's tags x (N, L)."""


@torch.no_grad()
def beam(
    energy: Energy,
    x0: Tensor,
    *,
    n_steps: int,
    n_values: int,
    width: int = 8,
    mask: Tensor | None = None,
    generator: torch.Generator,
) -> Negatives:
    """Tags whose energy is at most that of x0, from ``n_steps`` passes over the sentence with ``width`` rows kept.

    Args:
        energy: energies of tags; called L times a pass, with up to width K N rows.
        x0: tags to start from (N, L), int64, such as those of :func:`viterbi`; not changed.
        n_steps: passes over the positions, 0 or more.
        n_values: K, the number of tags.
        width: B, 1 or more; 1 is a coordinate descent from left to right.
        mask: (N, L) bool; positions where it is False stay as they are. None searches all.
        generator: on x0's device, as of every sampler; the search draws nothing.

    Returns:
        x (N, L); info ``energy`` at x, (N,).

    Raises:
        ValueError: tags or a mask of another shape, tags out of 0 .. K - 1, counts out of their range, or more tags
            than the energy knows.
        FloatingPointError: the energies at the end are not finite.

    >>> agree = lambda y: (y[:, 0] != y[:, -1]).float() - 1.5 * (y[:, 0] == 2)  # ends agree, 2 is best
    >>> x0 = torch.zeros(1, 4, dtype=torch.int64)
    >>> beam(agree, x0, n_steps=1, n_values=3, width=3, generator=torch.Generator()).x.tolist()
    [[2, 0, 0, 2]]
    """
    check_generator(generator, x0)
    check_count("n_steps", n_steps)
    check_count("n_values", n_values, least=1)
    check_count("width", width, least=1)
    if x0.ndim != 2 or x0.dtype != torch.int64 or x0.shape[1] == 0:
        raise ValueError(
            f"a beam starts from int64 tags (N, L), L > 0, got {tuple(x0.shape)} of {x0.dtype}: "
            f"use x0[None] for one sentence."
        )
    check_tokens(x0, n_values, what="tag")
    check_moves(mask, tuple(x0.shape))
    x = x0.clone()
    with frozen(energy):
        for _ in range(n_steps):
            x = _pass(energy, x, n_values, width, mask)
        e = energies_of(energy, x)
    check_finite("the energy of tags", e, "Check the energy's parameters.")
    return Negatives(x, {"energy": e})


def _pass(energy: Energy, x: Tensor, n_values: int, width: int, mask: Tensor | None) -> Tensor:
    """The lowest of the rows that are kept to the end."""
    search = energy.completions(x) if isinstance(energy, CompletesPrefix) else _Recomputed(energy, x, n_values)
    rows, values = x[:, None], torch.arange(n_values, device=x.device)  # (N, B, L), B = 1 at first
    for t in range(x.shape[1]):
        e, here = search.energies(), rows[:, :, t, None]  # (N, B, K), (N, B, 1)
        if e.shape[2] < n_values:
            raise ValueError(f"n_values is the number of tags: expected {e.shape[2]} or fewer, got {n_values}.")
        e = e[..., :n_values]
        if mask is not None:  # at a pad a row goes on with what it has, once
            real = mask[:, t, None, None]
            e = torch.where(real, e, e.gather(2, here).expand_as(e).masked_fill(values > 0, torch.inf))
        kept = min(width, e[0].numel()) if len(e) else width
        best = e.flatten(1).sort(dim=1, stable=True).indices[:, :kept]  # lowest first, of equal ones the first
        parents, tags = best // n_values, best % n_values  # (N, B')
        if mask is not None:
            tags = torch.where(mask[:, t, None], tags, here[..., 0].gather(1, parents))
        rows = rows.gather(1, parents[..., None].expand(-1, -1, x.shape[1]))
        rows[:, :, t] = tags
        search.keep(parents, tags)
    return rows[:, 0].clone()


class _Recomputed:
    """Completions of any energy: each whole sentence is scored anew."""

    def __init__(self, energy: Energy, x: Tensor, n_values: int):
        self.energy, self.rows, self.t = energy, x[:, None], 0
        self.values = torch.arange(n_values, device=x.device)

    def energies(self) -> Tensor:
        (n, b, length), k = self.rows.shape, len(self.values)
        candidates = self.rows[:, :, None].repeat(1, 1, k, 1)  # (N, B, K, L)
        candidates[..., self.t] = self.values
        return energies_of(self.energy, candidates.view(n * b * k, length)).view(n, b, k)

    def keep(self, rows: Tensor, tags: Tensor) -> None:
        self.rows = self.rows.gather(1, rows[..., None].expand(-1, -1, self.rows.shape[2]))
        self.rows[..., self.t], self.t = tags, self.t + 1
