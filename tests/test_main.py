"""The command line: what ``train`` refuses and what it writes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import nn

import ebm_course
from ebm_course import __main__ as program
from ebm_course import files
from ebm_course.commands import choices
from ebm_course.files import load_checkpoint
from ebm_course.recipes.shared import Fitted

SEEN: list[Any] = []


@dataclass(frozen=True)
class Config:
    """Of the recipe below."""

    n_steps: int = 3
    rate: float = 0.5
    patience: int | None = None
    loss: Literal["hinge", "perceptron"] = "hinge"
    tied: bool = False
    sizes: tuple[int, ...] = (1, 2)
    name: str = "net"
    head: type = nn.Linear

    def __post_init__(self) -> None:
        if self.n_steps < 0:
            raise ValueError(f"n_steps is 0 or larger, got {self.n_steps}")


def fit(config: Config, run: Any, *, folder: Path | None = None, progress: bool = True) -> Fitted:
    """A recipe that draws its weights."""
    SEEN.append((config, run.seed, str(folder), progress))
    torch.manual_seed(run.seed)
    return Fitted(nn.Linear(2, 1), [{"step": 1.0, "score": 0.5}])


def bug(*_: Any, **__: Any) -> Fitted:
    """What no reader can mend is not hidden."""
    raise RuntimeError("a fault of the program")


PRESETS = {
    "paper": Config(100),
    "notebook": Config(10),
    "smoke": Config(head=nn.Bilinear),
    "long-baseline": Config(1000),
}


@pytest.fixture(autouse=True)
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One recipe, and none of the course's own, nor its weights."""
    monkeypatch.setattr(files, "CHECKPOINTS", tmp_path / "checkpoints")
    original, recipe = choices.recipe, SimpleNamespace(PRESETS=PRESETS, fit=fit)
    monkeypatch.setattr(choices, "RECIPES", ("stub.recipe",))
    monkeypatch.setattr(
        choices, "recipe", lambda name: recipe if name.replace("/", ".") == "stub.recipe" else original(name)
    )
    for name in ("EBM_COURSE_DATA", "EBM_COURSE_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    SEEN.clear()


def train(*arguments: str, out: Path) -> dict:
    assert program.main(["train", "stub.recipe", "--out", str(out), *arguments]) == 0
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
    assert SEEN[0][1:] == (4, "here", False)
    assert (meta["seed"], meta["last_row"]["score"]) == (4, 0.5)
    assert meta["recipe"].endswith("test_main.fit") and meta["version"]
    assert meta["config"]["head"] == "torch.nn.modules.linear.Bilinear"
    command = "python -m ebm_course train stub.recipe --preset smoke --seed 4 --set rate=2 --out stub.safetensors"
    assert meta["command"] == command
    assert files.sha256_of(out) in capsys.readouterr().out
    torch.manual_seed(4)
    load_checkpoint(out, module := torch.nn.Linear(2, 1))
    torch.manual_seed(4)
    assert torch.equal(module.weight, torch.nn.Linear(2, 1).weight)


@pytest.mark.parametrize(
    "preset, n_steps",
    [("paper", 100), ("notebook", 10), ("smoke", 3), ("long-baseline", 1000), ("long_baseline", 1000)],
)
def test_presets_are_those_that_the_recipe_lists(preset: str, n_steps: int, tmp_path: Path) -> None:
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
        ("head=Bilinear", "head", "torch.nn.modules.linear.Bilinear"),  # a class that another preset has
    ],
)
def test_a_field_is_set_to_a_value_of_its_type(change: str, name: str, value: object, tmp_path: Path) -> None:
    assert train("--set", change, out=tmp_path / "a.safetensors")["config"][name] == value


@pytest.mark.parametrize("change", ["n_steps=0.5", "rate=fast", "loss=square", "tied=1", "n_steps=True", "rate="])
def test_a_value_of_another_type_is_refused(change: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused("stub.recipe", "--out", "a.safetensors", "--set", change, capsys=capsys)
    assert f"--set {change}: {change.split('=')[0]} is of type" in message


def test_a_class_or_function_is_set_by_the_name_that_a_preset_gives_it(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused("stub.recipe", "--out", "a.safetensors", "--set", "head=Conv1d", capsys=capsys)
    assert "--set head=Conv1d: expected the name of one that a preset has: Linear, Bilinear." in message


def test_help_lists_what_can_be_trained_with_its_presets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["train", "--help"])
    assert "  stub.recipe: paper, notebook, smoke, long-baseline\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "there is no recipe 'nowhere': expected one of stub.recipe."),
        (["sequences.parts"], "there is no recipe 'sequences.parts'"),
        (["stub.recipe", "--preset", "huge"], "expected one of paper, notebook, smoke, long-baseline."),
        (["stub.recipe", "--set", "speed=1"], "there is no field 'speed', expected one of n_steps, rate, patience,"),
        (["stub.recipe", "--set", "n_steps=-1"], "n_steps is 0 or larger, got -1"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(*arguments, "--out", "a.safetensors", capsys=capsys)


def test_a_checkpoint_of_another_format_is_refused_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert "NAME.safetensors: got 'a.pt'" in refused("stub.recipe", "--out", "a.pt", capsys=capsys)
    assert not SEEN


def test_a_folder_in_the_place_of_a_file_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out := tmp_path / "d.safetensors").mkdir()
    assert f"--out {out} is a folder: name the checkpoint" in refused("stub.recipe", "--out", str(out), capsys=capsys)
    assert not SEEN


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        program.main(["--version"])
    assert stopped.value.code == 0 and capsys.readouterr().out == f"ebm-course {ebm_course.__version__}\n"


def test_a_fault_while_training_is_one_line_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = (
        (FloatingPointError("loss is nan"), "loss is nan", 1),
        (OSError("disk full"), "disk full", 1),
        (MemoryError(), "there is not enough memory", 1),
        (torch.OutOfMemoryError("CUDA out of memory."), "there is not enough memory", 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "there is not enough memory", 1),
        (KeyboardInterrupt(), "Stopped", 130),
    )
    for error, words, code in faults:

        def failing(*_: Any, error: BaseException = error, **__: Any) -> Fitted:
            raise error

        recipe = SimpleNamespace(PRESETS=PRESETS, fit=failing)
        monkeypatch.setattr(choices, "recipe", lambda name, recipe=recipe: recipe)
        assert program.main(["train", "stub.recipe", "--out", str(tmp_path / "a.safetensors")]) == code
        told = capsys.readouterr().err
        assert words in told and "Traceback" not in told
    monkeypatch.setattr(choices, "recipe", lambda name: SimpleNamespace(PRESETS=PRESETS, fit=bug))
    with pytest.raises(RuntimeError, match="a fault of the program"):
        program.main(["train", "stub.recipe", "--out", str(tmp_path / "a.safetensors")])


def test_every_recipe_of_the_course_has_presets_and_can_be_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name in choices.RECIPES:
        recipe = choices.recipe(name)
        assert {"paper", "notebook", "smoke"} <= recipe.PRESETS.keys() and callable(recipe.fit)
        assert all(type(config) is recipe.Config for config in recipe.PRESETS.values())
        assert choices.recipe(name.rpartition(".")[2]) is choices.recipe(name.replace(".", "/")) is recipe


def test_an_output_that_cannot_be_written_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "afile").write_text("")
    assert program.main(["train", "stub.recipe", "--out", str(tmp_path / "afile" / "x.safetensors")]) == 1
    assert "nothing can be written to" in capsys.readouterr().err and not SEEN


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp932"])
def test_a_terminal_without_the_signs_gets_others(encoding: str) -> None:
    command = [sys.executable, "-m", "ebm_course", "results", "speed-cpu"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0 and done.stderr == b"" and b"GFLOP/s" in done.stdout


@pytest.mark.slow
def test_places_that_cannot_be_used_in_the_end_are_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train = ("stub.recipe", "--preset", "smoke", "--out")
    for folder in ("net.safetensors", "net.safetensors/run"):
        told = refused(*train, "net.safetensors", "--folder", folder, capsys=capsys)
        assert f"--out net.safetensors would lie where --folder {folder} is: name another file." in told
    assert "argument --folder: expected a path, got an empty one" in refused(
        *train, "net.safetensors", "--folder", "", capsys=capsys
    )
    (tmp_path / "SHA256SUMS").write_text("no digits")
    assert program.main(["train", *train, "net.safetensors"]) == 1
    assert "line 1 of SHA256SUMS is 'no digits', expected a SHA-256" in capsys.readouterr().err
    assert SEEN == [] and [path.name for path in tmp_path.iterdir()] == ["SHA256SUMS"]


def test_home_is_home_where_no_shell_has_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    arguments = ["stub.recipe", "--preset", "smoke", "--out=~/net.safetensors", "--folder=~/run"]
    assert program.main(["train", *arguments]) == 0
    assert (tmp_path / "net.safetensors").is_file() and SEEN[0][2] == str(tmp_path / "run")


def test_a_field_that_is_set_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    told = refused("stub.recipe", "--out", "a.safetensors", "--set", "rate=1", "--set", "rate=2", capsys=capsys)
    assert "--set rate=2: rate is set twice, expected each field once." in told


def test_output_whose_reader_leaves_ends_without_a_traceback() -> None:
    command = f"{shlex.quote(sys.executable)} -m ebm_course results --only '' --curves | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 1


@pytest.mark.slow
def test_training_runs_where_standard_error_is_closed(tmp_path: Path) -> None:
    out = tmp_path / "potts.safetensors"
    words = [sys.executable, "-m", "ebm_course", "train", "likelihood.potts", "--preset", "smoke", "--out", str(out)]
    done = subprocess.run(["bash", "-c", f"{shlex.join(words)} 2>&-"], stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0 and out.is_file(), done.stdout


def test_a_device_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("EBM_COURSE_DEVICE", "cuda")
    assert "torch sees no GPU" in refused("stub.recipe", "--out", "a.safetensors", capsys=capsys)


def test_a_folder_whose_links_lead_in_a_circle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (circle := tmp_path / "circle").symlink_to(circle)
    out = str(tmp_path / "x.safetensors")
    assert program.main(["train", "stub.recipe", "--folder", str(circle), "--out", out, "--quiet"]) == 0
    assert program.main(["train", "stub.recipe", "--out", str(circle / "x.safetensors")]) == 1
    assert "nothing can be written to" in capsys.readouterr().err
