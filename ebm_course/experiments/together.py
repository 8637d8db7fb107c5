"""A stage that trains one run of a variant beside all later ones, where a device would idle with one run alone.

It knows no method: the variant's recipe has a face for several runs,
``fit(config, runs, *, folder, progress, **given) -> [Fitted]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ebm_course.experiments.nets import save_net
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import Variant, seeded
from ebm_course.recipes.shared import Fitted
from ebm_course.runtime import Run
from ebm_course.storage import read_json, write_json

ROWS = "rows.json"


def trained_together(
    variant: Variant,
    numbers: range,
    run: Run,
    *,
    fit: Callable[..., list[Fitted]],
    given: Callable[[Results, range], Mapping[str, Any]],
) -> Callable[[Path, Results], Any]:
    """The work of the stage of the first run of ``numbers``: trains all of them, unless an earlier stage has done so.

    Args:
        fit: the recipe for several runs.
        given: (results, numbers of the runs) -> nets that it is handed, by name.
    """

    def work(folder: Path, results: Results) -> dict[str, Any]:
        if not (folder / ROWS).is_file():
            nets = given(results, numbers)
            runs, state = [seeded(run, k) for k in numbers], folder / f"with-{numbers[-1]}"
            fitted = fit(variant.config, runs, folder=state, progress=results.progress, **nets)
            for k, one in reversed(list(zip(numbers, fitted, strict=True))):  # the first, which tells, at last
                own, origin = results.root / variant.stage(k), variant.origin(run, k)
                save_net(own, one, origin, run)
                write_json(own / ROWS, {"origin": origin.as_json(), "rows": one.rows})
        noted = read_json(folder / ROWS)
        variant.origin(run, numbers[0]).check(noted["origin"], folder / ROWS)
        return {"rows": noted["rows"]}

    return work
