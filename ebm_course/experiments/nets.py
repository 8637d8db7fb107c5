"""The nets of a sequence experiment that are worth keeping, small: both pretrained ones and energies of the first run.

Weights are stored in half precision, which halves the file and changes a weight by one part in two thousand at most.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ebm_course.experiments.sequences.experiment import NET
from ebm_course.files import load_checkpoint

if TYPE_CHECKING:
    from ebm_course.experiments.sequences.config import Config

ENERGIES = {"residual-long": "residual", "adversarial": "adversarial", "grown": "grown"}
IDEAS = {"residual-surprise": "surprise"}


def small_checkpoints(config: Config, folder: Path) -> dict[str, tuple[dict[str, Tensor], Any, dict[str, Any]]]:
    """Name of each checkpoint -> its weights in half precision, its configuration, and the rest of its note.

    Args:
        config: of the experiment.
        folder: where its stages lie, all of them done.

    Raises:
        FileNotFoundError: a stage is not done.
    """
    n = config.n_digits
    paths: dict[str, tuple[Path, Any]] = {
        f"arithmetic-{n}-lm": (folder / "lm" / "best.safetensors", config.lm),
        f"arithmetic-{n}-energy": (folder / "energy" / NET, config.energy),
    }
    for name, short in ENERGIES.items():
        paths[f"arithmetic-{n}-{short}-0"] = (folder / "run-0" / name / NET, config.methods[name])
    for name in IDEAS.keys() & config.ideas.keys():
        paths[f"arithmetic-{n}-{IDEAS[name]}-0"] = (folder / "idea" / name / NET, config.ideas[name])
    found = {}
    for name, (path, made) in paths.items():
        state = {key: value.half() for key, value in load_checkpoint(path)[0].items()}
        meta: dict[str, Any] = {"n_digits": n, "precision": "float16"}
        meta |= {"head": made.head.__name__} if hasattr(made, "head") else {}
        found[name] = (state, made, meta)
    return found
