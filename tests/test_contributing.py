"""The worked example of CONTRIBUTING.md runs as it stands there: a sampler, an energy, a recipe and an experiment.

It is held to what the package's own parts are held to: the contracts of samplers and energies, the rules, ruff.
"""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import importlib.util
import inspect
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import ebm_course
from ebm_course.experiments.experiment import reproduce
from ebm_course.origin import plain
from ebm_course.recipes.likelihood import chains
from ebm_course.runtime import setup

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python\n# (ebm_course/\S+\.py)\n(.*?)```", GUIDE, re.DOTALL))
ROWS = dict(re.findall(r"```python\n# (tests/\S+\.py), in [A-Z]+\n(.*?)```", GUIDE, re.DOTALL))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """The modules of the example by name, found beside the package's own for as long as the tests run."""
    root, patch = tmp_path_factory.mktemp("guide"), pytest.MonkeyPatch()
    for name, text in BLOCKS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
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


def test_the_sampler_keeps_the_contract_of_samplers(example: dict[str, ModuleType]) -> None:
    contract = loaded("tests/samplers/test_contract.py")
    assert contract.FOUND["metropolis"] is example["metropolis"].metropolis
    contract.CASES.update(eval(f"{{{ROWS['tests/samplers/test_contract.py']}}}", vars(contract)))
    assert kept(contract, "metropolis", contract.every_sampler) >= 18


def test_the_energy_keeps_the_contract_of_energies(example: dict[str, ModuleType]) -> None:
    contract, energy = loaded("tests/energies/test_contract.py"), sys.modules["ebm_course.energies.counts"].Counts
    assert "Counts" in contract.found()
    contract.ENERGIES.update(
        eval(f"{{{ROWS['tests/energies/test_contract.py']}}}", {**vars(contract), "Counts": energy})
    )
    assert kept(contract, "Counts", contract.every_energy) >= 7
    assert kept(contract, "Counts", contract.discrete_ones) >= 6


def test_the_contract_sees_a_sampler_that_does_not_keep_it(example: dict[str, ModuleType]) -> None:
    contract = loaded("tests/samplers/test_contract.py")
    contract.CASES.update(eval(f"{{{ROWS['tests/samplers/test_contract.py']}}}", vars(contract)))

    def careless(energy: Any, x0: Any, *, n_steps: int, n_values: int, generator: torch.Generator) -> Any:
        return example["metropolis"].metropolis(
            energy, x0, n_steps=max(0, int(n_steps)), n_values=n_values, generator=generator
        )

    contract.FOUND["metropolis"] = careless
    with pytest.raises(pytest.fail.Exception):
        contract.test_a_number_of_steps_that_is_none_is_refused("metropolis", -1)


def test_every_preset_is_a_config_and_can_be_written(example: dict[str, ModuleType]) -> None:
    for module in (sys.modules["ebm_course.recipes.likelihood.counts"], example["experiment"]):
        for config in module.PRESETS.values():
            assert type(config) is module.Config and dataclasses.is_dataclass(config)
            assert " at 0x" not in json.dumps(plain(config), allow_nan=False)
    with pytest.raises(ValueError, match="n_sampler_steps: expected a whole number, 0 or more, got -1"):
        sys.modules["ebm_course.recipes.likelihood.counts"].Config(n_sampler_steps=-1)


def test_a_killed_training_ends_with_the_same_weights(
    example: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, updates, original = sys.modules["ebm_course.recipes.likelihood.counts"], 0, chains.update

    def killed(*args: Any, **rest: Any) -> Any:
        nonlocal updates
        updates += 1
        if updates == 4:  # a state was saved after the second
            raise KeyboardInterrupt
        return original(*args, **rest)

    def trained(folder: Path | None) -> Any:
        return counts.fit(counts.PRESETS["smoke"], setup(0, device="cpu", quiet=True), folder=folder, progress=False)

    with monkeypatch.context() as patch:
        patch.setattr(chains, "update", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.suffix == ".safetensors"], "nothing was saved on the way"
    resumed, whole = trained(tmp_path), trained(None)
    assert torch.equal(resumed.module.table.weight, whole.module.table.weight) and resumed.rows == whole.rows


def test_the_sampler_and_the_recipe_make_every_tensor_on_a_device_that_they_were_given() -> None:
    rules, factories = loaded("tests/test_dependencies.py"), {"arange", "empty", "full", "ones", "tensor", "zeros"}
    for name in ("ebm_course/samplers/metropolis.py", "ebm_course/recipes/likelihood/counts.py"):
        made = [
            node
            for base, call, node in rules.calls(ast.parse(BLOCKS[name]))
            if base == "torch" and call in factories | rules.DRAWS - {"multinomial"}
        ]
        assert made and all("device" in {k.arg for k in node.keywords} for node in made)


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_block_keeps_the_rules_of_the_package(name: str) -> None:
    rules, tree = loaded("tests/test_dependencies.py"), ast.parse(BLOCKS[name])
    path = ROOT / name
    faults = rules.docstring_faults(tree) + rules.other_faults(tree, path, BLOCKS[name])
    assert faults + rules.dependency_faults(tree, path) + rules.call_faults(tree, path) == []


def test_the_blocks_are_as_ruff_writes_them(tmp_path: Path) -> None:
    pytest.importorskip("ruff")
    for name, text in BLOCKS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n{text}", encoding="utf-8")
    options = ["--no-cache", "--config", str(ROOT / "pyproject.toml")]
    ours = ["--config", "lint.isort.known-first-party = ['ebm_course']"]  # whose other files are not there
    for act in (["format", "--check", "--diff"], ["check"]):
        command = [sys.executable, "-m", "ruff", *act, *options, *ours, "."]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_experiment_is_reproduced_by_the_engine_and_judged(example: dict[str, ModuleType], tmp_path: Path) -> None:
    experiment = example["experiment"].EXPERIMENT
    run = setup(0, device="cpu", quiet=True)
    found = reproduce(experiment, experiment.presets["cpu"], run, folder=tmp_path, progress=False)
    errors = {entry.name: entry.value for entry in found.entries}
    assert errors["cd-10/error"] < errors["cd-1/error"] + 0.05 and errors["cd-1/error"] < 0.3  # from 0.75 untrained
    assert [judged.claim.name for judged in found.claims] == ["longer"] and len(found.work) == 10
    assert reproduce(experiment, experiment.presets["cpu"], run, folder=tmp_path, progress=False) == found


def loaded(name: str) -> ModuleType:
    """A fresh copy of a test module, which finds the example's parts beside those of the package."""
    spec = importlib.util.spec_from_file_location(f"guide_{name.replace('/', '_').removesuffix('.py')}", ROOT / name)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look for it there
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules.pop(spec.name)
    return module


def kept(contract: ModuleType, name: str, mark: pytest.MarkDecorator) -> int:
    """Call every test of the contract that bears this mark for one part; how many did not skip it."""
    n = 0
    for test in vars(contract).values():
        marks = list(getattr(test, "pytestmark", []))
        others = [m for m in marks if m is not mark.mark]  # two lists of parts may be equal
        if not inspect.isfunction(test) or len(others) == len(marks):
            continue
        for values in itertools.product(*(m.args[1] for m in others)):
            n += _passed(test, name=name, **{m.args[0]: value for m, value in zip(others, values, strict=True)})
    return n


def _passed(test: Callable[..., None], **arguments: Any) -> bool:
    try:
        test(**arguments)
    except pytest.skip.Exception:
        return False
    return True
