"""Images against a judge: held-out ones in equal numbers, pixels clamped, anchors that no energy made."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Batch
from ebm_course.experiments.images import quality
from ebm_course.experiments.images.quality import PALER, Reference, anchors
from ebm_course.samplers.class_gaussians import ClassGaussians


class Pixels(nn.Module):
    """A judge whose features are the pixels and whose logits are four of them."""

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[:, :4]


def images(n: int, seed: int) -> Tensor:
    return 2 * torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(seed)) - 1


HELD_OUT, TRAIN = images(30, 0), images(60, 1)


def test_held_out_images_are_at_distance_0_from_themselves_and_training_images_are_not() -> None:
    reference = Reference(Pixels(), HELD_OUT, TRAIN)
    itself, trained_on = reference.quality(HELD_OUT), reference.quality(TRAIN[:30])
    assert itself["distance"] == pytest.approx(0, abs=1e-6) and itself["recall"] == 1 and itself["nearest"] == 1
    assert trained_on["distance"] > 1e-3 and trained_on["nearest"] == 0


def test_training_images_in_the_place_of_held_out_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="held-out images are not those trained on"):
        Reference(Pixels(), TRAIN[:30], TRAIN).quality(HELD_OUT)


def test_the_nearest_is_looked_for_among_so_many_and_training_images_are_drawn_from_these(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quality, "MOST_TRAINED_ON", 40)
    y = torch.arange(60) % 3
    found = anchors(Batch(TRAIN, y), ClassGaussians.fit(TRAIN, y, 3), 30, torch.Generator().manual_seed(0))
    reference = Reference(Pixels(), HELD_OUT, TRAIN)
    assert torch.equal(reference.train, TRAIN[:40]) and reference.quality(found["train"])["nearest"] == 0


@pytest.mark.parametrize("change", [lambda x: (x + 1) / 2, lambda x: 127.5 * (x + 1), lambda x: x / 0])
def test_images_of_another_range_are_no_reference(change: Callable[[Tensor], Tensor]) -> None:
    for sets in ((change(HELD_OUT), TRAIN), (HELD_OUT, change(TRAIN))):
        with pytest.raises(ValueError, match=r"images lie in \[-1, 1\]: got"):
            Reference(Pixels(), *sets)


def test_another_number_of_images_is_refused() -> None:
    with pytest.raises(ValueError, match="sets of one size are compared: expected 30 images, got 29"):
        Reference(Pixels(), HELD_OUT, TRAIN).quality(HELD_OUT[:29])


def test_pixels_are_clamped_before_they_are_judged() -> None:
    reference, bright = Reference(Pixels(), HELD_OUT, TRAIN), 3 * images(30, 2)
    assert reference.quality(bright) == reference.quality(bright.clamp(-1, 1))


def test_anchors_are_what_they_are_called() -> None:
    y = torch.arange(60) % 3
    gaussians = ClassGaussians.fit(TRAIN, y, 3)
    found = anchors(Batch(TRAIN, y), gaussians, 30, torch.Generator().manual_seed(0))
    assert {len(x) for x in found.values()} == {30}
    assert torch.equal(found["paler"], PALER * found["train"])
    rows = (found["train"][:, None] == TRAIN[None]).flatten(2).all(dim=2).float().argmax(dim=1)
    assert torch.equal(found["means"], gaussians.means[y[rows]])  # each of the class of the real image in its place
    assert (found["train"][:, None] == TRAIN[None]).flatten(2).all(dim=2).any(dim=1).all()
    assert len(found["train"].unique(dim=0)) == 30 and len(found["means"].unique(dim=0)) == 3
    with pytest.raises(ValueError, match="expected 61 training images or more, got 60"):
        anchors(Batch(TRAIN, y), gaussians, 61, torch.Generator().manual_seed(0))
