"""The worked example of CONTRIBUTING.md runs as it stands there: a sampler, an energy, a recipe and an experiment."""

from __future__ import annotations

import doctest
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import ebm_course
from ebm_course.experiments.experiment import reproduce
from ebm_course.runtime import setup

GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCKS = dict(re.findall(r"```python\n# (ebm_course/\S+\.py)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """The modules of the example by name, found beside the package's own for as long as the tests run."""
    root, patch = tmp_path_factory.mktemp("guide"), pytest.MonkeyPatch()
    for name, text in BLOCKS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
        package = importlib.import_module(".".join(name.split("/")[:2]))
        patch.setattr(package, "__path__", [*package.__path__, str(root / "/".join(name.split("/")[:2]))])
    likelihood = importlib.import_module("ebm_course.recipes.likelihood")
    patch.setattr(likelihood, "__path__", [*likelihood.__path__, str(root / "ebm_course/recipes/likelihood")])
    names = [name.removesuffix(".py").replace("/", ".") for name in BLOCKS]
    yield {name.rpartition(".")[2]: importlib.import_module(name) for name in names}
    patch.undo()
    for name in names:
        sys.modules.pop(name)


def test_the_guide_shows_one_of_each_kind() -> None:
    rooms = ["samplers", "energies", "recipes", "experiments"]
    assert [name.split("/")[1] for name in BLOCKS] == rooms and ebm_course.__version__


def test_the_examples_of_the_example_run(example: dict[str, ModuleType]) -> None:
    for name in ("metropolis", "counts"):
        results = doctest.testmod(sys.modules["ebm_course.energies.counts"] if name == "counts" else example[name])
        assert results.attempted and not results.failed


def test_the_sampler_has_the_stationary_law_it_says(example: dict[str, ModuleType]) -> None:
    g, e = torch.Generator().manual_seed(0), torch.tensor([0.0, 0.5, 1.5])
    x0 = torch.zeros(20_000, 1, dtype=torch.int64)
    options: dict[str, Any] = {"n_steps": 30, "n_values": 3, "generator": g}
    x = example["metropolis"].metropolis(lambda x: e[x[:, 0]], x0, **options).x
    p = torch.softmax(-e, dim=0)
    shares = torch.bincount(x[:, 0], minlength=3) / len(x)
    assert ((shares - p).abs() <= 5 * (p * (1 - p) / len(x)).sqrt()).all()


@pytest.mark.slow
def test_the_experiment_is_reproduced_by_the_engine_and_judged(example: dict[str, ModuleType], tmp_path: Path) -> None:
    experiment = example["experiment"].EXPERIMENT
    run = setup(0, device="cpu", quiet=True)
    found = reproduce(experiment, experiment.presets["cpu"], run, folder=tmp_path, progress=False)
    errors = {entry.name: entry.value for entry in found.entries}
    assert errors["cd-10/error"] < errors["cd-1/error"] + 0.05 and errors["cd-1/error"] < 0.3  # from 0.75 untrained
    assert [judged.claim.name for judged in found.claims] == ["longer"] and len(found.work) == 10
    assert reproduce(experiment, experiment.presets["cpu"], run, folder=tmp_path, progress=False) == found
