"""A stage that trains one run of a variant beside all later ones, where a device would idle with one run alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ebm_course.experiments.nets import save_net
from ebm_course.experiments.sequences.nets import Nets
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import Variant, seeded
from ebm_course.recipes.sequences.side_by_side import fit_side_by_side
from ebm_course.storage import read_json, write_json

ROWS = "rows.json"


def trained_together(nets: Nets, variant: Variant, k: int) -> Callable[[Path, Results], Any]:
    """The work of the stage of run k: trains it with all runs after it, unless an earlier stage has done so."""

    def work(folder: Path, results: Results) -> dict[str, Any]:
        if not (folder / ROWS).is_file():
            _train(nets, variant, range(k, nets.config.n_runs), folder, results)
        noted = read_json(folder / ROWS)
        variant.origin(nets.run, k).check(noted["origin"], folder / ROWS)
        return {"rows": noted["rows"]}

    return work


def _train(nets: Nets, variant: Variant, numbers: range, folder: Path, results: Results) -> None:
    given = nets.given(variant, results)
    runs, state = [seeded(nets.run, k) for k in numbers], folder / f"with-{numbers[-1]}"
    fitted = fit_side_by_side(variant.config, runs, folder=state, progress=results.progress, **given)
    for k, one in reversed(list(zip(numbers, fitted, strict=True))):  # the first, which tells, at last
        own, origin = results.folder(variant.stage(k)), variant.origin(nets.run, k)
        save_net(own, one, origin, nets.run)
        write_json(own / ROWS, {"origin": origin.as_json(), "rows": one.rows})
