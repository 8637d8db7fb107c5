"""Texts put back into words: the figures by hand, the control without an attack, what is no word stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch
from ebm_course.energies.reconstruction_head import Reconstructing
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.experiments.text import evaluation, measurements, reconstruction
from ebm_course.experiments.text.config import SMOKE
from ebm_course.experiments.text.evaluation import Attack, attacked_embeddings
from ebm_course.experiments.text.measurements import Bench
from ebm_course.experiments.text.reconstruction import judged, reconstructed
from ebm_course.runtime import Run

ATTACK = Attack(n_steps=2, relative_step=0.5)
X = torch.tensor([[2, 5, 6, 3, 0], [2, 7, 3, 0, 0], [2, 8, 1, 5, 3]])
MASK = X > 0
ROWS = Batch(X, torch.tensor([0, 1, 0]), MASK)
IS_WORD = torch.arange(10) >= 5
"""Pad, unknown word, start and end are none."""


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def module(kept: Tensor | None = None) -> Reconstructing:
    torch.manual_seed(0)
    made = Reconstructing(TextClassifier(10, 2, width=8, n_layers=1, n_heads=2, max_length=5), kept=kept)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.5 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    return made.eval()


@pytest.mark.parametrize("kept", [None, torch.tensor([0, 1, 2, 3, 5, 6, 7, 8])], ids=["whole", "kept"])
def test_the_likeliest_word_at_a_state_takes_the_place_of_a_word_and_nothing_else(kept: Tensor | None) -> None:
    made = module(kept)
    found = reconstructed(made, ROWS, 0.4, ATTACK, generator(), IS_WORD)
    moved = attacked_embeddings(made.classifier, ROWS, 0.4, ATTACK, generator())
    with torch.no_grad():
        best = made.head(made.classifier.logits_and_states(moved, MASK)[1]).argmax(dim=2)
    best = best if kept is None else kept[best]
    for i in range(3):
        for j in range(5):
            assert found[i, j] == (best[i, j] if X[i, j] >= 5 else X[i, j])
    assert (found[X >= 5] != X[X >= 5]).any()


def test_without_an_attack_the_head_alone_reads_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    made = module()
    monkeypatch.setattr(evaluation, "pgd_embeddings", None)  # not called
    found = reconstructed(made, ROWS, 0.0, ATTACK, generator(), IS_WORD)
    with torch.no_grad():
        best = made.head.words(made.classifier.logits_and_states(made.classifier.embed(X), MASK)[1])
    assert torch.equal(found, torch.where(IS_WORD[X], best, X))


class Reads(nn.Module):
    """Class 1 where the second token is one of these."""

    def __init__(self, *ones: int):
        super().__init__()
        self.ones = torch.tensor(ones)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return nn.functional.one_hot(torch.isin(x[:, 1], self.ones).long(), 2).float()


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Of three texts: the first becomes another that fools, the second comes back, the third changes in one word.

    Plain training reads the first two rightly.
    """
    new = torch.tensor([[2, 9, 6, 3, 0], [2, 7, 3, 0, 0], [2, 8, 1, 6, 3]])
    vectors = {5: [1.0, 0.0], 9: [0.0, 1.0], 7: [2.0, 2.0], 8: [3.0, 0.0]}

    def made(module: Any, part: Batch, *_: Any) -> Tensor:
        rows = [X.tolist().index(row + [0] * (5 - len(row))) for row in part.x.tolist()]
        return new[rows, : part.x.shape[1]]

    monkeypatch.setattr(reconstruction, "reconstructed", made)

    def meaning(part: Batch) -> Tensor:
        return torch.tensor([vectors[k] for k in part.x[:, 1].tolist()])

    plain = Reads(7, 8, 9)  # labels 0, 1, 0: the third is misread before and after
    return judged(module(), plain, meaning, ROWS, 0.1, ATTACK, generator(), is_word=IS_WORD)


def test_words_and_texts_that_come_back_are_counted(figures: dict[str, float]) -> None:
    assert figures["recovered"] == pytest.approx(3 / 5)  # words: 5 6, 7, 8 5; not the unknown one
    assert figures["changed"] == pytest.approx(2 / 3)


def test_only_texts_that_plain_training_read_rightly_can_fool_it(figures: dict[str, float]) -> None:
    assert figures["fooled"] == pytest.approx(1 / 2)


def test_the_meaning_is_compared_with_that_of_a_neighbour(figures: dict[str, float]) -> None:
    assert figures["meaning"] == pytest.approx((0 + 1 + 1) / 3)
    assert figures["meaning-others"] == pytest.approx((1 + 2 / 2**0.5) / 3)  # of the text before, or of the last one


def test_where_plain_training_reads_nothing_rightly_nothing_is_fooled() -> None:
    def meaning(part: Batch) -> Tensor:
        return torch.ones(len(part), 2)

    wrong = Reads(5, 8)
    assert judged(module(), wrong, meaning, ROWS, 0.4, ATTACK, generator(), is_word=IS_WORD)["fooled"] == 0


def test_a_head_that_names_every_word_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = module()
    monkeypatch.setattr(reconstruction, "reconstructed", lambda module, part, *_: part.x)
    found = judged(
        made,
        Reads(7),
        lambda part: made.classifier.embed(part.x).mean(dim=1).detach(),
        ROWS,
        0.1,
        ATTACK,
        generator(),
        is_word=IS_WORD,
    )
    assert (found["recovered"], found["changed"], found["fooled"]) == (1.0, 0.0, 0.0)
    assert found["meaning"] == pytest.approx(1.0) and found["meaning-others"] < 0.999


def test_parts_change_no_figure_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    made, rows = module(), ROWS[ROWS.lengths.argsort()]

    def found() -> dict[str, float]:
        figures = judged(made, Reads(7), meaning, rows, 0.4, ATTACK, generator(), is_word=IS_WORD)
        return {name: figures[name] for name in ("recovered", "changed", "fooled", "meaning")}

    def meaning(part: Batch) -> Tensor:
        with torch.no_grad():
            return made.classifier.logits_and_states(made.classifier.embed(part.x), part.mask)[2]

    whole = found()
    monkeypatch.setattr(evaluation.parts, "__defaults__", (2,))
    assert found() == pytest.approx(whole, abs=1e-5)


def test_words_are_to_fool_plain_training_of_their_run_and_its_judge_says_what_they_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(SMOKE, reconstruction_radii=(0.0, 0.5))
    bench, seen = Bench(config, Run(torch.device("cpu"), 0)), list[tuple[Any, ...]]()

    def judged(module: Any, fooled: Any, meaning: Any, rows: Batch, radius: float, *rest: Any, **_: Any) -> None:
        seen.append((module, fooled, meaning(rows), radius, rest[1].initial_seed()))

    for name in ("module", "net"):
        monkeypatch.setattr(bench, name, lambda results, variant, k: (variant.name, k))
    monkeypatch.setattr(bench, "judge", lambda results, data, k: (f"judge of {data}", k))
    monkeypatch.setattr(measurements, "represented", lambda net, rows: (net, None))
    monkeypatch.setattr(reconstruction, "judged", judged)
    bench.reconstruct(config.variant("toy/rar"), config.variant("toy/plain"), 1)(Path(), None)  # type: ignore[arg-type]
    nets = (("toy/rar", 1), ("toy/plain", 1), ("judge of toy", 1))
    assert [one[:-1] for one in seen] == [(*nets, 0.0), (*nets, 0.5)]
    assert seen[0][-1] != seen[1][-1], "each radius has a stream of its own"
