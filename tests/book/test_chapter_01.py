"""Chapter 1: the definition comes early, the chapter is short, and its bare code equals the package's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from ebm_course.energies.potts import Potts
from ebm_course.exercises import WrongAnswer, check
from ebm_course.objectives.margin import hinge, perceptron

NAME = "01_what_is_an_energy"
N_ROWS, N_ANSWERS, RATE, N_STEPS = 5, 7, 0.3, 30


def n_words(cells: Iterable[Any]) -> int:
    """Words of the text, formulas among them, without what is folded and without the generated badges."""
    texts = [cell.source for cell in cells if cell.cell_type == "markdown" and cell.id != "badges"]
    return sum(len(re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL).split()) for text in texts)


def n_lines(cells: Iterable[Any]) -> int:
    """Lines of code that a page shows."""
    code = [cell for cell in cells if cell.cell_type == "code" and "hide-input" not in cell.metadata.get("tags", [])]
    return sum(bool(line.strip()) for cell in code for line in cell.source.splitlines())


def first(cells: list[Any], pattern: str) -> int:
    """Where a cell's text first matches."""
    return next(k for k, cell in enumerate(cells) if re.search(pattern, cell.source))


def test_an_energy_is_defined_within_ten_minutes(chapter: Callable[[str], Any], script: Callable[[str], ModuleType]):
    notebook = chapter(NAME).notebook
    definition = first(notebook.cells, r"an \*\*energy\*\*: a function .* every pair of an input")
    assert r"\tag{1.1}" in notebook.cells[definition].source  # no formula with a number stands before it
    notebook.cells = notebook.cells[: definition + 1]
    assert n_words(notebook.cells) <= 1500 and n_lines(notebook.cells) <= 40
    assert script("refresh_notebooks").reading_minutes(notebook) <= 10


def test_the_chapter_is_short(chapter: Callable[[str], Any]):
    cells = chapter(NAME).notebook.cells
    headings = re.findall(r"^## (.+)$", "\n".join(c.source for c in cells if c.cell_type == "markdown"), re.MULTILINE)
    assert len(cells) <= 80
    assert n_words(cells) <= 4350
    assert headings[-3:] == ["Takeaways", "Exercises", "Further reading"] and len(headings[:-3]) <= 7


def test_nats_come_with_probabilities(chapter: Callable[[str], Any]):
    cells = [cell for cell in chapter(NAME).notebook.cells if "costs" not in cell.id]
    assert first(cells, r"\bnats?\b") == first(cells, r"\*\*Gibbs distribution\*\*")


def test_works_that_are_named_are_listed(chapter: Callable[[str], Any]):
    texts = [cell.source for cell in chapter(NAME).text]
    listed = re.findall(r"([A-Z][a-zé]+)\s+\((\d{4})\)\*\*", texts[-1])
    assert len(listed) >= 10
    named = re.findall(r"([A-Z][a-zé]+)(?:'s algorithm)?,? \(?(\d{4})\)", " ".join("\n".join(texts[:-1]).split()))
    assert named and set(named) <= set(listed), set(named) - set(listed)


def test_no_label_of_a_figure_is_small(chapter: Callable[[str], Any]):
    code = "\n".join(cell.source for cell in chapter(NAME).code)
    sizes = [float(size) for size in re.findall(r"(?:fontsize|labelsize)=(\d[\d.]*)", code)]
    assert all(size >= 8 for size in sizes)


def learn_with_package(table: Tensor, x: Tensor, gold: Tensor, *, margin: float | None) -> Tensor:
    """Tables after each step, of a Potts model of two tokens; the perceptron loss where there is no margin."""
    model = Potts(length=2, n_values=N_ANSWERS)
    model.fields.requires_grad_(False)
    model.couplings.data[0, :N_ROWS] = -table
    pairs = torch.cartesian_prod(torch.arange(N_ROWS), torch.arange(N_ANSWERS))
    optimizer, tables = torch.optim.SGD([model.couplings], lr=RATE), [table]
    for _ in range(N_STEPS):
        e = model(pairs).view(N_ROWS, N_ANSWERS)[x]
        e_gold = e.gather(1, gold[:, None])[:, 0]
        if margin is None:
            loss = perceptron(e_gold, e.min(1).values)
        else:
            loss = hinge(e_gold, e.scatter(1, gold[:, None], torch.inf).min(1).values, margin=margin)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        tables.append(model(pairs).view(N_ROWS, N_ANSWERS).detach())
    return torch.stack(tables)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("margin", [None, 0.0, 1.0])
def test_the_bare_table_equals_the_package_at_every_step(
    chapter: Callable[[str], Any], seed: int, margin: float | None
):
    learn_table = chapter(NAME).run("bare", torch=torch)["learn_table"]
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(N_ROWS, N_ANSWERS, generator=generator)
    x = torch.randperm(N_ROWS, generator=generator)[:3]  # the other rows are not seen
    gold = torch.randint(N_ANSWERS, (3,), generator=generator)
    bare = learn_table(table, x, gold, margin=margin or 0.0, rate=RATE, n_steps=N_STEPS)
    torch.testing.assert_close(bare, learn_with_package(table, x, gold, margin=margin), atol=1e-5, rtol=0)
    unseen = torch.ones(N_ROWS, dtype=torch.bool).index_fill(0, x, False)
    assert torch.equal(bare[-1][unseen], table[unseen])


SLOPES = torch.tensor([1.0, -1.0, 0.0, 0.0])
ANSWERS = [
    ((0.5, 1.5, SLOPES), ""),
    ((0.5, 1.5, *SLOPES.tolist()), ""),
    (torch.tensor([0.5, 1.5, *SLOPES.tolist()]).numpy(), ""),
    ((0.5, 1.5, -SLOPES), "the loss falls when the right answer goes down"),
    ((0.0, 0.5, SLOPES), "below 0 here"),
    ((0.5, 1.5), "numbers of shape|6 numbers are asked for"),
]
"""Losses and slopes of exercise 1 as a student may write them, and what the check says; nothing where it is right."""


@pytest.mark.parametrize("answer, said", ANSWERS)
def test_losses_and_slopes_are_taken_in_one_list_or_in_two_and_a_turned_sign_is_named(
    chapter: Callable[[str], Any], answer: Any, said: str
):
    opened = chapter(NAME)
    (cell,) = [cell.source for cell in opened.code if cell["id"] == "push"]
    written = cell.replace("by_hand = None", "by_hand = answer")
    (gaps,) = [cell.source for cell in opened.code if cell["id"] == "gaps"]
    function = re.search(r"^def right_and_offending.*?(?=^\S)", gaps, flags=re.DOTALL | re.MULTILINE)[0]
    names: dict[str, Any] = {"torch": torch, "check": check, "answer": answer}
    exec(function, names)
    if not said:
        exec(written, names)
        return
    with pytest.raises(WrongAnswer, match=said):
        exec(written, names)
