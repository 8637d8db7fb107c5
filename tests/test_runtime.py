"""Set-up: named random streams, the choice of a device, and the settings read from the environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ebm_course import runtime
from ebm_course.core import Batch
from ebm_course.runtime import PUBLIC_ADDRESS, SINGLE_PROCESS, SIZES, Run, data_folder, describe, setup
from ebm_course.tasks.agreement import agreement
from ebm_course.tasks.arithmetic import arithmetic
from ebm_course.tasks.text import toy
from ebm_course.tasks.toy2d import toy2d
from ebm_course.tasks.toy2d_densities import ring


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EBM_COURSE_DATA", "EBM_COURSE_DEVICE", "MASTER_ADDR", "ACCELERATE_USE_CPU", *SIZES):
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
    monkeypatch.setenv("EBM_COURSE_DEVICE", "cpu:0")
    assert setup(quiet=True).device == torch.device("cpu", 0)
    assert setup(device="cpu", quiet=True).device == torch.device("cpu")


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
    monkeypatch.setenv("EBM_COURSE_DATA", "~no-such-user/data")
    with pytest.raises(FileNotFoundError, match=r"'~no-such-user/data', which is no folder"):
        data_folder()


def test_the_public_address_is_not_invented() -> None:
    assert PUBLIC_ADDRESS == "" or PUBLIC_ADDRESS.startswith("https://")


def rank(k: int, n: int) -> Run:
    return Run(torch.device("cpu"), 0, rank=k, n_processes=n)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_shares_are_equal_blocks_in_the_order_of_the_processes(n: int) -> None:
    x = torch.arange(72).view(6, 12)
    assert torch.equal(torch.cat([rank(k, n).share(x) for k in range(n)]), x)
    assert torch.equal(torch.cat([rank(k, n).share(x, 1) for k in range(n)], dim=1), x)
    shares = [rank(k, n).share(Batch(x, y=x[:, 0], mask=x > 3)) for k in range(n)]
    assert [len(share) for share in shares] == [6 // n] * n
    for k, share in enumerate(shares):
        rows = x[k * 6 // n : (k + 1) * 6 // n]
        assert share.y is not None and share.mask is not None
        assert torch.equal(share.x, rows) and torch.equal(share.y, rows[:, 0]) and torch.equal(share.mask, rows > 3)


def test_rows_that_do_not_divide_are_refused() -> None:
    for x in (torch.zeros(10, 3), Batch(torch.zeros(10, 3))):
        with pytest.raises(ValueError, match=r"3 processes take equal shares: got 10 rows.*a multiple of 3"):
            rank(1, 3).share(x)
    assert rank(1, 3).share(torch.zeros(10, 3), 1).shape == (10, 1)


def test_one_process_changes_nothing_and_does_not_import_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setitem(sys.modules, "accelerate.utils", None)
    run, x, module = setup(device="cpu", quiet=True), torch.randn(3, 2), torch.nn.Linear(2, 1)
    module(x).sum().backward()
    assert module.weight.grad is not None
    before = module.weight.grad.clone()
    run.average_gradients(module)
    run.wait()
    assert run == SINGLE_PROCESS and run.is_main
    assert run.share(x) is x and run.gather(x) is x and run.mean(x) is x and torch.equal(module.weight.grad, before)


def test_several_processes_without_accelerate_are_told_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match=r"accelerate.*not installed: pip install 'ebm-course\[scale\]'"):
        setup(device="cpu", quiet=True)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", ["abc", "1.5", "-3", "0", "2 processes"])
def test_a_number_of_processes_that_is_none_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match=rf"{name}={value} is no number of processes: .*Unset {name}"):
        setup(device="cpu", quiet=True)


@pytest.mark.parametrize("value", ["", " ", "1"])
def test_one_process_or_an_empty_variable_waits_for_nobody(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    assert setup(device="cpu", quiet=True).n_processes == 1


def test_a_size_left_over_without_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match=r"could not meet .*if nobody started any, WORLD_SIZE=2 is left over: unset"):
        setup(device="cpu", quiet=True)


def test_who_waits_long_for_other_processes_is_told_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Slow:
        """Takes the place of accelerate's meeting point."""

        process_index, num_processes = 0, 2

        def __init__(self, cpu: bool):
            time.sleep(0.5)

        def destroy_process_group(self) -> None:
            """Nothing is there."""

    monkeypatch.setitem(sys.modules, "accelerate", SimpleNamespace(PartialState=Slow))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(runtime, "PATIENCE", 0.01)
    setup(device="cpu", quiet=True)
    assert "waiting for the other processes; if nobody started any, WORLD_SIZE=2" in capsys.readouterr().err
    monkeypatch.setattr(runtime, "PATIENCE", 30.0)
    setup(device="cpu", quiet=True)
    assert not capsys.readouterr().err


def test_a_launch_that_started_one_process_in_place_of_several_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with pytest.warns(RuntimeWarning, match=r"started one\..*--multi_gpu --num_processes 2"):
        assert setup(device="cpu", quiet=True).n_processes == 1


def test_seeds_of_more_than_32_bits_have_draws_of_their_own_and_smaller_ones_those_they_had() -> None:
    seeds = [1, 1 + 2**32, 1 + 2**33, 1 + 2**64, 2**64, 2**200]
    assert len({tuple(draws(seed, "chains").tolist()) for seed in seeds}) == len(seeds)
    weights = set()
    for seed in seeds:
        setup(seed, device="cpu", quiet=True)
        weights.add(tuple(torch.randn(3).tolist()))
    assert len(weights) == len(seeds)
    for seed in (0, 1, 2**32 - 1):
        mixed = (seed * 0x9E3779B97F4A7C15 + zlib.crc32(b"chains")) % 2**63
        assert torch.equal(draws(seed, "chains"), torch.randn(8, generator=torch.Generator().manual_seed(mixed)))


@pytest.mark.parametrize("seed", [-1, 1.5, float("nan")])
def test_a_seed_that_is_none_is_refused(seed: float) -> None:
    with pytest.raises(ValueError, match=rf"seed is a whole number: expected 0 or larger, got {seed}"):
        setup(seed, device="cpu", quiet=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed is a whole number"):
        Run(torch.device("cpu"), seed).generator("chains")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), torch.tensor(3)])
def test_a_whole_number_of_numpy_or_torch_is_a_seed_like_another(seed: int) -> None:
    run = setup(seed, device="cpu", quiet=True)
    assert type(run.seed) is int
    for made in (run, Run(run.device, seed)):
        stream = made.generator("chains")
        assert torch.equal(torch.randn(8, generator=stream), draws(3, "chains"))
    sums, points = (lambda s: arithmetic(2, n_train=9, n_valid=1, n_test=1, seed=s)), lambda s: toy2d(ring(), seed=s)
    tags, texts = (lambda s: agreement(n_train=9, seed=s).task), lambda s: toy(n_train=9, n_valid=1, n_test=1, seed=s)
    for task in (sums, points, tags, texts):
        assert torch.equal(task(seed).train.x, task(3).train.x)


def test_a_device_of_torch_is_taken_as_its_name_is() -> None:
    assert setup(device=torch.device("cpu"), quiet=True).device == torch.device("cpu")


@pytest.mark.parametrize("name", ["mps", "xpu", "cuda:99", "gpu", "meta", "meta:0"])
def test_any_device_that_is_not_there_is_refused_before_anything_is_printed(name: str, capsys) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is one")
    with pytest.raises(RuntimeError, match=rf"device '{name}' was asked for and torch .*: use device='cpu'"):
        setup(device=name)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(("given", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_wait_unless_something_else_was_asked_for(given: str | None, policy: str) -> None:
    asked = {} if given is None else {"OMP_WAIT_POLICY": given}
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | asked
    code = "import sys, os, ebm_course; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == policy
