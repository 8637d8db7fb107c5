"""A file that is no state of a run, though whole and sealed, is called so before anything of it is loaded."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ebm_course.storage import read_tensors, write_tensors
from ebm_course.training.resume import FILE_NAME, load_run, save_run

PARTS: dict[str, Any] = {
    "step": ["3", -1, 1.5, None],
    "rows": [5, {"list": [5]}],
    "interval": [5],
    "start": [5],
    "best": ["a"],
    "waited": [None],
}
FOREIGN = r"fit\.safetensors is no state of this version of the course\. Give this run a folder of its own"


@pytest.fixture
def net() -> nn.Linear:
    return nn.Linear(2, 1)


def saved(folder: Path, net: nn.Module) -> tuple[dict[str, torch.Tensor], Any]:
    save_run(folder, load_run(folder, {"net": net}, torch.Generator(), None), {"net": net}, torch.Generator(), None)
    return read_tensors(folder / FILE_NAME)


def refused(folder: Path, net: nn.Module, tensors: dict[str, torch.Tensor], note: Any, words: str = FOREIGN) -> None:
    write_tensors(folder / FILE_NAME, tensors, note)
    before = net.weight.clone()
    with pytest.raises(ValueError, match=words):
        load_run(folder, {"net": net}, torch.Generator(), None)
    assert torch.equal(net.weight, before)


@pytest.mark.parametrize("name, value", [(name, value) for name, values in PARTS.items() for value in values])
def test_progress_of_another_type_is_no_state(tmp_path: Path, net: nn.Linear, name: str, value: Any) -> None:
    tensors, note = saved(tmp_path, net)
    parts = dict(note["state"]["dict"])
    for part in parts["progress"]["dict"]:
        if part[0] == name:
            part[1] = value
    refused(tmp_path, net, {key: t + 1 for key, t in tensors.items()}, note)


@pytest.mark.parametrize("origin", ["x", [1], 5, {}])
def test_an_origin_that_is_none_is_no_state(tmp_path: Path, net: nn.Linear, origin: Any) -> None:
    tensors, note = saved(tmp_path, net)
    refused(tmp_path, net, tensors, note | {"origin": origin})


@pytest.mark.parametrize("name, value", [("keep", 5), ("random", 5), ("keep", None)])
def test_a_part_that_is_missing_or_another_is_no_state(tmp_path: Path, net: nn.Linear, name: str, value: Any) -> None:
    tensors, note = saved(tmp_path, net)
    other = copy.deepcopy(note)
    other["state"]["dict"] = [part if part[0] != name else [name, value] for part in note["state"]["dict"]]
    refused(tmp_path, net, tensors, other)
    other["state"]["dict"] = [part for part in note["state"]["dict"] if part[0] != name]
    refused(tmp_path, net, tensors, other)


def test_a_run_that_does_not_say_how_it_began_is_of_other_objects(tmp_path: Path, net: nn.Linear) -> None:
    tensors, note = saved(tmp_path, net)
    for part in dict(note["state"]["dict"])["progress"]["dict"]:
        if part[0] == "start":
            part[1] = {"dict": []}
    refused(tmp_path, net, tensors, note, r"fit\.safetensors was made with another net\.class: 'nothing'")
