"""``train``: train a recipe's preset and write its checkpoint. It knows no method.

>>> import io, tempfile
>>> from contextlib import redirect_stdout
>>> parser = argparse.ArgumentParser()
>>> add(parser.add_subparsers())
>>> with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
...     out = f"{folder}/net.safetensors"
...     code = train(parser.parse_args(f"train likelihood.potts --preset smoke --quiet --out {out}".split()))
...     _, note = files.load_checkpoint(out)
>>> code, note["command"]
(0, 'python -m ebm_course train likelihood.potts --preset smoke --seed 0 --out net.safetensors')
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import textwrap
from importlib.metadata import version

from ebm_course import files
from ebm_course.commands import choices
from ebm_course.commands.choices import RefusedError
from ebm_course.commands.places import check_apart, check_checkpoints, typed
from ebm_course.origin import Origin, name_of, plain
from ebm_course.storage import check_writable, real
from ebm_course.training.resume import FILE_NAME as STATE


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    presets = {name: ", ".join(choices.recipe(name).PRESETS) for name in choices.RECIPES}
    parser = commands.add_parser(
        "train",
        help="train a recipe and write its checkpoint",
        epilog="\n".join(["recipes and their presets:", *(_wrapped(f"{k}: {v}") for k, v in presets.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="one of those below")
    parser.add_argument("--preset", default="notebook", help="one of the recipe's, see below; by default notebook")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=typed, required=True, metavar="FILE", help="the checkpoint to write, NAME.safetensors"
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field")
    parser.add_argument("--folder", type=typed, help="save the run's state there and resume from it")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=train)


def _wrapped(line: str) -> str:
    columns = shutil.get_terminal_size().columns - 2  # as argparse
    return textwrap.fill(line, max(20, columns), initial_indent="  ", subsequent_indent="      ")


def train(options: argparse.Namespace) -> int:
    """Train a recipe's preset and write its checkpoint; refuses what cannot work before training starts."""
    recipe = choices.recipe(options.recipe)
    config = choices.changed(choices.preset(recipe.PRESETS, options.preset), options.set, recipe.PRESETS)
    out = options.out
    if out.is_dir():
        raise RefusedError(f"--out {out} is a folder: name the checkpoint to write, NAME.safetensors.")
    if out.suffix != ".safetensors":
        raise RefusedError(f"--out names the checkpoint to write, NAME.safetensors: got {str(out)!r}.")
    if options.folder and real(out).is_relative_to(real(options.folder) / STATE):
        raise RefusedError(f"--out {out} is where the run's state is kept: name another file.")
    check_apart(out, folder=options.folder)
    check_writable(out)
    if out.with_name("SHA256SUMS").is_file():
        check_checkpoints(out.parent)
    run = choices.run_of(options.seed)
    fitted = recipe.fit(config, run, folder=options.folder, progress=not options.quiet)
    if run.is_main:
        changes = "".join(f" --set {shlex.quote(change)}" for change in options.set)
        made = f"python -m ebm_course train {options.recipe} --preset {options.preset} --seed {options.seed}{changes}"
        note = {
            **(fitted.origin or Origin(name_of(recipe.fit), plain(config), options.seed)).as_json(),
            "last_row": fitted.rows[-1] if fitted.rows else {},
            "torch": version("torch"),
            "command": f"{made} --out {out.name}",
        }
        print(f"{files.save_checkpoint(out, fitted.module, meta=note)}  {out}")
    return 0
