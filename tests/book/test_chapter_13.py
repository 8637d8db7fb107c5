"""Chapter 13: the bare remedies equal the package's, and its table of remedies is that of the ledger."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Loss
from ebm_course.energies.sequence_energies import LikelihoodEnergy, PooledEnergy
from ebm_course.energies.transformer import Transformer
from ebm_course.exercises import WrongAnswer, check
from ebm_course.results import ledger
from ebm_course.runtime import Run
from ebm_course.samplers.substitution import substitution
from ebm_course.training.update import update

NAME = "13_scaling_out"


@pytest.fixture
def bare(chapter: Callable[[str], Any]) -> dict[str, Any]:
    return chapter(NAME).run("bare")


def random_net(n_values: int, length: int, seed: int) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(n_values, length, width=8, n_layers=2, n_heads=2, dropout=0.0)


@pytest.mark.parametrize("max_rows", [1, 7, 300])
def test_the_bare_search_in_pieces_equals_the_package(bare: dict[str, Any], max_rows: int):
    energy = PooledEnergy(random_net(300, 6, seed=0)).double().eval()
    x = torch.randint(300, (5, 6), generator=torch.Generator().manual_seed(1))
    options = {"n_steps": 1, "synonyms": None, "include_current": True, "max_rows": max_rows}
    for i in range(6):
        packaged = substitution(energy, x, free=torch.arange(6) == i, **options).x
        mine = torch.stack([bare["lowest"](energy, row, i, torch.arange(300), max_rows) for row in x])
        assert torch.equal(mine, packaged)
        assert not torch.equal(mine, x)


def test_the_bare_search_never_scores_more_rows_than_allowed(bare: dict[str, Any]):
    seen = []

    def energy(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x.sum(dim=1).double()

    found = bare["lowest"](energy, torch.tensor([4, 4]), 1, torch.arange(10).flip(0), 4)
    assert seen == [4, 4, 2]
    assert found.tolist() == [4, 0]


class OneOfTwo(Run):
    """A process whose partner's message is known beforehand."""

    def mean(self, x: Tensor) -> Tensor:
        return (x + PARTNER[0]) / 2


PARTNER: list[Tensor] = []


def test_the_bare_workers_make_the_packages_update(bare: dict[str, Any]):
    """Once with all rows in one process, once with a shard and the other process's gradients."""
    x = torch.randint(16, (8, 6), generator=torch.Generator().manual_seed(2))
    start = LikelihoodEnergy(random_net(16, 6, seed=3)).double()
    workers = [copy.deepcopy(start), copy.deepcopy(start)]
    bare["update_together"](workers, torch.mean, x, 0.1)
    two = [OneOfTwo(torch.device("cpu"), 0, rank=rank, n_processes=2) for rank in range(2)]
    PARTNER[:] = [
        torch.cat([g.flatten() for g in torch.autograd.grad(start(two[1].share(x)).mean(), start.parameters())])
    ]
    for run in (Run(torch.device("cpu"), 0), two[0]):
        energy = copy.deepcopy(start)
        loss, sgd = Loss(energy(run.share(x)).mean()), torch.optim.SGD(energy.parameters(), lr=0.1)
        update(loss, energy, sgd, clip=1e9, run=run)
        for worker in workers:
            same_weights(worker, energy)
    assert not torch.equal(next(iter(start.parameters())), next(iter(workers[0].parameters())))


def same_weights(one: nn.Module, other: nn.Module) -> None:
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)  # sums in another order, double precision


REMEDIES = (
    "attack-ratio/freezes/both",
    "attack-ratio/toggles/both",
    "pretraining-ratio/bfloat16",
    "processes-ratio/2",
    "pretraining-ratio/compiled",
)


def test_the_table_on_the_first_screen_is_that_of_the_ledger(chapter: Callable[[str], Any]):
    head = chapter(NAME).text[2].source
    written = re.findall(r"^\| .+ \| (\d[\d.]*) ± ([\d.]+).* \|$", head, flags=re.MULTILINE)
    record = ledger.read("speed-cpu")
    assert len(written) == len(REMEDIES)
    for (value, spread), name in zip(written, REMEDIES, strict=True):
        entry = record.entry(name)
        for text, exact in ((value, entry.value), (spread, entry.spread)):
            digits = len(text.partition(".")[2])
            assert text == f"{exact:.{digits}f}", name


def test_the_head_says_what_two_processes_change_where_the_recorded_net_has_dropout(chapter: Callable[[str], Any]):
    head, record = chapter(NAME).text[2].source, ledger.read("speed-cpu")
    (row,) = re.findall(r"^\| two processes .+$", head, flags=re.MULTILINE)
    assert record.config["pretraining"]["dropout"] > 0 and "dropout" in row
    told = [record.config[f"attack_{size}"] for size in ("chains", "steps")]
    assert "one of {} chains and {} steps on a net with random weights".format(*told) in head


@pytest.mark.parametrize("whole", ["-torch.logsumexp(-energies, 0)", "-(-energies).logsumexp(0)"])
def test_a_free_energy_that_is_not_taken_in_pieces_is_refused(chapter: Callable[[str], Any], whole: str):
    (cell,) = (cell for cell in chapter(NAME).notebook.cells if cell.id == "13-ex5-try")
    names = {"torch": torch, "check": check}
    with pytest.raises(WrongAnswer, match="logsumexp of 49 numbers at once"):
        exec(cell.source.replace("None  #", f"lambda energies, max_rows: {whole}  #"), names)
