"""Finished stages go from folder to folder in a file; what would lack a net is done anew, with all made from it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_course.experiments.archive import pack, unpack
from ebm_course.experiments.configs import Settings
from ebm_course.experiments.experiment import Experiment, reproduce
from ebm_course.experiments.stages import RESULT, Results, Stage, run_stages
from ebm_course.origin import Origin
from ebm_course.results.findings import Entry, Findings
from ebm_course.runtime import Run
from ebm_course.storage import write_tensors

RUN = Run(torch.device("cpu"), 0)
ORIGIN = Origin("experiments.fake", {"a": 1}, 0)


def noted(calls: list[str], *, net: bool = False, reads: str | None = None) -> Callable[[Path, Results], Any]:
    def work(folder: Path, results: Results) -> Any:
        calls.append(folder.name)
        if net:
            write_tensors(folder / "net.safetensors", {"w": torch.full((1,), float(len(calls)))}, {})
        if reads is not None:
            results.folder(reads)  # as whoever loads its net does
        return len(calls)

    return work


def chain(calls: list[str], n: int = 3) -> list[Stage]:
    """A net, what reads it, what reads that number, and what has nothing to do with them."""
    stages = [
        Stage("net", noted(calls, net=True), after=()),
        Stage("measured", noted(calls, reads="net"), after=("net",)),
        Stage("other", noted(calls), after=()),
        Stage("again", noted(calls, reads="net"), after=("net",)),
    ]
    return stages[:n]


def run(stages: list[Stage], folder: Path) -> Results:
    return run_stages(stages, folder, origin=ORIGIN, run=RUN, progress=False)


def test_what_is_unpacked_is_not_done_again_and_has_the_same_results_and_attempts(tmp_path: Path) -> None:
    calls: list[str] = []
    first = run(chain(calls), tmp_path / "here")
    assert pack(chain(calls), tmp_path / "here", tmp_path / "file.tar.xz") == ["net", "measured", "other"]
    assert unpack(tmp_path / "file.tar.xz", chain(calls), tmp_path / "there") == ["net", "measured", "other"]
    second = run(chain(calls), tmp_path / "there")
    assert (dict(first), calls) == (dict(second), ["net", "measured", "other"])
    assert first.attempts("net") == second.attempts("net")


def test_a_net_that_a_stage_to_do_may_read_is_made_anew_with_all_that_was_made_from_it(tmp_path: Path) -> None:
    calls: list[str] = []
    run(chain(calls), tmp_path / "here")
    pack(chain(calls), tmp_path / "here", tmp_path / "file.tar.xz")
    longer = chain(calls, n=4)
    assert unpack(tmp_path / "file.tar.xz", longer, tmp_path / "there") == ["other"]
    run(longer, tmp_path / "there")
    assert calls == ["net", "measured", "other", "net", "measured", "again"]


def test_archives_of_two_folders_add_up_and_equal_stages_have_equal_bytes(tmp_path: Path) -> None:
    calls: list[str] = []
    stages, file = chain(calls), tmp_path / "file.tar.xz"
    run(stages[:2], tmp_path / "here")
    run(stages[2:], tmp_path / "there")
    assert pack(stages, tmp_path / "here", file) == ["net", "measured"]
    assert pack(stages, tmp_path / "there", file) == ["net", "measured", "other"]
    before = file.read_bytes()
    assert pack(stages[2:], tmp_path / "there", file) == ["other"], "those of other stages stay in the file"
    assert unpack(file, stages, tmp_path / "all") == ["net", "measured", "other"]
    pack(stages, tmp_path / "all", file)
    assert file.read_bytes() == before


def test_what_a_folder_has_stays(tmp_path: Path) -> None:
    calls: list[str] = []
    stages, file = chain(calls), tmp_path / "file.tar.xz"
    for name in ("here", "there"):
        run(stages[2:], tmp_path / name)
    pack(stages, tmp_path / "here", file)
    before = (tmp_path / "there" / "other" / RESULT).read_bytes()
    assert unpack(file, stages[2:], tmp_path / "there") == []
    assert (tmp_path / "there" / "other" / RESULT).read_bytes() == before


@pytest.mark.parametrize(
    "name, content", [("other/a.txt", b"{}"), (f"other/{RESULT}", b"{}"), (f"other/{RESULT}", b"2")]
)
def test_another_file_is_refused_by_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / "file.tar.xz"
    with tarfile.open(file, mode="w:xz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(ValueError, match=r"file\.tar\.xz is no archive of finished stages .* Name another file"):
        unpack(file, [], tmp_path)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is no archive of finished stages"):
        pack([], tmp_path, file)


def test_an_experiment_stopped_in_one_folder_goes_on_in_another(tmp_path: Path) -> None:
    calls: list[str] = []

    def stages(config: Any, run: Run) -> list[Stage]:
        def second(folder: Path, results: Results) -> int:
            calls.append("two")
            if len(calls) == 2:
                raise KeyboardInterrupt
            return 2

        return [Stage("one", noted(calls)), Stage("two", second)]

    def findings(config: Any, results: Results) -> Findings:
        return Findings([Entry.of("sum", "Sum of both.", [sum(results.values())])], curves=[])

    fake, archive = Experiment("fake", "", {}, stages, findings), tmp_path / "file.tar.xz"
    with pytest.raises(KeyboardInterrupt):
        reproduce(fake, Settings(), RUN, folder=tmp_path / "here", progress=False, archive=archive)
    found = reproduce(fake, Settings(), RUN, folder=tmp_path / "there", progress=False, archive=archive)
    assert (calls, found.entries[0].value) == (["one", "two", "two"], 3.0)
