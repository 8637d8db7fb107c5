"""The doctor sees versions, device, data and checkpoints, and names what is missing."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from ebm_course import __main__ as program
from ebm_course import files
from ebm_course.commands import doctor as command
from ebm_course.files import save_checkpoint


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the course's weights, and no settings."""
    monkeypatch.setattr(files, "CHECKPOINTS", tmp_path / "checkpoints")
    for name in ("EBM_COURSE_DATA", "EBM_COURSE_DEVICE"):
        monkeypatch.delenv(name, raising=False)


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = program.main(["doctor"])
    return code, capsys.readouterr().out


def test_the_doctor_finds_a_whole_installation(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = doctor(capsys)
    assert code == 0, out
    for name in (*command.NEEDED, *command.FOR_THE_BOOK, "python", "EBM_COURSE_DATA is not set", "all that is needed"):
        assert name in out


def test_the_doctor_names_a_missing_package_and_a_book_of_the_wrong_version(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name in ("pooch", "nbval"):
            raise PackageNotFoundError(name)
        return "2.1.0"

    monkeypatch.setattr(command, "version", version)
    code, out = doctor(capsys)
    assert code == 1
    assert "pooch missing  <- pip install pooch" in out
    assert "nbval missing (needed only to build and check the book)\n" in out
    assert 'version 2 builds nothing here: pip install "jupyter-book>=1.0.4.post1,<2"' in out


def test_the_doctor_looks_into_the_data_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "sums").mkdir(parents=True)
    (data / "sums" / "a.txt").write_text("a")
    (data / "SHA256SUMS").write_text(f"{'0' * 64}  sums/a.txt\n")
    monkeypatch.setenv("EBM_COURSE_DATA", str(data))
    code, out = doctor(capsys)
    assert code == 0, out
    assert "holds sums" in out
    assert "1 of the 1 files" in out
    (data / "sums" / "a.txt").unlink()
    code, out = doctor(capsys)
    assert code == 1
    assert "missing: sums/a.txt  <- copy sums/a.txt into" in out


@pytest.mark.parametrize("name, value", [("EBM_COURSE_DATA", "nowhere"), ("EBM_COURSE_DEVICE", "cuda")])
def test_the_doctor_finds_wrong_settings(
    name: str, value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(name, value)
    code, out = doctor(capsys)
    assert code == 1
    assert ("no folder: set it to one" if value == "nowhere" else "use device='cpu'") in out


def test_the_doctor_finds_a_book_without_its_copy_of_the_table_of_contents(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "CLONE", tmp_path)
    code, out = doctor(capsys)
    assert code == 0, out
    assert "book/" not in out, "a package outside a clone has no book"
    (tmp_path / "book").mkdir()
    for name in ("_config.yml", "_toc.yml"):
        (tmp_path / name).write_text("title: it")
    (tmp_path / "book" / "_config.yml").write_text("title: it")
    (tmp_path / "book" / "_toc.yml").write_text("old")
    code, out = doctor(capsys)
    assert code == 1
    assert "book/_config.yml\n" in out
    assert "book/_toc.yml  <- copy _toc.yml into book, as make copies does\n" in out


def test_the_doctor_waits_for_no_process_that_a_launcher_left_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29577"}
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    code, out = doctor(capsys)
    assert code == 1 and "WORLD_SIZE=2  <- WORLD_SIZE=2 says that a launcher started several" in out
    monkeypatch.setenv("WORLD_SIZE", "abc")
    code, out = doctor(capsys)
    assert code == 1 and "cannot be read  <- WORLD_SIZE=abc is no number of processes" in out and "\ndata\n" in out


@pytest.mark.parametrize("text", ["oneword\n", "\xff", "0" * 63 + "  a\n"])
def test_a_part_that_cannot_be_read_is_a_fault_and_the_next_is_looked_at(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "SHA256SUMS").write_text(text, encoding="latin-1")
    monkeypatch.setenv("EBM_COURSE_DATA", str(tmp_path))
    code, out = doctor(capsys)
    assert code == 1 and "cannot be read  <- line 1 of " in out and "\nweights\n" in out
    monkeypatch.setenv("EBM_COURSE_DATA", "~no-such-user")
    code, out = doctor(capsys)
    assert code == 1 and "EBM_COURSE_DATA names '~no-such-user', which is no folder" in out and "\nweights\n" in out


def test_the_doctor_checks_the_shipped_checkpoints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "CHECKPOINTS", tmp_path)
    (tmp_path / "SHA256SUMS").write_text("")
    for name in ("whole", "short", "gone"):
        save_checkpoint(tmp_path / f"{name}.safetensors", torch.nn.Linear(1, 1), meta={})
    (tmp_path / "short.safetensors").write_bytes(b"")
    (tmp_path / "gone.safetensors").rename(tmp_path / "new.safetensors")
    code, out = doctor(capsys)
    assert code == 1
    assert "whole.safetensors has the right SHA-256\n" in out
    assert "short.safetensors  <- " in out
    assert "new.safetensors  <- list it: " in out
    assert "no checkpoint 'gone' comes with the course" in out
