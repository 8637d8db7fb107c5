"""The command line: what ``train`` refuses and what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ebm_course import __main__ as program
from ebm_course import files, recipes
from ebm_course.files import load_checkpoint

STUB = """
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ebm_course.runtime import SINGLE_PROCESS  # a dataclass as well, and no preset


@dataclass(frozen=True)
class Config:
    n_steps: int = 3
    rate: float = 0.5
    patience: int | None = None
    loss: Literal["hinge", "perceptron"] = "hinge"
    tied: bool = False
    sizes: tuple[int, ...] = (1, 2)
    name: str = "net"
    head: type = nn.Linear

    def __post_init__(self):
        if self.n_steps < 0:
            raise ValueError(f"n_steps is 0 or larger, got {self.n_steps}")


PAPER, NOTEBOOK, SMOKE = Config(100), Config(10), Config(head=nn.Bilinear)
LONG_BASELINE = Config(1000)


def train(config, run, *, folder=None, progress=True):
    torch.manual_seed(run.seed)
    return nn.Linear(2, 1), {"score": 0.5, "seen": [repr(config), run.seed, str(folder), progress]}
"""


@pytest.fixture(autouse=True)
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recipes with one recipe and one helper beside it, and none of the course's own, nor its weights."""
    monkeypatch.setattr(files, "CHECKPOINTS", tmp_path / "checkpoints")
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "stub_recipe.py").write_text(STUB)
    (folder / "stub_parts.py").write_text("x = 1\n")
    (folder / "_private.py").write_text("raise RuntimeError('must not be imported')\n")
    monkeypatch.setattr(recipes, "__path__", [str(folder)])
    for name in ("EBM_COURSE_DATA", "EBM_COURSE_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def train(*arguments: str, out: Path) -> dict:
    assert program.main(["train", "stub_recipe", "--out", str(out), *arguments]) == 0
    return load_checkpoint(out)[1]


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        program.main(["train", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_train_writes_the_checkpoint_with_all_that_makes_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "stub.safetensors"
    meta = train("--preset", "smoke", "--seed", "4", "--set", "rate=2", "--quiet", "--folder", "here", out=out)
    assert meta["config"]["rate"] == 2.0
    assert meta["seen"] == [meta["seen"][0], 4, "here", False]
    assert meta["score"] == 0.5
    assert meta["config"]["head"] == "Bilinear"
    command = "python -m ebm_course train stub_recipe --preset smoke --seed 4 --set rate=2 --out stub.safetensors"
    assert meta["command"] == command
    assert files.sha256_of(out) in capsys.readouterr().out
    torch.manual_seed(4)
    load_checkpoint(out, module := torch.nn.Linear(2, 1))
    torch.manual_seed(4)
    assert torch.equal(module.weight, torch.nn.Linear(2, 1).weight)


@pytest.mark.parametrize("preset, n_steps", [("paper", 100), ("notebook", 10), ("smoke", 3), ("long-baseline", 1000)])
def test_presets_are_the_upper_case_configurations(preset: str, n_steps: int, tmp_path: Path) -> None:
    assert train("--preset", preset, out=tmp_path / "a.safetensors")["config"]["n_steps"] == n_steps


@pytest.mark.parametrize(
    "change, name, value",
    [
        ("n_steps=7", "n_steps", 7),
        ("rate=1e-3", "rate", 0.001),
        ("patience=3", "patience", 3),
        ("patience=None", "patience", None),
        ("loss=perceptron", "loss", "perceptron"),
        ("tied=True", "tied", True),
        ("sizes=(4, 5)", "sizes", [4, 5]),  # a note in JSON has no tuples
        ("name=a=b", "name", "a=b"),
        ("head=Bilinear", "head", "Bilinear"),  # a class that another preset has
    ],
)
def test_a_field_is_set_to_a_value_of_its_type(change: str, name: str, value: object, tmp_path: Path) -> None:
    assert train("--set", change, out=tmp_path / "a.safetensors")["config"][name] == value


@pytest.mark.parametrize("change", ["n_steps=0.5", "rate=fast", "loss=square", "tied=1", "n_steps=True", "rate="])
def test_a_value_of_another_type_is_refused(change: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused("stub_recipe", "--out", "a.safetensors", "--set", change, capsys=capsys)
    assert f"--set {change}: {change.split('=')[0]} is of type" in message


def test_a_class_or_function_is_set_by_the_name_that_a_preset_gives_it(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused("stub_recipe", "--out", "a.safetensors", "--set", "head=Conv1d", capsys=capsys)
    assert "--set head=Conv1d: expected the name of one that a preset has: Linear, Bilinear." in message


def test_help_lists_what_can_be_trained_with_its_presets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["train", "--help"])
    out = capsys.readouterr().out
    assert "  stub_recipe: paper, notebook, smoke, long_baseline\n" in out
    assert "stub_parts" not in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "there is no recipe 'nowhere': expected one of stub_parts, stub_recipe."),
        (["stub_parts"], "'stub_parts' holds parts of recipes and cannot be trained"),
        (["_private"], "there is no recipe '_private'"),
        (["stub_recipe", "--preset", "huge"], "expected one of long_baseline, notebook, paper, smoke."),
        (["stub_recipe", "--set", "speed=1"], "there is no field 'speed', expected one of n_steps, rate, patience,"),
        (["stub_recipe", "--set", "n_steps=-1"], "n_steps is 0 or larger, got -1"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(*arguments, "--out", "a.safetensors", capsys=capsys)


def test_a_checkpoint_of_another_format_is_refused_before_training(
    stub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stub / "stub_slow.py").write_text(STUB + "\n\ndef train(*_, **__):\n    raise AssertionError('trained')\n")
    assert "NAME.safetensors: got 'a.pt'" in refused("stub_slow", "--out", "a.pt", capsys=capsys)


def test_a_device_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("EBM_COURSE_DEVICE", "cuda")
    assert "torch sees no GPU" in refused("stub_recipe", "--out", "a.safetensors", capsys=capsys)
