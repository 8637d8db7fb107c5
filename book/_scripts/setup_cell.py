"""The set-up cell and the badges that every notebook of the course carries, for the address the course has or has not.

In Colab the cell installs the package: from a wheel in the working folder or in the mounted drive, else from the
address of the course, else from a wheel that the reader chooses. Ranges, not pins, are installed, so Colab's torch
stays.
"""

from __future__ import annotations

from ebm_course.runtime import PUBLIC_ADDRESS

REQUIREMENT = "ebm-course"
BRANCH = "main"

SETUP = """\
# Set-up, the same in every chapter: in Colab it installs the package, elsewhere nothing.
import sys
from glob import glob
from importlib.util import find_spec

if "google.colab" in sys.modules and not find_spec("ebm_course"):
    folders = ["", "/content/"] + ["/content/drive/" + "*/" * depth for depth in (1, 2, 3)]
    wheels = (wheel for folder in folders for wheel in sorted(glob(folder + "ebm_course-*-any.whl"))[::-1])
    {otherwise}
    %pip install -q "{{package}}"

from ebm_course.runtime import setup

run = setup(seed=0)"""

CHOOSE = """\
if not (package := next(wheels, "")):
        from pathlib import Path

        from google.colab import files

        print("Choose the wheel your teacher gave you, ebm_course-...-any.whl:")
        chosen = next((name for name in files.upload() if name.endswith(".whl")), "")
        assert chosen, "no wheel was chosen: run this cell again and choose ebm_course-...-any.whl."
        package = chosen.split("-any")[0] + "-any.whl"  # a second download is called "...-any (1).whl"
        Path(chosen).rename(package)"""


def requirement(address: str) -> str:
    """``ebm-course @ address``: a wheel's address as it is, a repository's through git. Ranges keep Colab's torch."""
    return f"{REQUIREMENT} @ {address if address.endswith('.whl') else 'git+' + address}"


def setup_source(address: str = PUBLIC_ADDRESS) -> str:
    """The set-up cell for a course published at ``address``; without one it asks for a wheel where it finds none."""
    return SETUP.format(otherwise=f'package = next(wheels, "{requirement(address)}")' if address else CHOOSE)


def repository(address: str) -> str:
    """``owner/name`` of a repository on GitHub, which Colab and Binder open; empty for any other address."""
    name = address.removesuffix("/").removesuffix(".git").removeprefix("https://github.com/")
    return name if name.count("/") == 1 else ""


def badges_source(name: str, address: str = PUBLIC_ADDRESS) -> str:
    """How to open the notebook ``name``: links without pictures, since a page asks no network for anything."""
    here = f"`make lab` in a clone of the course, then `book/{name}.ipynb`"
    if not (owner_name := repository(address)):
        in_colab = "In Colab, run the first code cell and choose the wheel your teacher gave you."
        return f"*Open this chapter:* {here}. {in_colab}"
    colab = f"https://colab.research.google.com/github/{owner_name}/blob/{BRANCH}/book/{name}.ipynb"
    binder = f"https://mybinder.org/v2/gh/{owner_name}/{BRANCH}?labpath=book%2F{name}.ipynb"
    return f"*Open this chapter:* [in Colab]({colab}), [in Binder]({binder}), or {here}."
