"""Files: each is the one its SHA-256 names, whole or not there at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from ebm_course import files
from ebm_course.files import (
    DataFile,
    fetch,
    load_checkpoint,
    read_sums,
    read_tensors,
    save_checkpoint,
    shipped_checkpoint,
)
from ebm_course.storage import write_tensors

CONTENT = b"3 + 4 = 7\n" * 50
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT, at /short with half of it missing, at /other something else, elsewhere nothing.

    At /busy it answers 503 twice, at /cut it leaves twice before the end.
    """

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        known = self.path in ("/whole", "/short", "/other", "/busy", "/cut")
        failing = self.path in ("/busy", "/cut") and len(self.asked) < 3
        self.send_response(503 if failing and self.path == "/busy" else 200 if known else 404)
        self.send_header("Content-Length", str(len(CONTENT) if known else 0))
        self.end_headers()
        if known:
            body = {"/short": CONTENT[:200], "/other": CONTENT[::-1]}.get(self.path, CONTENT)
            self.wfile.write(body[:200] if failing else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EBM_COURSE_DATA", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)  # between attempts
    Server.asked.clear()


def everything_in(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


def test_a_data_file_is_downloaded_once(address: str, tmp_path: Path) -> None:
    file = DataFile("sums/lines.txt", f"{address}/whole", DIGEST)
    path = fetch(file, cache=tmp_path)
    assert path == tmp_path / "sums" / "lines.txt"
    assert path.read_bytes() == CONTENT
    assert fetch(file, cache=tmp_path) == path
    assert Server.asked == ["/whole"]


def test_a_file_in_the_local_folder_is_used_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBM_COURSE_DATA", str(tmp_path))
    path = tmp_path / "sums" / "lines.txt"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    file = DataFile("sums/lines.txt", "http://127.0.0.1:9/nobody", DIGEST)
    assert fetch(file) == path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match=rf"lines\.txt has SHA-256 \w{{64}}, expected {DIGEST}: it is cut short"):
        fetch(file)


def test_a_file_that_the_local_folder_lacks_is_downloaded(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, cache = tmp_path / "local", tmp_path / "cache"
    local.mkdir()
    monkeypatch.setenv("EBM_COURSE_DATA", str(local))
    assert fetch(DataFile("sums/lines.txt", f"{address}/whole", DIGEST), cache=cache).is_relative_to(cache)


def test_an_unknown_data_folder_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EBM_COURSE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"nowhere.*no folder"):
        fetch(DataFile("a", "http://127.0.0.1:9/nobody", DIGEST), cache=tmp_path)


@pytest.mark.parametrize("place", ["short", "other"])
def test_a_download_cut_short_or_of_other_content_leaves_nothing(place: str, address: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, ConnectionError), match=r"sums/lines\.txt.*EBM_COURSE_DATA") as caught:
        fetch(DataFile("sums/lines.txt", f"{address}/{place}", DIGEST), cache=tmp_path)
    assert caught.type is (ValueError if place == "other" else ConnectionError)
    assert everything_in(tmp_path) == []


def test_a_truncated_file_in_the_cache_is_fetched_again(address: str, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_bytes(CONTENT[:100])
    assert fetch(DataFile("lines.txt", f"{address}/whole", DIGEST), cache=tmp_path).read_bytes() == CONTENT


def test_without_a_network_the_error_names_the_folder_to_fill(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=r"lines\.txt could not be downloaded.*network.*EBM_COURSE_DATA"):
        fetch(DataFile("lines.txt", "http://127.0.0.1:9/nobody", DIGEST), cache=tmp_path)
    assert everything_in(tmp_path) == []


def test_a_fault_of_the_disk_is_not_told_as_one_of_the_network(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="taken") as caught:
        fetch(DataFile("taken/lines.txt", "http://127.0.0.1:9/nobody", DIGEST), cache=tmp_path)
    assert not isinstance(caught.value, ConnectionError)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_a_disk_that_is_full_while_a_file_comes_in_is_told_as_one(
    code: int, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("shutil.move", full)
    with pytest.raises(OSError, match=rf"sums/lines\.txt of .* cannot be stored \({os.strerror(code)}\)") as caught:
        fetch(DataFile("sums/lines.txt", f"{address}/whole", DIGEST), cache=tmp_path)
    assert not isinstance(caught.value, ConnectionError) and caught.value.errno == code
    assert everything_in(tmp_path) == []


@pytest.mark.parametrize("place", ["busy", "cut"])
def test_a_server_that_fails_twice_is_asked_a_third_time(place: str, address: str, tmp_path: Path) -> None:
    file = DataFile("sums/lines.txt", f"{address}/{place}", DIGEST)
    assert fetch(file, cache=tmp_path).read_bytes() == CONTENT
    assert Server.asked == [f"/{place}"] * 3


def test_a_missing_page_is_one_clear_error(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=r"could not be downloaded from .*gone \(HTTPError\)"):
        fetch(DataFile("lines.txt", f"{address}/gone", DIGEST), cache=tmp_path)


def net(hidden: int = 3) -> nn.Module:
    torch.manual_seed(hidden)
    return nn.Sequential(nn.Linear(2, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 1))


def test_a_checkpoint_comes_back_bit_for_bit_with_its_note(tmp_path: Path) -> None:
    path, source, target = tmp_path / "new" / "net.safetensors", net(), net()
    nn.init.zeros_(target[0].weight)
    digest = save_checkpoint(path, source, meta={"seed": 1, "scores": [0.1, None, "é"]})
    state, meta = load_checkpoint(path, target, sha256=digest)
    assert meta == {"seed": 1, "scores": [0.1, None, "é"]}
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value)
        assert torch.equal(state[name], value)
        assert state[name].dtype == value.dtype


def test_tied_and_transposed_weights_can_be_saved(tmp_path: Path) -> None:
    table = torch.arange(6.0).reshape(2, 3)
    state = {"embed": table, "head": table, "turned": table.T, "row": table[1], "wide": torch.ones(1).expand(4)}
    save_checkpoint(tmp_path / "a.safetensors", state, meta={})
    found, _ = load_checkpoint(tmp_path / "a.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_truncated_checkpoint_is_refused(length: int, tmp_path: Path) -> None:
    path, target = tmp_path / "net.safetensors", net()
    save_checkpoint(path, net(), meta={})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        ValueError, match=r"truncated, damaged or no safetensors file.*expected a whole one\. Delete it"
    ):
        load_checkpoint(path, target)


def test_a_checkpoint_of_another_shape_changes_nothing(tmp_path: Path) -> None:
    path, target = tmp_path / "net.safetensors", net(4)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    save_checkpoint(path, net(3), meta={})
    with pytest.raises(ValueError, match=r"0\.weight has shape \(3, 2\), expected \(4, 2\).*\(and \d+ more\)"):
        load_checkpoint(path, target)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_weights_of_a_compiled_module_are_those_of_the_module(tmp_path: Path) -> None:
    path, plain = tmp_path / "net.safetensors", net()
    wrapped, inside = torch.compile(plain, backend="eager"), nn.Sequential(torch.compile(net(), backend="eager"))
    save_checkpoint(path, wrapped, meta={})
    state, _ = load_checkpoint(path, target := net(4 - 1))
    assert state.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in plain.state_dict().items())
    with torch.no_grad():
        plain[0].weight.zero_()
    load_checkpoint(path, wrapped)
    assert torch.equal(plain[0].weight, target[0].weight)
    for source in (inside, inside.state_dict()):  # a part of it is compiled
        save_checkpoint(path, source, meta={})
        load_checkpoint(path, nn.Sequential(net()))
        load_checkpoint(path, nn.Sequential(torch.compile(net(), backend="eager")))
    write_tensors(path, wrapped.state_dict(), {})  # as others, or earlier versions, wrote it
    load_checkpoint(path, net())


def test_a_module_without_memory_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "net.safetensors", net(), meta={})
    with torch.device("meta"):
        empty = net()
    with pytest.raises(ValueError, match=r"lies on the meta device.*to_empty"):
        load_checkpoint(tmp_path / "net.safetensors", empty)


def test_missing_and_unexpected_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, {"weight": torch.zeros(1, 2), "scale": torch.ones(1)}, meta={})
    with pytest.raises(ValueError, match=r"bias is missing; scale is unexpected"):
        load_checkpoint(path, nn.Linear(2, 1))


def test_a_checkpoint_of_another_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    digest = save_checkpoint(path, net(), meta={"seed": 0})
    save_checkpoint(path, net(), meta={"seed": 1})
    with pytest.raises(ValueError, match=rf"expected {digest}.*Delete it"):
        load_checkpoint(path, sha256=digest)


def test_a_checkpoint_that_is_not_there_or_misnamed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.safetensors"):
        load_checkpoint(tmp_path / "none.safetensors", sha256=DIGEST)
    with pytest.raises(ValueError, match=r"ends in \.safetensors: got 'net\.pt'"):
        save_checkpoint(tmp_path / "net.pt", net(), meta={})


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, net(), meta={"seed": 0})

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(path, net(), meta={"seed": 1})
    assert everything_in(tmp_path) == [path]
    assert load_checkpoint(path)[1] == {"seed": 0}


def test_a_safetensors_file_of_others_has_an_empty_note(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    assert read_tensors(tmp_path / "x.safetensors")[1] == {}


def test_shipped_checkpoints_are_found_by_name_and_checked(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text("")
    for name in ("small", "large"):
        save_checkpoint(tmp_path / f"{name}.safetensors", net(), meta={"name": name})  # renews its line
    assert (tmp_path / "SHA256SUMS").read_text().count("\n") == 2
    assert load_checkpoint(shipped_checkpoint("small", folder=tmp_path))[1] == {"name": "small"}
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 'huge'.*there are large, small\."):
        shipped_checkpoint("huge", folder=tmp_path)
    (tmp_path / "small.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"small\.safetensors has SHA-256 .* expected"):
        shipped_checkpoint("small", folder=tmp_path)
    (tmp_path / "large.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no checkpoint 'large'"):
        shipped_checkpoint("large", folder=tmp_path)


def test_a_checkpoint_written_among_the_courses_own_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHECKPOINTS", tmp_path)
    digest = save_checkpoint(tmp_path / "a.safetensors", net(), meta={})
    assert (tmp_path / "SHA256SUMS").read_text() == f"{digest}  a.safetensors\n"  # as sha256sum -c reads it
    assert shipped_checkpoint("a") == tmp_path / "a.safetensors"


def test_writers_at_once_lose_no_line(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text("")

    def write(k: int) -> None:
        for i in range(4):
            save_checkpoint(tmp_path / f"{k}-{i}.safetensors", {"x": torch.ones(1)}, meta={})

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files.read_sums(tmp_path / "SHA256SUMS")) == 16


@pytest.mark.parametrize("text", [b"oneword", b"12ab  a.txt", b"\xff\xfe\x00", b"0" * 64, b"0" * 64 + b"  "])
def test_a_line_of_sums_that_is_none_is_refused_with_its_number(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "SHA256SUMS"
    path.write_bytes(f"{DIGEST}  a.txt\n{DIGEST.upper()} *b c.txt\n\n".encode())
    assert files.read_sums(path) == {"a.txt": DIGEST, "b c.txt": DIGEST}
    path.write_bytes(path.read_bytes() + text)
    with pytest.raises(ValueError, match=r"line 4 of .*SHA256SUMS is .*expected a SHA-256 of 64 digits"):
        files.read_sums(path)


def test_every_checkpoint_of_the_course_is_listed_and_is_the_one_listed() -> None:
    sums, found = files.read_sums(files.CHECKPOINTS / "SHA256SUMS"), {p.name for p in everything_in(files.CHECKPOINTS)}
    assert found - {"SHA256SUMS", ".SHA256SUMS.lock", ".gitkeep"} == sums.keys()
    assert sum(shipped_checkpoint(Path(name).stem).stat().st_size for name in sums) < 10e6


@pytest.mark.parametrize("note", ["[1]", "null", "5"])
def test_a_note_that_is_none_is_refused(tmp_path: Path, note: str) -> None:
    write_tensors(path := tmp_path / "x.safetensors", {"x": torch.zeros(1)}, json.loads(note))
    with pytest.raises(ValueError, match=r"x\.safetensors has no note of a checkpoint"):
        load_checkpoint(path)


def test_a_list_of_sums_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    (path := tmp_path / "SHA256SUMS").write_bytes(b"\xef\xbb\xbf" + b"0" * 64 + b"  a\r\n")
    assert read_sums(path) == {"a": "0" * 64}
