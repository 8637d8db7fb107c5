"""Publish the course at an address, or take the address back: ``make address URL=https://github.com/owner/course``.

``PUBLIC_ADDRESS`` in ``ebm_course.runtime`` is the setting. Everything that depends on it is written from here: the
launch buttons, the head of the README and the citation; set-up cells and badges follow with
``refresh_notebooks.py --cells``. ``--check`` writes nothing and fails where a file does not follow the setting.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from setup_cell import BRANCH, repository

ROOT = Path(__file__).parents[2]
FILES = ("ebm_course/runtime.py", "_config.yml", "book/_config.yml", "README.md", "CITATION.cff")
SETTING = re.compile(r'^PUBLIC_ADDRESS = "(.*)"$', flags=re.MULTILINE)
BLOCK = re.compile(r"^((?:#|<!--) address:.*\n)(?:.*\n)*?((?:#|<!--) end of address.*\n)", flags=re.MULTILINE)
"""What stands between two comments, the first of which says that it is written by this script."""

BUTTONS_OFF = """\
launch_buttons:
  binderhub_url: ""
  colab_url: ""
  thebe: false
"""
BUTTONS = """\
repository:
  url: {address}
  branch: {branch}
  path_to_book: book
launch_buttons:
  notebook_interface: jupyterlab
  binderhub_url: "https://mybinder.org"
  colab_url: "https://colab.research.google.com"
  thebe: false
"""
README_OFF = "Clone this repository, or unpack its archive, and open a terminal in the folder that holds this file.\n"
README = """\
`git clone {address}`, and open a terminal in the folder that this makes.{online}
"""
ONLINE = """ Without installing anything:
[the first chapter in Colab](https://colab.research.google.com/github/{name}/blob/{branch}/book/{first}.ipynb) or
[all of them in Binder](https://mybinder.org/v2/gh/{name}/{branch}?labpath=book%2F{first}.ipynb)."""


def checked(address: str) -> str:
    """``address`` as it is written everywhere, or empty.

    Raises:
        ValueError: it is no address of the form ``https://host/path``, where the name of a host has a dot.
    """
    if address and not re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(:\d+)?(/[\w.~+-]+)+/?", address, flags=re.ASCII):
        raise ValueError(
            f"the address is {address!r}, expected https://host/owner/course, or nothing to take it back: "
            f"make address URL=https://github.com/owner/course."
        )
    return address.removesuffix("/")


def block(name: str, address: str, first: str) -> str:
    """What the file ``name`` says of a course at ``address`` whose first chapter is ``first``."""
    on_github = repository(address)
    if name == "CITATION.cff":
        return f'repository-code: "{address}"\nurl: "{address}"\n' if address else ""
    if name == "README.md":
        online = ONLINE.format(name=on_github, branch=BRANCH, first=first) if on_github else ""
        return README.format(address=address, online=online) if address else README_OFF
    return BUTTONS.format(address=address, branch=BRANCH) if on_github else BUTTONS_OFF


def written(name: str, text: str, address: str, first: str) -> str:
    """``text`` of the file ``name`` for a course at ``address``.

    Raises:
        ValueError: the file lacks the setting or the two comments.
    """
    if name == "ebm_course/runtime.py":
        new, n = SETTING.subn(f'PUBLIC_ADDRESS = "{address}"', text)
    else:
        own = block(name, address, first)
        new, n = BLOCK.subn(lambda found: found[1] + own + found[2], text)
    if n != 1:
        raise ValueError(f"{name}: expected one place for the address, found {n}: put the two comments back.")
    return new


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", help="where the course is published; an empty one takes it back")
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a file differs")
    options = parser.parse_args(arguments)
    stored = {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}
    first = min(ROOT.glob("book/[0-9][0-9]_*.ipynb")).stem
    try:
        found = SETTING.search(stored[FILES[0]])
        given = options.address if options.address is not None else found[1] if found else ""
        address = checked(given)
        wanted = {name: written(name, text, address, first) for name, text in stored.items()}
    except ValueError as error:
        print(error)
        return 1
    differing = [name for name in FILES if wanted[name] != stored[name]]
    for name in differing:
        if options.check:
            print(f"{name} does not follow PUBLIC_ADDRESS in ebm_course/runtime.py: run make address URL={address}")
        else:
            (ROOT / name).write_text(wanted[name], encoding="utf-8")
            print(name)
    return int(options.check and bool(differing))


if __name__ == "__main__":
    sys.exit(main())
