"""What a run writes is read as it was or refused by name: bits flipped, cut short, in use, overwritten while open."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ebm_course import storage
from ebm_course.storage import check_writable, locked, one_at_a_time, read_json, read_tensors, write_json, write_tensors

TENSORS = {"a": torch.arange(12.0).view(3, 4), "b": torch.tensor([True, False]), "c": torch.ones((), dtype=torch.int64)}
NOTE = {"rate": 0.1, "names": ["x", "y"]}


def test_tensors_and_note_come_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x.safetensors", TENSORS, NOTE)
    tensors, note = read_tensors(tmp_path / "x.safetensors")
    assert note == NOTE and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], t) and tensors[name].dtype == t.dtype for name, t in TENSORS.items())


def test_equal_contents_are_equal_files(tmp_path: Path) -> None:
    made = set()
    for k in range(12):
        write_tensors(tmp_path / f"{k}.safetensors", TENSORS, NOTE)
        made.add((tmp_path / f"{k}.safetensors").read_bytes())
    assert len(made) == 1


def test_no_flipped_bit_is_read_as_another_result(tmp_path: Path) -> None:
    path, draw = tmp_path / "x.safetensors", random.Random(0)
    write_tensors(path, TENSORS, NOTE)
    whole, refused = path.read_bytes(), 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(bytes(damaged))
        try:
            tensors, note = read_tensors(path)
        except ValueError as error:
            refused += str(path) in str(error)
        else:  # a bit that means nothing, such as one of the key under which the hash stands
            assert note == NOTE and all(torch.equal(tensors[name], t) for name, t in TENSORS.items())
    assert refused > 280


def test_tensors_that_were_read_do_not_change_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, NOTE)
    tensors, _ = read_tensors(path)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(tensors["a"], TENSORS["a"])
    os.truncate(path, 0)
    assert torch.equal(tensors["a"].add_(1), TENSORS["a"] + 1)


def test_a_file_is_never_mapped_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tensors(tmp_path / "x.safetensors", TENSORS, NOTE)
    opened: list[Path] = []
    monkeypatch.setattr(Path, "read_bytes", lambda path, read=Path.read_bytes: opened.append(path) or read(path))
    monkeypatch.setattr("safetensors.safe_open", None)
    assert read_tensors(tmp_path / "x.safetensors")[1] == NOTE and opened == [tmp_path / "x.safetensors"]


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None], "b": {"c": "ä"}}, [], 0.1, {"1": True}])
def test_json_comes_back(value: object, tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"content": 1}', '{"sha256": "0", "content": 1}', "\x00", "[" * 100_000]
)
def test_json_that_is_damaged_is_refused_by_its_name(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=r"x\.json \(\d+ bytes\) is cut short, damaged or of another version"):
        read_json(tmp_path / "x.json")


def test_a_folder_that_cannot_be_one_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("")
    for folder in (tmp_path / "afile", tmp_path / "afile" / "below"):
        with pytest.raises(OSError, match=r"nothing can be written to .*afile.*: name another place"), locked(folder):
            pass


def test_a_locked_folder_is_refused_to_other_threads_until_it_is_free(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    def work() -> None:
        try:
            with locked(tmp_path):
                pass
        except BlockingIOError as error:
            refused.append(error)

    for holds in (True, False):
        if holds:
            with locked(tmp_path):
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()
        else:
            work()
    assert len(refused) == 1 and "is in use by another run" in str(refused[0])


WRITER = """
import os, signal, sys
from pathlib import Path
from ebm_course import storage
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
{}
"""


@pytest.mark.parametrize(
    "work",
    [
        "storage.write_json(Path(sys.argv[1]) / 'x.json', [1])",
        "tempfile = storage.tempfile.NamedTemporaryFile\n"
        "storage.tempfile.NamedTemporaryFile = lambda **o: (tempfile(**o).__enter__(), os.fsync(0))\n"
        "storage.check_writable(Path(sys.argv[1]) / 'x.json')",
    ],
    ids=["write", "probe"],
)
@pytest.mark.skipif(os.name != "posix", reason="a process is asked for by signal 0")
def test_what_a_killed_process_left_half_written_is_gone_after_the_next_save(work: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER.format(work), str(tmp_path)]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})
    assert killed.returncode == -signal.SIGKILL
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    write_json(tmp_path / "other.json", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_a_link_stays_one_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "net.safetensors"
    link.symlink_to(tmp_path / "nets" / "net.safetensors")
    for value in (1.0, 2.0):  # the first time there is neither the file nor its folder
        assert check_writable(link) == link
        write_tensors(link, {"x": torch.tensor(value)}, NOTE)
        assert link.is_symlink() and float(read_tensors(tmp_path / "nets" / "net.safetensors")[0]["x"]) == value
    assert [path.name for path in link.parent.iterdir()] == ["net.safetensors"]


def test_a_folder_in_the_place_of_a_file_of_tensors_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder, expected a file"):
        read_tensors(tmp_path)


def test_what_another_writer_is_at_work_on_and_files_of_others_stay(tmp_path: Path) -> None:
    mine = [f".a.json.{storage.MACHINE}-{os.getpid()}.x.part", ".a.json.elsewhere-1.x.part", ".song.mp3.part", "a.part"]
    for name in mine:
        (tmp_path / name).touch()
    old = tmp_path / ".a.json.elsewhere-2.x.part"
    old.touch()
    os.utime(old, (0, 0))
    write_json(tmp_path / "x.json", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*mine, "x.json"])


def test_only_one_is_inside_for_a_path_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")

    def work() -> None:
        for _ in range(20):
            with one_at_a_time(path):
                path.write_text(str(int(path.read_text()) + 1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "80"


def test_a_file_without_its_hash_is_refused_where_one_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path, metadata={"note": "{}"})  # as of an earlier version, or with the hash taken out
    assert read_tensors(path)[1] == {}
    with pytest.raises(ValueError, match="another SHA-256"):
        read_tensors(path, sealed=True)


def test_a_note_nested_too_deep_is_damaged(tmp_path: Path) -> None:
    save_file(TENSORS, path := tmp_path / "x.safetensors", metadata={"note": "[" * 100_000})
    with pytest.raises(ValueError, match=r"x\.safetensors \(\d+ bytes\) is truncated, damaged or no safetensors file"):
        read_tensors(path)


@pytest.mark.parametrize(
    "given", [1.0, torch.zeros(2, device="meta"), torch.zeros(2).to_sparse()], ids=["a number", "meta", "sparse"]
)
def test_what_has_no_numbers_in_memory_is_not_written(given: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="x is to be written: expected a dense tensor with numbers in memory, got"):
        write_tensors(tmp_path / "x.safetensors", {"x": given}, {})
    assert not list(tmp_path.iterdir())
