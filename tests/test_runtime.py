"""Set-up: named random streams, the choice of a device, and the settings read from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ebm_course.runtime import PUBLIC_ADDRESS, data_folder, describe, setup


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EBM_COURSE_DATA", "EBM_COURSE_DEVICE"):
        monkeypatch.delenv(name, raising=False)


def draws(seed: int, name: str) -> torch.Tensor:
    return torch.randn(8, generator=setup(seed, device="cpu", quiet=True).generator(name))


def test_a_seed_and_a_name_give_a_stream_that_others_do_not_share() -> None:
    assert torch.equal(draws(0, "chains"), draws(0, "chains"))
    assert not torch.equal(draws(0, "chains"), draws(0, "noise"))
    assert not torch.equal(draws(0, "chains"), draws(1, "chains"))


def test_ten_thousand_streams_are_all_different() -> None:
    run = [setup(seed, device="cpu", quiet=True) for seed in range(100)]
    low_bits = {r.generator(f"stream {i}").initial_seed() % 2**32 for r in run for i in range(100)}
    # Torch's CPU generator reads 32 bits: among 10,000 random numbers of 32 bits 0.01 pairs are expected to agree.
    assert len(low_bits) >= 10_000 - 1


def test_setup_seeds_initialisation() -> None:
    setup(7, quiet=True)
    first = torch.nn.Linear(2, 2).weight
    setup(7, quiet=True)
    assert torch.equal(first, torch.nn.Linear(2, 2).weight)


def test_the_environment_names_the_device_and_an_argument_overrides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBM_COURSE_DEVICE", "meta")
    assert setup(quiet=True).device.type == "meta"
    assert setup(device="cpu", quiet=True).device.type == "cpu"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"'cuda'.*sees no GPU: use device='cpu'"):
        setup(device="cuda")
    assert setup(quiet=True).device.type == "cpu"


def test_setup_prints_one_line_of_versions(capsys: pytest.CaptureFixture[str]) -> None:
    setup(3, device="cpu")
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert torch.__version__ in line
    assert describe(torch.device("cpu")) in line
    assert "seed 3" in line
    setup(3, quiet=True)
    assert capsys.readouterr().out == ""


def test_the_data_folder_is_the_one_named_or_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert data_folder() is None
    monkeypatch.setenv("EBM_COURSE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("EBM_COURSE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"nowhere.*no folder: set it to one, or unset it"):
        data_folder()


def test_the_public_address_is_not_invented() -> None:
    assert PUBLIC_ADDRESS == "" or PUBLIC_ADDRESS.startswith("https://")
