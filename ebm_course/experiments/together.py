"""Work on several runs at once, where a device would idle with one run alone: the first run's stage does it for all.

It knows no method: a variant's recipe has a face for several runs,
``fit(config, runs, *, folder, progress, **given) -> [Fitted]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ebm_course.experiments.nets import save_net
from ebm_course.experiments.stages import Results
from ebm_course.experiments.variants import Variant, seeded
from ebm_course.origin import Origin
from ebm_course.recipes.shared import Fitted
from ebm_course.runtime import Run
from ebm_course.storage import read_json, write_json

FOUND = "found.json"
Work = Callable[[Path, Results], Any]


def done_together(
    stages: Mapping[int, str],
    act: Callable[[Path, Results], Sequence[Any]],
    *,
    origin: Callable[[int], Origin],
) -> Work:
    """The work of the first of several runs' stages: does that of all, unless an earlier one has done so.

    Args:
        stages: number of each run -> the name of its stage, this one first.
        act: (folder, results) -> a JSON value for each run, in this order.
        origin: number of a run -> what makes its value.
    """
    first = next(iter(stages))

    def work(folder: Path, results: Results) -> Any:
        if not (folder / FOUND).is_file():
            found = zip(stages.items(), act(folder, results), strict=True)
            for (k, name), value in reversed(list(found)):  # the first, which tells, at last
                write_json(results.root / name / FOUND, {"origin": origin(k).as_json(), "found": value})
        noted = read_json(folder / FOUND)
        origin(first).check(noted["origin"], folder / FOUND)
        return noted["found"]

    return work


def trained_together(
    variant: Variant,
    numbers: range,
    run: Run,
    *,
    fit: Callable[..., list[Fitted]],
    given: Callable[[Results], Mapping[str, Any]],
) -> Work:
    """The work of a stage that trains the variant in all runs of ``numbers``, this one the first.

    Args:
        fit: the recipe for several runs.
        given: results -> nets that it is handed, by name.
    """

    def act(folder: Path, results: Results) -> list[Any]:
        nets = given(results)
        runs, state = [seeded(run, k) for k in numbers], folder / f"with-{numbers[-1]}"
        fitted = fit(variant.config, runs, folder=state, progress=results.progress, **nets)
        for k, one in zip(numbers, fitted, strict=True):
            save_net(results.root / variant.stage(k), one, variant.origin(run, k), run)
        return [{"rows": one.rows} for one in fitted]

    stages = {k: variant.stage(k) for k in numbers}
    return done_together(stages, act, origin=lambda k: variant.origin(run, k))
