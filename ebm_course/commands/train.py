"""``train``: train a recipe's preset and write its checkpoint. It knows no method."""

from __future__ import annotations

import argparse
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ebm_course import files
from ebm_course.commands import choices
from ebm_course.commands.choices import RefusedError


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "train",
        help="train a recipe and write its checkpoint",
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help="show this, recipes and presets among it, and exit")
    parser.add_argument("recipe", help="one of those below")
    parser.add_argument("--preset", default="notebook", help="one of the recipe's, see below; by default notebook")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, metavar="FILE", help="the checkpoint to write, NAME.safetensors")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field")
    parser.add_argument("--folder", type=Path, help="save the run's state there and resume from it")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=train)


def train(options: argparse.Namespace) -> int:
    """Train a recipe's preset and write its checkpoint; refuses what cannot work before training starts."""
    recipe = choices.recipe(options.recipe)
    if not hasattr(recipe, "train"):
        raise RefusedError(
            f"{options.recipe!r} holds parts of recipes and cannot be trained: it has no function train."
        )
    config = choices.changed(choices.preset(recipe, options.preset), options.set, choices.named_values(recipe))
    out = Path(options.out)
    if out.suffix != ".safetensors" or out.is_dir():
        raise RefusedError(f"--out names the checkpoint to write, NAME.safetensors: got {options.out!r}.")
    run = choices.run_of(options.seed)
    module, meta = recipe.train(config, run, folder=options.folder, progress=not options.quiet)
    changes = "".join(f" --set {shlex.quote(change)}" for change in options.set)
    made = f"python -m ebm_course train {options.recipe} --preset {options.preset} --seed {options.seed}{changes}"
    note = {
        **meta,
        "config": choices.plain(config),
        "seed": options.seed,
        "torch": version("torch"),
        "command": f"{made} --out {out.name}",
    }
    if run.is_main:
        digest = files.save_checkpoint(out, module, meta=note)
        print(f"{digest}  {out}")
    return 0


class _Help(argparse.Action):
    """Imports the recipes to say which presets they have, so it waits until it is asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        modules = {name: choices.recipe(name) for name in choices.recipe_names()}
        lines = [f"  {k}: {', '.join(choices.presets(m))}" for k, m in modules.items() if hasattr(m, "train")]
        parser.epilog = "\n".join(["recipes and their presets:", *(lines or ["  none yet"])])
        parser.print_help()
        parser.exit()
