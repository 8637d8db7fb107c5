"""Chapter 5: the bare attack equals the package's batched one at every step; what the text and solutions tell holds."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.energies.sequence_energies import CorrectedEnergy, LikelihoodEnergy, PooledEnergy, SequenceEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.exercises import WrongAnswer, check
from ebm_course.runtime import Run
from ebm_course.samplers.substitution import substitution
from ebm_course.tasks.arithmetic import VOCABULARY, ZERO, Format, digit_synonyms
from ebm_course.tasks.arithmetic_score import correctness

N_DIGITS, N_ROWS, N_STEPS = 2, 5, 6
LAYOUT = Format(N_DIGITS)
DIGITS = torch.arange(ZERO, ZERO + 10)


def random_energy(head: type[SequenceEnergy], seed: int) -> SequenceEnergy:
    """A small net with large random weights, in double precision so that no tie is decided by rounding."""
    generator = torch.Generator().manual_seed(seed)
    energy = head(Transformer(len(VOCABULARY), LAYOUT.length, width=8, n_layers=2, n_heads=2, dropout=0.0)).double()
    for p in energy.parameters():
        p.data.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.7)
    return energy.eval()


def random_rows(seed: int) -> Tensor:
    """Equations, right or wrong, the last of them malformed: a plus sign stands where a digit should."""
    generator = torch.Generator().manual_seed(seed)
    x = LAYOUT.equations([10] * N_ROWS, [10] * N_ROWS)
    free = LAYOUT.digit_positions()
    x[:, free] = torch.randint(ZERO, ZERO + 10, (N_ROWS, int(free.sum())), generator=generator)
    x[-1, 1] = VOCABULARY.index("+")
    return x


@pytest.mark.parametrize("head", [LikelihoodEnergy, PooledEnergy, CorrectedEnergy])
@pytest.mark.parametrize("where", [LAYOUT.digit_positions(), LAYOUT.answer_positions()], ids=["digits", "answer"])
def test_the_bare_attack_equals_the_package_at_every_step(
    chapter: Callable[[str], Any], head: type[SequenceEnergy], where: Tensor
):
    attack = chapter("05_the_discrete_attack").run("bare", torch=torch)["attack"]
    energy, x0 = random_energy(head, seed=0), random_rows(seed=1)
    bare = torch.stack([attack(energy, x, N_STEPS, where, DIGITS) for x in x0], dim=1)  # (T + 1, N, L)
    batched = substitution(energy, x0, n_steps=N_STEPS, synonyms=digit_synonyms(), free=where, keep_path=True)
    assert batched.path is not None
    assert torch.equal(bare, batched.path)
    assert not torch.equal(bare[-1], x0)
    assert torch.equal(bare[:, -1, 1], x0[-1:, 1].expand(N_STEPS + 1))  # what is no digit has no synonym


@pytest.fixture(scope="module")
def names(chapter: Callable[[str], Any]) -> dict[str, Any]:
    """The chapter's nets, starts and proposals, and the answers of its exercises."""
    notebook = chapter("05_the_discrete_attack")
    found = notebook.run("given", torch=torch, run=Run(torch.device("cpu"), 0))
    for cell in notebook.text:
        for fold in re.findall(r"<summary>Solution</summary>(.*?)</details>", cell.source, flags=re.DOTALL):
            exec("\n".join(re.findall(r"```python\n(.*?)```", fold, flags=re.DOTALL)), found)
    return found


def test_exercise_1_names_the_slip_that_leads_to_an_answer(chapter: Callable[[str], Any]):
    """The largest entry and the Euclidean norm both pick token 1; adding with signs picks token 2, which is right."""
    gradients = torch.tensor([[3.0, 0.0], [2.0, 2.0], [-1.0, 2.5]])
    assert [int(g.argmax()) + 1 for g in (gradients.abs().amax(1), gradients.norm(dim=1), gradients.sum(1))] == [
        1,
        1,
        2,
    ]
    (cell,) = (cell.source for cell in chapter("05_the_discrete_attack").code if cell["id"] == "ex1-check")
    with pytest.raises(WrongAnswer, match="no squares there, and not the largest alone"):
        exec(cell.replace("picked = None", "picked = (1, 1)"), {"check": check})


def test_the_certificate_is_that_of_exhaustive_search(names: dict[str, Any]):
    """A right answer with more than half of the probability has the lowest energy of all 10,000 answers."""
    layout, energy = names["layout"], copy.deepcopy(names["energy"]).float()
    first, question = layout.first_answer, layout.encode(["626+286=0912"])
    every = question.repeat(10_000, 1)
    number = torch.arange(10_000)
    every[:, first:-1] = torch.stack([number // 10**k % 10 for k in (3, 2, 1, 0)], dim=1) + ZERO
    with torch.no_grad():
        e = torch.cat([energy(part) for part in every.split(1_000)])
    assert int(e.argmin()) == 912
    assert torch.softmax(-e, dim=0)[912] > 0.98


def test_the_sweep_is_ahead_of_the_saliency_at_sixty_evaluations(names: dict[str, Any]):
    """The numbers of exercise 4: six steps of 10 evaluations against five of 11, from all 200 starts."""
    x, options = names["x_lm"], {"synonyms": names["synonyms"], "free": names["free"], "position_memory": True}
    swept = substitution(names["energy"], x, n_steps=6, propose=names["sweep"], **options)
    salient = substitution(names["energy"], x, n_steps=5, **options)
    right = [correctness(end.x, 3) for end in (swept, salient)]
    assert len(x) == 200 and [float(share.mean()) for share in right] == pytest.approx([0.94, 0.89], abs=0.006)
    ahead = right[0] - right[1]
    assert float(ahead.mean()) == pytest.approx(0.059, abs=0.0015)
    assert float(ahead.std()) / 200**0.5 == pytest.approx(0.016, abs=0.0005)


def test_to_accept_only_improvements_is_to_have_the_current_token_among_the_candidates(names: dict[str, Any]):
    x, options = names["x_lm"][:20], {"n_steps": 6, "synonyms": names["synonyms"], "free": names["free"]}
    careful = substitution(names["energy"], x, only_improve=True, **options)
    assert torch.equal(careful.x, substitution(names["energy"], x, include_current=True, **options).x)


def test_spurious_modes_survive_in_the_joint_energy(names: dict[str, Any]):
    """Exercise 6: the answers get better, and most ends are still wrong below the median energy of data."""
    x, residual = names["x_lm"][:24], names["residuals"][1]
    options = {"synonyms": names["synonyms"], "free": names["free"], "position_memory": True}
    ends = substitution(names["joint"], x, n_steps=12, **options).x
    right = correctness(ends, 3)
    with torch.no_grad():
        below = residual(ends) < residual(names["real"]).median()
    assert right.mean() > correctness(x, 3).mean() + 0.05
    assert (below & (right < 1)).double().mean() > 0.5
