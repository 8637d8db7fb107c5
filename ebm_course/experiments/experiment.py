"""An experiment as a declaration, and the one function that reproduces any of them. It knows no method.

An experiment says what its presets are, which stages a configuration asks for and how their results become findings.
Everything else is here and in the files beside: order and resumption (``stages``), seeds of runs and rows of methods
(``variants``), nets and what made them (``nets``), verdicts (``claims``), seconds and commits (``attempts``).

>>> from tempfile import TemporaryDirectory
>>> from ebm_course.experiments.configs import Settings
>>> from ebm_course.results.findings import Entry
>>> from ebm_course.runtime import SINGLE_PROCESS
>>> def stages(config, run):
...     return [Stage(f"run-{k}/draw", lambda folder, results, k=k: run.seed + k) for k in range(config.n_runs)]
>>> def findings(config, results):
...     return Findings([Entry.of("seed", "Seed of a run.", list(results.values()))], curves=[])
>>> toy = Experiment("toy", "Seeds.", {"cpu": Settings(n_runs=2)}, stages, findings)
>>> with TemporaryDirectory() as folder:
...     found = reproduce(toy, toy.presets["cpu"], SINGLE_PROCESS, folder=Path(folder), progress=False)
>>> found.entries[0].values, [work.name for work in found.work]
((0.0, 1.0), ['run-0/draw', 'run-1/draw'])
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ebm_course.ambient import usual_settings
from ebm_course.core import Batch
from ebm_course.experiments.archive import pack, unpack
from ebm_course.experiments.claims import judged
from ebm_course.experiments.configs import shared
from ebm_course.experiments.nets import small
from ebm_course.experiments.stages import Results, Stage, run_stages
from ebm_course.experiments.variants import Variant
from ebm_course.origin import Origin
from ebm_course.recipes.shared import rows_digest
from ebm_course.results.findings import Findings, Work
from ebm_course.runtime import Run


@dataclass(frozen=True)
class Experiment:
    """A paper's reproduction, declared.

    Args:
        name: what the command line calls it.
        title: one sentence for the page of results.
        presets: name -> configuration, a :class:`configs.Settings`.
        stages: (configuration, run) -> every stage in order.
        findings: (configuration, results of the stages) -> numbers and curves.
        data: names that the configuration's ``data`` may hold; empty where there is no choice.
        absent: names of sets that a reader may look for in ``data`` -> why they are not there and what to take.
        encoders: what may read them, each the end of a name in ``data``, but for the first, which ends none.
        figures: patterns of curve names, a figure each; the first is shown beside the claims.
        ships: (configuration) -> the variants whose nets may ship, beside those in ``config.variants``.
        rows: (configuration) -> data that every stage depends on, by name; part of every stage's origin.
        samples: (configuration, folder of the stages) -> images to be kept beside the record, by name, as bytes.
        measured: what the numbers of the claims are, in words, for the page of results.
        shared: what the runs share, in words: a verdict says nothing about what is the same in all of them.
    """

    name: str
    title: str
    presets: Mapping[str, Any]
    stages: Callable[[Any, Run], Sequence[Stage]]
    findings: Callable[[Any, Results], Findings]
    data: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    encoders: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    ships: Callable[[Any], Sequence[Variant]] = lambda config: ()
    rows: Callable[[Any], Mapping[str, Batch]] = lambda config: {}
    samples: Callable[[Any, Path], Mapping[str, Tensor]] = lambda config, folder: {}
    measured: str = ""
    shared: str = ""


@usual_settings()
def reproduce(
    experiment: Experiment,
    config: Any,
    run: Run,
    *,
    folder: Path,
    progress: bool = True,
    join: bool = False,
    archive: Path | None = None,
) -> Findings:
    """Do all of an experiment in ``folder`` and return what was found; what is done already is not done again.

    Args:
        config: a preset, or a change of one. ``n_runs`` and ``variants`` may differ from one call to the next, all else
            has to stay: claims too, which are declared before the run.
        run: device and first seed; run k has the seed ``run.seed + k``.
        folder: results, states and checkpoints of all stages.
        progress: show one bar over all stages, with the time left, and a bar inside each training.
        join: share the folder with other runs that join, see ``run_stages``.
        archive: a file from which finished stages are taken first, if it is there, and into which all that are finished
            go at the end, also after an interrupt: so a long experiment goes on elsewhere.

    Raises:
        ValueError: the folder or the archive holds what another experiment, configuration, seed or version has made.
        BlockingIOError: another run works in the folder.
    """
    stages = experiment.stages(config, run)
    origin = _origin(experiment, config, run)
    if archive is not None and archive.is_file() and run.is_main:
        unpack(archive, stages, folder)
    run.wait()
    try:
        results = run_stages(stages, folder, origin=origin, run=run, progress=progress, join=join)
    finally:
        if archive is not None and run.is_main:
            pack(stages, folder, archive)
    found = experiment.findings(config, results)
    return dataclasses.replace(found, claims=judged(config.claims, found.entries), work=work_of(results))


def small_checkpoints(experiment: Experiment, config: Any, run: Run, folder: Path) -> dict[str, tuple[Any, dict]]:
    """Name of each checkpoint that ships -> its weights in half precision and its note, from finished stages.

    Raises:
        FileNotFoundError: a stage is not done.
        ValueError: something else made a net.

    >>> from tempfile import TemporaryDirectory
    >>> from torch import nn
    >>> from ebm_course.experiments.configs import Settings
    >>> from ebm_course.experiments.nets import save_net
    >>> from ebm_course.recipes.shared import Fitted
    >>> from ebm_course.runtime import SINGLE_PROCESS as run
    >>> row = Variant("plain", "as it is", None, dict, ships_as="sums-plain")
    >>> toy, fitted = Experiment("toy", "", {}, list, list), Fitted(nn.Linear(2, 1), rows=[])
    >>> with TemporaryDirectory() as folder:
    ...     save_net(Path(folder) / row.stage(0), fitted, row.origin(run, 0), run)
    ...     weights, note = small_checkpoints(toy, Settings(variants=(row,)), run, Path(folder))["sums-plain"]
    >>> weights["weight"].dtype, note["precision"]
    (torch.float16, 'float16')
    """
    rows = [variant for variant in (*experiment.ships(config), *config.variants) if variant.ships_as]
    return {row.ships_as: small(folder / row.stage(0), row.origin(run, 0)) for row in rows}


def work_of(results: Results) -> tuple[Work, ...]:
    """Seconds, commits, hardware and torch of every finished stage.

    >>> results = Results(Path("folder"))
    >>> attempt = {"commit": "0123abc", "hardware": "a CPU", "torch": "2.13.0", "seconds": 30.0}
    >>> results.add("lm", {"made_from": {}, "files": {}, "result": 1.0, "attempts": [attempt, attempt]})  # once killed
    >>> work_of(results)
    (Work(name='lm', seconds=60.0, commits=('0123abc',), hardware=('a CPU',), torch=('2.13.0',)),)
    """
    found = []
    for name in results:
        made = [(attempt.commit, attempt.hardware, attempt.torch) for attempt in results.attempts(name)]
        commits, hardware, torch = (tuple(dict.fromkeys(parts)) for parts in zip(*made, strict=True))
        found.append(Work(name, results.seconds(name), commits, hardware, torch))
    return tuple(found)


def _origin(experiment: Experiment, config: Any, run: Run) -> Origin:
    data = "; ".join(f"{name} {rows_digest(batch)}" for name, batch in experiment.rows(config).items())
    return Origin(f"experiments.{experiment.name}", shared(config), run.seed, data)
