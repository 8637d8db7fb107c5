"""What exercises of chapters 7 and 11 say of answers that are wrong in one way, or right in an unusual one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ebm_course.exercises import WrongAnswer, check

NAMES = {7: "07_a_classifier_is_an_energy", 11: "11_adversarial_training_of_text_classifiers"}


@pytest.fixture
def judged(chapter: Callable[[str], Any]) -> Callable[..., str]:
    """Why the checks of an exercise refuse an answer, given by its name; empty where it is right."""

    def why(number: int, cell_id: str, **answer: Any) -> str:
        opened = chapter(NAMES[number])
        (source,) = [cell.source for cell in opened.code if cell["id"] == f"{number:02}-{cell_id}"]
        names: dict[str, Any] = {"torch": torch, "F": F, "check": check}
        exec(source, names)
        ((name, given),) = answer.items()
        calls = re.findall(r"^check\(.*?\)$", source, flags=re.MULTILINE | re.DOTALL)
        (call,) = [call for call in calls if re.match(rf"check\(\s*\"[\w -]+\",\s*{name},", call)]
        try:
            exec(call, names | {name: given})
        except WrongAnswer as wrong:
            return str(wrong)
        return ""

    return why


def climbed(delta: Any, g: Any, mask: Any, eta: float, rho: float, norm: Callable[[Any], Any]) -> Any:
    g = g * mask[..., None]
    delta = delta + eta * g / norm(g)
    return delta * (rho / norm(delta)).clamp_max(1) if rho else delta


def test_an_ascent_of_the_whole_batch_is_refused_and_one_of_each_sentence_is_right(judged: Callable[..., str]):
    each = partial(climbed, norm=lambda x: x.flatten(1).norm(dim=1)[:, None, None])
    assert judged(11, "ex2-cell", ascend=each) == ""
    assert "not one for the batch" in judged(11, "ex2-cell", ascend=partial(climbed, norm=torch.norm))


def test_an_update_against_a_perturbation_that_goes_down_is_another(judged: Callable[..., str]):
    def slope(theta: float, delta: float) -> float:
        return (theta * (1 + delta) - 3) * (1 + delta)

    first = 1 - 0.1 * slope(1.0, 0.0)
    for delta, why in ((-0.5, ""), (0.5, "climbs the loss")):
        after_freelb = 1 - 0.1 * (slope(1.0, 0.0) + slope(1.0, delta)) / 2
        found = [
            judged(11, "ex5-cell", after_freelb=after_freelb),
            judged(11, "ex5-cell", after_free=first - 0.1 * slope(first, delta)),
        ]
        assert all(why in words and bool(words) == bool(why) for words in found)


@pytest.mark.parametrize("share, why", [(0.018, ""), (1.8, "not a percentage"), (0.02, "the radius over the length")])
def test_a_share_may_be_rounded_and_is_no_percentage(judged: Callable[..., str], share: float, why: str):
    found = judged(11, "ex3-cell", share=share)
    assert why in found and bool(found) == bool(why)


@pytest.mark.parametrize("factor, why", [(0.58, ""), (0.5, "the mean of u squared")])
def test_the_length_of_a_start_may_be_rounded_as_in_the_text(judged: Callable[..., str], factor: float, why: str):
    found = judged(11, "ex1-cell", start_length=lambda gamma: factor * gamma)
    assert why in found and bool(found) == bool(why)


def loss(logits: Any, y: Any, samples: Any, of_samples: Callable[[Any], Any]) -> Any:
    return F.cross_entropy(logits, y) - logits.logsumexp(1).mean() + of_samples(samples.logsumexp(1))


def test_a_sum_over_samples_is_refused_and_the_joint_loss_written_otherwise_is_right(judged: Callable[..., str]):
    assert judged(7, "ex3-check", joint_loss=partial(loss, of_samples=torch.mean)) == ""
    assert "a mean over samples" in judged(7, "ex3-check", joint_loss=partial(loss, of_samples=torch.sum))
    otherwise = judged(  # cross-entropy and energy of data together are minus the logit of the label
        7, "ex3-check", joint_loss=lambda f, y, s: s.logsumexp(1).mean() - f.gather(1, y[:, None]).mean()
    )
    assert otherwise == ""


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda f, log_q: f.log_softmax(1) + log_q[:, None], ""),
        (lambda f, log_q: f + (log_q + f.logsumexp(1))[:, None], "E is minus the logsumexp"),
        (lambda f, log_q: f.log_softmax(1) - log_q[:, None], "-E becomes log q"),
        (lambda f, log_q: f.softmax(1) * log_q.exp()[:, None], "that is the joint density"),
    ],
)
def test_a_density_that_is_not_the_wished_one_is_told_why(judged: Callable[..., str], change: Any, why: str):
    found = judged(7, "ex2-check", with_density=change)
    assert why in found and bool(found) == bool(why)
