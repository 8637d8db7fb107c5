"""What `make wheel-check` asks of a wheel; the trial itself installs torch and is run by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def trial(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("check_wheel")


@pytest.fixture
def asked(trial: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[str]]:
    """Names of the commands that a trial runs, of which one may fail; no environment is made."""

    def names(failing: str = "") -> list[str]:
        ran: list[str] = []
        monkeypatch.setattr(trial.venv, "create", lambda folder, with_pip: None)
        monkeypatch.setattr(trial, "run", lambda name, *_: ran.append(name) or name != failing)
        scratch = tmp_path / (failing or "all")
        scratch.mkdir()
        assert trial.check(Path("x.whl"), trial.CHAPTER, scratch) is (not failing)
        assert [path.name for path in (scratch / "empty").iterdir()] == [f"{trial.CHAPTER}.ipynb"]
        return ran

    return names


def test_a_new_user_installs_looks_reads_reproduces_and_runs_a_chapter(trial: ModuleType, asked: Callable):
    assert asked() == ["install", "doctor", "results", "reproduce", trial.CHAPTER]


def test_nothing_is_asked_of_a_wheel_that_does_not_install(asked: Callable):
    assert asked("install") == ["install"]


def test_the_tested_set_is_installed_and_the_clone_is_not_on_the_path(trial: ModuleType, monkeypatch, tmp_path: Path):
    constraints = ROOT / "constraints.txt"
    commands = trial.commands(Path("env/python"), Path("/dist/x.whl"), constraints, "c")
    assert commands["install"][-3:] == ["--constraint", str(constraints), "/dist/x.whl[lab]"]
    assert {command[0] for command in commands.values()} == {"env/python"}
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert "PYTHONPATH" not in trial.clean_environment()
    assert trial.clean_environment()["PATH"]


def test_a_command_that_fails_says_why(trial: ModuleType, capsys: pytest.CaptureFixture, tmp_path: Path):
    environment = trial.clean_environment()
    assert trial.run("good", [sys.executable, "-c", "print('unseen')"], tmp_path, environment)
    assert not trial.run("bad", [sys.executable, "-c", "raise SystemExit('no such module')"], tmp_path, environment)
    passed, failed, reason = capsys.readouterr().out.splitlines()
    assert (passed.split()[0], failed.split()[0], reason) == ("passed", "FAILED", "no such module")


def test_the_chapter_reads_weights_and_records_that_come_with_the_package(trial: ModuleType):
    cells = json.loads((ROOT / "book" / f"{trial.CHAPTER}.ipynb").read_text())["cells"]
    code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    shipped = [path.stem for path in (ROOT / "ebm_course" / "checkpoints").glob("*.safetensors")]
    assert any(f'"{name}"' in code for name in shipped)
    assert "ledger.read(" in code


def test_without_a_wheel_it_says_which_command_makes_one(
    trial: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(trial, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["check_wheel.py"])
    assert trial.main() == 1
    assert "run make wheel first" in capsys.readouterr().out
