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
from ebm_course.experiments.variants import Variant
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
        stages: number of each -> the name of its stage, this one first.
        act: (folder, results) -> a JSON value for each run, in this order.
        origin: number of one -> what makes its value.

    >>> from tempfile import TemporaryDirectory
    >>> stages = {0: "run-0/draw", 1: "run-1/draw"}
    >>> work = done_together(stages, lambda folder, results: [3, 7], origin=lambda k: Origin("toy", {}, seed=k))
    >>> with TemporaryDirectory() as root:
    ...     own = work(Path(root) / "run-0/draw", Results(Path(root)))
    ...     own, read_json(Path(root) / "run-1/draw" / FOUND)["found"]
    (3, 7)
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
    members: Sequence[tuple[Variant, int]],
    run: Run,
    *,
    fit: Callable[..., list[Fitted]],
    given: Callable[[Results], Mapping[str, Any]],
) -> Work:
    """The work of a stage that trains all members side by side, this stage's own the first.

    Args:
        members: a variant, equal but for which training on its net it is, and the number of a run.
        fit: the recipe for several runs.
        given: results -> nets that it is handed, by name.

    >>> from tempfile import TemporaryDirectory
    >>> from torch import nn
    >>> from ebm_course.runtime import SINGLE_PROCESS
    >>> def fit(config, runs, *, folder, progress):
    ...     return [Fitted(nn.Linear(1, 1), rows=[{"seed": run.seed}]) for run in runs]
    >>> plain = Variant("plain", "as it is", None, fit)
    >>> work = trained_together([(plain, 0), (plain, 1)], SINGLE_PROCESS, fit=fit, given=lambda results: {})
    >>> with TemporaryDirectory() as root:
    ...     own = work(Path(root) / plain.stage(0), Results(Path(root)))
    ...     own, (Path(root) / plain.stage(1) / "net.safetensors").is_file()
    ({'rows': [{'seed': 0}]}, True)
    """

    def act(folder: Path, results: Results) -> list[Any]:
        nets = given(results)
        runs, (last, number) = [variant.seeded(run, k) for variant, k in members], members[-1]
        state = folder / (f"with-{number}-tuning-{last.tuning}" if last.tuning else f"with-{number}")
        fitted = fit(last.config, runs, folder=state, progress=results.progress, **nets)
        for (variant, k), one in zip(members, fitted, strict=True):
            save_net(results.root / variant.stage(k), one, variant.origin(run, k), run)
        return [{"rows": one.rows} for one in fitted]

    stages = {i: variant.stage(k) for i, (variant, k) in enumerate(members)}
    return done_together(stages, act, origin=lambda i: members[i][0].origin(run, members[i][1]))
