"""Pretraining by hidden digits: it learns what it is asked for, hides digits only, and resumes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ebm_course.core import Batch
from ebm_course.recipes.sequences import adversarial, language_model, masked_language_model
from ebm_course.recipes.sequences.parts import task_for
from ebm_course.runtime import Run
from ebm_course.tasks.arithmetic import Format
from ebm_course.training.update import adamw

RUN = Run(torch.device("cpu"), 0)
CONFIG = replace(masked_language_model.SMOKE, n_rows=40, width=32, rate=5e-3, n_epochs=12, dropout=0.0)


def test_it_learns_rows_by_heart() -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, n_rows=20, n_epochs=250, keep_best=False)
    model, rows, _, _ = masked_language_model.fit(config, RUN, progress=False)
    blind = (math.log(10) + math.log(2)) / 2  # each of ten for the ones, a coin for the tens
    assert rows[-1]["loss"] < rows[0]["loss"] and not model.training
    assert masked_language_model.nll_per_digit(model, task_for(1).train.x[:20]) < blind - 0.2
    assert masked_language_model.nll_per_digit(model, task_for(1).valid.x) == pytest.approx(rows[-1]["valid_nll"])


def test_only_digits_are_hidden_and_only_hidden_ones_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config, x = replace(CONFIG, mask_share=1.0), task_for(1).train.x[:8]
    model = masked_language_model.build(config)
    seen, original = [], model.net.logits
    monkeypatch.setattr(model.net, "logits", lambda x: (seen.append(x), original(x))[1])
    optimizer = adamw(model, rate=0.0, weight_decay=0.0, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    step = masked_language_model.make_step(model, optimizer, schedule, config=config)
    loss = step(Batch(x), torch.Generator().manual_seed(0))["loss"]
    digits = Format(1).digit_positions()
    assert torch.equal(seen[0] == masked_language_model.MASK, digits.expand_as(x))
    log_p = original(seen[0]).log_softmax(dim=2).gather(2, x[..., None])[..., 0]
    assert loss.item() == pytest.approx(-log_p[:, digits].mean().item(), rel=1e-5)


def test_a_finished_part_and_a_straight_run_end_with_the_same_weights(tmp_path: Path) -> None:
    def weights(folder: Path | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        config = replace(CONFIG, n_epochs=2, n_rows=40)
        return masked_language_model.fit(config, RUN, folder=folder, progress=False).module.state_dict()

    first, again, straight = weights(tmp_path), weights(tmp_path), weights(None)
    assert all(torch.equal(first[name], again[name]) and torch.equal(first[name], straight[name]) for name in first)


def test_algorithm_1_starts_from_it_and_keeps_the_net_bidirectional() -> None:
    torch.manual_seed(0)
    pretrained = masked_language_model.fit(replace(CONFIG, n_epochs=1), RUN, progress=False).module
    noise = language_model.fit(replace(language_model.SMOKE, width=16), RUN, progress=False).module
    config = replace(adversarial.SMOKE, n_digits=1, keep_best=True)
    energy, rows, last, _ = adversarial.fit(config, RUN, pretrained=pretrained, noise=noise, progress=False)
    assert not energy.net.causal and last is not None
    assert 0 <= min(row["valid_misranked"] for row in rows if "valid_misranked" in row) <= 1


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="mask_share"):
        replace(CONFIG, mask_share=share)
