"""``doctor``: look at the installation and say what is missing. It knows no recipe.

>>> import io
>>> from contextlib import redirect_stdout
>>> parser = argparse.ArgumentParser()
>>> add(parser.add_subparsers())
>>> with redirect_stdout(io.StringIO()) as said:
...     code = doctor()
>>> lines = said.getvalue().splitlines()
>>> [line for line in lines if line[0] != " "][:4], lines[-1].startswith("to do: ") == (code == 1)
(['versions', 'device', 'data', 'weights'], True)
>>> callable(parser.parse_args(["doctor"]).run)
True
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ebm_course import files
from ebm_course.runtime import data_folder, describe, device_of, launched_size

NEEDED = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "ipywidgets",
    "safetensors",
    "pooch",
    "tqdm",
    "pydantic",
    "tabulate",
    "filelock",
)
FOR_THE_BOOK = ("jupyter-book", "nbval")
CLONE = Path(__file__).parents[2]


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser("doctor", help="look at the installation and say what is missing")
    parser.set_defaults(run=lambda _: doctor())


def doctor() -> int:
    """Print versions, device, data, checkpoints and, in a clone, the book's files; 0 if all needed is there, else 1."""
    faults = []
    looks = {"versions": _versions, "device": _device, "data": _data, "weights": _weights, "book": _book}
    for title, look in looks.items():
        lines = list(_until_a_fault(look()))
        if lines or title != "book":  # outside a clone there is none
            print(title)
        for line, fault in lines:
            print(f"  {line}{'  <- ' + fault if fault else ''}")
            faults += [fault] if fault else []
    print("all that is needed is there" if not faults else "to do: " + "; ".join(dict.fromkeys(faults)))
    return 1 if faults else 0


def _until_a_fault(lines: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The lines; a file or setting that cannot be read is one more, and the other parts are looked at all the same."""
    try:
        yield from lines
    except (ValueError, OSError, RuntimeError) as error:
        yield "cannot be read", str(error)


def _versions() -> Iterator[tuple[str, str]]:
    yield f"python {platform.python_version()}", "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    for name in NEEDED + FOR_THE_BOOK:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = ""
        if name == "jupyter-book" and found and int(found.split(".")[0]) > 1:
            yield f"{name} {found}", 'version 2 builds nothing here: pip install "jupyter-book>=1.0.4.post1,<2"'
        elif name in NEEDED:
            yield f"{name} {found or 'missing'}", "" if found else f"pip install {name}"
        else:
            yield f"{name} {found or 'missing (needed only to build and check the book)'}", ""


def _device() -> Iterator[tuple[str, str]]:
    yield describe(device_of()), ""
    launched = launched_size()
    if launched:  # nobody is waited for here
        yield launched, f"{launched} says that a launcher started several processes: if none did, unset it"


def _data() -> Iterator[tuple[str, str]]:
    yield f"downloads are kept in {files.cache_folder()}", ""
    folder = data_folder()
    if folder is None:
        yield "EBM_COURSE_DATA is not set: what a chapter needs is downloaded when first used", ""
        return
    sums = files.read_sums(folder / "SHA256SUMS")
    missing = [name for name in sums if not (folder / name).is_file()]
    sets = sorted(p.name for p in folder.iterdir() if p.is_dir())
    yield f"EBM_COURSE_DATA is {folder} and holds {', '.join(sets) or 'no data set'}", ""
    yield f"{len(sums) - len(missing)} of the {len(sums)} files in its SHA256SUMS are there", ""
    for name in missing:
        yield f"missing: {name}", f"copy {name} into the folder of EBM_COURSE_DATA"


def _weights() -> Iterator[tuple[str, str]]:
    listed = files.read_sums(files.CHECKPOINTS / "SHA256SUMS")
    for path in sorted(files.CHECKPOINTS.glob("*.safetensors")):
        if path.name not in listed:
            yield path.name, f"list it: cd {files.CHECKPOINTS} && sha256sum *.safetensors > SHA256SUMS"
    for name in sorted(listed):
        try:
            files.shipped_checkpoint(Path(name).stem)
            yield f"{name} has the right SHA-256", ""
        except (ValueError, FileNotFoundError) as error:
            yield name, str(error)


def _book() -> Iterator[tuple[str, str]]:
    """In a clone, whether the builder finds what it looks for in ``book``; elsewhere nothing."""
    for path in (CLONE / name for name in ("_config.yml", "_toc.yml") if (CLONE / "book").is_dir()):
        linked = path.parent / "book" / path.name
        same = linked.is_file() and path.is_file() and linked.read_bytes() == path.read_bytes()
        yield f"book/{path.name}", "" if same else f"copy {path.name} into book, as make copies does"
