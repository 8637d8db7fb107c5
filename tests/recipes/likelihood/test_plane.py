from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ebm_course.energies.mlp import MLP
from ebm_course.recipes.likelihood.plane import SMOKE, nll, uniform
from ebm_course.runtime import setup
from ebm_course.tasks.toy2d_densities import Spots

ONE_SPOT = Spots("one", ((0.8, -0.4),), 0.5)


def test_nll_of_a_bowl_is_that_of_the_gaussian_it_is():
    model = MLP(2, width=2, confinement=4.0)  # exp(-2 |x|^2): variance 1/4
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    x = torch.randn(50, 2)
    expected = (2 * x.square().sum(1)).mean() + math.log(2 * math.pi / 4)
    assert nll(model, x, replace(ONE_SPOT, points=((0.0, 0.0),))) == pytest.approx(expected.item(), abs=1e-4)


def test_uniform_points_fill_the_square():
    x = uniform(10_000, torch.Generator().manual_seed(0), extent=3.0)
    assert x.abs().max() <= 3 and ((x.mean(0)).abs() < 5 * 3 / math.sqrt(3 * 10_000)).all()


def test_a_short_training_comes_near_the_entropy_of_the_data():
    config = replace(
        SMOKE, density=ONE_SPOT, n_train=2_000, width=32, n_layers=2, batch_size=128, buffer_size=128,
        n_sampler_steps=5, step_size=0.03, n_steps=150, validate_every=75, rate=1e-2,
    )  # fmt: skip
    result = likelihood_2d.run(config, setup(0, device="cpu", quiet=True), progress=False)
    uniform_nll = 2 * math.log(2 * ONE_SPOT.extent)
    gain = (uniform_nll - result.scores["nll"]) / (uniform_nll - result.scores["entropy"])
    assert gain > 0.85
    assert result.scores["chains_total_variation"] < 0.35


def test_a_run_comes_back_from_its_folder_and_train_notes_its_scores(tmp_path):
    runs = [likelihood_2d.run(SMOKE, setup(0, device="cpu", quiet=True), folder=tmp_path, progress=False) for _ in "12"]
    assert runs[0].rows == runs[1].rows and torch.equal(runs[0].buffer.states, runs[1].buffer.states)
    module, meta = likelihood_2d.train(SMOKE, setup(0, device="cpu", quiet=True), progress=False)
    assert isinstance(module, MLP)
    assert meta["scores"].keys() >= {"nll", "entropy", "chains_total_variation"}
    assert meta["scores"] == runs[0].scores
