"""Samples beside a record are read as they were written, with the record they belong to and with no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ebm_course.results import ledger, samples
from ebm_course.results.record import Record

MADE = ("python -m ebm_course reproduce blots", "0123abc", "a CPU", "2.13.0")
RECORD = Record("blots", "cpu", *MADE, 90.0, (3, 4), {}, ())
TILES = {name: torch.randint(256, (3, 1, 4, 4), dtype=torch.uint8) for name in ("toy/z", "toy/a/short", "toy/b/short")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    samples.write(TILES, RECORD, ledger.write(RECORD, tmp_path))
    return tmp_path


def test_samples_are_read_as_they_were_written_and_in_that_order(folder: Path) -> None:
    found = samples.read("blots-cpu", folder=folder)
    assert list(found) == list(TILES)
    assert all(found[name].equal(TILES[name]) for name in TILES)
    assert ledger.names(folder) == ["blots-cpu"]  # they are no record themselves


def test_samples_of_another_run_than_the_record_are_refused(folder: Path) -> None:
    for change in ({"commit": "another"}, {"seeds": (5,)}, {"command": "another"}):
        ledger.write(dataclasses.replace(RECORD, **change), folder)
        with pytest.raises(
            ValueError, match=r"blots-cpu.samples.safetensors is of another run than the record beside it"
        ):
            samples.read("blots-cpu", folder=folder)


def test_where_none_are_kept_the_message_names_those_that_are(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"beside a record 'blot-cpu': expected one of blots-cpu\."):
        samples.read("blot-cpu", folder=folder)


def test_a_record_without_samples_takes_those_of_an_earlier_one_away(folder: Path) -> None:
    net = folder / "blots-cpu.safetensors"
    net.write_bytes(b"a reader's own")
    assert samples.write({}, RECORD, folder / "blots-cpu.json") is None
    assert samples.names(folder) == [] and net.is_file()


def test_a_damaged_file_is_named(folder: Path) -> None:
    path = folder / "blots-cpu.samples.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"blots-cpu.samples.safetensors .* SHA-256"):
        samples.read("blots-cpu", folder=folder)


def test_all_that_come_with_the_course_are_of_their_records_and_of_arms_that_these_have() -> None:
    assert samples.names()
    for key in samples.names():
        record, found = ledger.read(key), samples.read(key)
        arms = {row["name"] for row in record.config["variants"]}
        of_arms = {name.rpartition("/")[0] for name in found if name.count("/") == 2}
        assert of_arms and of_arms <= arms
        assert all(
            any(entry.name.startswith(f"{name}/") for entry in record.entries) for name in found if name.count("/") == 2
        )
