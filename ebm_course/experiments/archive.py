"""Finished stages in one small file, to go on with a long experiment in another folder or on another machine.

The file holds the results of stages, which say what made them, and no nets: a stage whose net another still has to read
is done anew. It knows no method.

>>> from tempfile import TemporaryDirectory
>>> from ebm_course.experiments.stages import run_stages
>>> from ebm_course.origin import Origin
>>> from ebm_course.runtime import SINGLE_PROCESS as run
>>> def noisy(folder, results):
...     print("at work")
...     return 2
>>> stages, options = [Stage("two", noisy)], {"origin": Origin("toy", {}, 0), "run": run, "progress": False}
>>> with TemporaryDirectory() as root:
...     here, there, file = Path(root) / "here", Path(root) / "there", Path(root) / "two.tar.xz"
...     _ = run_stages(stages, here, **options)
...     pack(stages, here, file)
...     unpack(file, stages, there)
...     dict(run_stages(stages, there, **options))
at work
['two']
['two']
{'two': 2}
"""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Sequence
from pathlib import Path

from ebm_course.experiments.stages import RESULT, Stage, before
from ebm_course.storage import one_at_a_time, write_atomically


def pack(stages: Sequence[Stage], folder: Path, file: Path) -> list[str]:
    """Put the finished stages of a folder into an archive, beside those that it has of other folders.

    Returns:
        The names of all finished stages that the archive has then, in the order of the stages.

    Raises:
        ValueError: the file is there and no such archive.
    """
    with one_at_a_time(file):
        found = _read(file) if file.is_file() else {}
        for stage in stages:
            path = folder / stage.name / RESULT
            if path.is_file():
                found[stage.name] = path.read_bytes()
        kept = [stage.name for stage in stages if stage.name in found]
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:xz") as archive:
            for name in [
                *kept,
                *sorted(found.keys() - set(kept)),
            ]:  # without times or owners: equal stages, equal bytes
                entry = tarfile.TarInfo(f"{name}/{RESULT}")
                entry.size = len(found[name])
                archive.addfile(entry, io.BytesIO(found[name]))
        write_atomically(file, made.getvalue())
    return kept


def unpack(file: Path, stages: Sequence[Stage], folder: Path) -> list[str]:
    """Write the finished stages of an archive into a folder, but for those that it has and those to be done anew.

    Returns:
        The names of the stages that were written.

    Raises:
        ValueError: the file is no such archive.
    """
    there = {stage.name for stage in stages if (folder / stage.name / RESULT).is_file()}
    packed = _read(file)
    found = {
        stage.name: json.loads(packed[stage.name])["content"] for stage in stages if stage.name in packed.keys() - there
    }
    while True:  # what is done anew may need another's net, and what was made from it is made from another one then
        anew = [stage for stage in stages if stage.name not in there | found.keys()]
        needed, gone = {name for stage in anew for name in before(stage, stages)}, {stage.name for stage in anew}
        lost = {n for n, one in found.items() if (one["files"] and n in needed) or one["made_from"].keys() & gone}
        if not lost:
            break
        found = {name: one for name, one in found.items() if name not in lost}
    for name in found:
        write_atomically(folder / name / RESULT, packed[name])
    return list(found)


def _read(file: Path) -> dict[str, bytes]:
    """Name of each stage -> what its result's file holds."""
    found = dict[str, bytes]()
    try:
        with tarfile.open(file, mode="r:xz") as archive:
            for entry in archive:
                content = archive.extractfile(entry)
                if content is None or not entry.name.endswith(f"/{RESULT}"):
                    raise ValueError(f"it has {entry.name}, expected names that end with /{RESULT}")
                found[entry.name.removesuffix(f"/{RESULT}")] = whole = content.read()
                if not {"files", "made_from"} <= json.loads(whole)["content"].keys():
                    raise ValueError(f"{entry.name} is no stage's")
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no archive of finished stages ({error}). Name another file.") from error
    return found
