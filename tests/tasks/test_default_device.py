"""Tasks and batches are made on the CPU whatever torch's default device is; ``Batch.to`` moves them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.tasks.agreement import agreement
from ebm_course.tasks.arithmetic import arithmetic, digit_synonyms
from ebm_course.tasks.images import digits
from ebm_course.tasks.text import toy
from ebm_course.tasks.toy2d import toy2d
from ebm_course.tasks.toy2d_densities import ring
from ebm_course.training.batches import Batches


@pytest.fixture
def elsewhere() -> Iterator[None]:
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.usefixtures("elsewhere")
def test_the_default_device_moves_no_data() -> None:
    for task in (arithmetic(2, n_train=20, n_valid=5, n_test=5), toy2d(ring(), n_train=20, n_valid=5, n_test=50)):
        assert {part.x.device.type for part in (task.train, task.valid, task.test)} == {"cpu"}
        assert task.score(task.test.x, task.test)
    made = agreement(n_train=20, n_valid=5, n_test=5).task
    for part in (made.train, made.valid, made.test):
        assert part.y is not None and {part.x.device.type, part.y.device.type} == {"cpu"}
    assert made.score(made.test.y, made.test)["accuracy"] == 1.0
    texts = toy(n_train=20, n_valid=5, n_test=5)
    for part in (texts.train, texts.valid, texts.test):
        assert part.y is not None and {part.x.device.type, part.y.device.type} == {"cpu"}
    assert texts.score(torch.zeros(5, 2, device="cpu"), texts.test)
    images = digits()
    assert {part.x.device.type for part in (images.train, images.valid, images.test)} == {"cpu"}
    assert images.score(torch.zeros(360, 10, device="cpu"), images.test)
    assert digit_synonyms().device.type == "cpu"
    batches = Batches(Batch(torch.arange(6, device="cpu")), 6, seed=0)
    assert sorted(batches[0].x.tolist()) == list(range(6))
