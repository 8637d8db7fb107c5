"""The one training loop: it calls a step, averages what the step logs, validates, stops early and resumes.

It knows neither energies nor negatives nor losses: all of that is in the step it is given.

>>> def step(batch, generator):
...     return {"rows": torch.tensor(float(len(batch)))}
>>> batches = [Batch(torch.zeros(8, 2))]
>>> isinstance(batches, Indexed), fit(step, batches, n_steps=2, generator=torch.Generator(), progress=False)
(True, [{'step': 1, 'rows': 8.0}, {'step': 2, 'rows': 8.0}])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ebm_course.ambient import recording_gradients
from ebm_course.core import Batch, Step
from ebm_course.origin import Origin
from ebm_course.runtime import SINGLE_PROCESS, Run
from ebm_course.storage import locked
from ebm_course.training.batches import Indexed, check_batches
from ebm_course.training.log import IntervalLog, check_number, is_whole, named, validating
from ebm_course.training.resume import (
    Progress,
    check_states,
    load_run,
    load_states,
    module_states,
    save_run,
    undisturbed,
)

Validate = Callable[[], Mapping[str, float]]


@recording_gradients()
def fit(
    step: Step,
    batches: Indexed | Callable[[int], Batch],
    *,
    n_steps: int,
    generator: torch.Generator,
    validate: Validate | None = None,
    validate_every: int = 0,
    patience: int | None = None,
    keep: Mapping[str, Any] | None = None,
    keep_best: bool = False,
    folder: Path | str | None = None,
    save_every: int = 0,
    progress: bool = True,
    log_every: int = 1,
    origin: Origin | None = None,
    last: dict[str, Any] | None = None,
    run: Run = SINGLE_PROCESS,
) -> list[dict[str, float]]:
    """Call ``step(batches[i], generator)`` for i = 0 .. n_steps - 1 and return what it logged.

    Args:
        step: one update; changes parameters, returns name -> scalar tensor on the device.
        batches: anything with ``batches[i]``, or a function of i. What has a length is gone through again and again.
        n_steps: number of updates, 0 or larger.
        generator: the random stream handed to every step; moved on.
        validate: returns name -> number, the FIRST of which is to be minimised. It chooses eval mode itself. The
            modes of kept modules, ``generator`` and torch's global streams are put back after it.
        validate_every: updates between validations; there is one after the last update as well. 0: only that one.
        patience: stop after so many validations in a row without a new minimum, 1 or larger. None: never.
        keep: name -> what changes in training and has ``state_dict`` and ``load_state_dict`` (modules, optimisers,
            schedulers, replay buffers) or is a torch generator. Saved, resumed, and checked to be finite.
        keep_best: at the end give the modules in ``keep`` the weights of their best validation, not the last ones.
        folder: where the state is saved. A run killed at any moment and started again with the same arguments goes
            on from there and, on a CPU, ends with the same weights bit for bit; a finished run returns at once.
            With a larger ``n_steps`` and the same ``origin`` it goes on from the last weights.
        save_every: updates between saves; 0: only at the end.
        progress: show a bar; ``TQDM_DISABLE`` turns bars of text off, ``progress=False`` every bar.
        log_every: updates in a row's average. Values are read from the device once a row.
        origin: what makes this run; saved with its state and compared before a state is loaded.
        last: filled with copies of what the modules in ``keep`` were after the last update, for a run that wants
            these weights beside the best ones.
        run: the processes that train together, one by default. All see the same minibatches; the step takes its share
            of rows and averages gradients over processes. Rows of the log are means over processes. All load the
            state, only the main process saves it and shows the bar. ``validate`` has to return the same everywhere.
            N processes equal one up to rounding where nothing but ``generator`` is drawn from: with dropout above 0
            runs of other numbers of processes differ as runs of other seeds do.

    Returns:
        One row for every ``log_every`` updates, every validation and the end: ``"step"``, the number of updates done,
        the values averaged since the last row, and ``"valid_..."`` where the row ends in a validation.

    Raises:
        FloatingPointError: a logged value or a kept tensor is not finite; names it, the step and a remedy. Nothing
            is repaired and nothing of it is saved.
        ValueError: the arguments contradict one another, ``folder`` holds another run, processes found it at
            different updates, or a net or batch was made inside ``torch.inference_mode()``.
        BlockingIOError: another run works in ``folder``.
    """
    kept, home = dict(keep or {}), None if folder is None else Path(folder)
    _check_numbers(n_steps=n_steps, validate_every=validate_every, save_every=save_every, log_every=log_every)
    check_batches(batches)
    _check_validation(validate, validate_every, patience, kept if keep_best else None)
    _check_folder(home, save_every, kept)
    with locked(home) if home is not None and run.is_main else nullcontext():
        done = _start(home, kept, generator, n_steps, origin)
        _check_together(run, done.step, home)
        log, saved = IntervalLog(done.interval), done.step
        shown = {} if progress and run.is_main else {"disable": True}
        with tqdm(total=n_steps, initial=done.step, leave=False, **shown) as bar:
            while done.step < n_steps and (patience is None or done.waited < patience):
                values = _means(step(_batch(batches, done.step), generator), run)
                done.step += 1
                log.add(done.step, values)
                validating = validate is not None and _due(done.step, validate_every, n_steps)
                if validating or _due(done.step, log_every, n_steps):
                    done.rows.append({"step": done.step, **log.average()})
                    if validate is not None and validating:
                        done.rows[-1] |= _validated(validate, done, kept, generator, keep_best)
                    _show(bar, done.rows[-1])
                if home is not None and _due(done.step, save_every, n_steps):
                    saved = _save(home, done, log, kept, generator, run, origin)
        if home is not None and saved < done.step:  # stopped early
            _save(home, done, log, kept, generator, run, origin)
        run.wait()  # what the main process saved is there for all
    check_states(kept, done.step)
    if last is not None:
        last.update(module_states(kept))
    if keep_best and done.best_state is not None:
        load_states(kept, done.best_state)
    return done.rows


def _due(step: int, every: int, n_steps: int) -> bool:
    return step == n_steps or (every > 0 and step % every == 0)


def _start(
    home: Path | None, keep: Mapping[str, Any], generator: torch.Generator, n_steps: int, origin: Origin | None
) -> Progress:
    run = Progress() if home is None else load_run(home, keep, generator, origin)
    if run.step > n_steps:
        raise ValueError(f"{home} holds a run of {run.step} steps, n_steps is {n_steps}: give this run another folder.")
    return run


def _save(
    home: Path,
    done: Progress,
    log: IntervalLog,
    keep: Mapping[str, Any],
    generator: torch.Generator,
    run: Run,
    origin: Origin | None,
) -> int:
    log.read()
    done.interval = log.kept
    if run.is_main:
        save_run(home, done, keep, generator, origin)
    return done.step


def _means(values: Mapping[str, Tensor], run: Run) -> Mapping[str, Tensor]:
    """Means over processes, in one message."""
    if run.n_processes == 1 or not values:
        return values
    means = run.mean(torch.stack([value.detach().to(run.device, torch.float32) for value in values.values()]))
    return dict(zip(values, means, strict=True))


def _batch(batches: Indexed | Callable[[int], Batch], i: int) -> Batch:
    if not isinstance(batches, Indexed):
        return batches(i)
    return batches[i % len(batches)] if isinstance(batches, Sized) else batches[i]


def _validated(
    validate: Validate, run: Progress, keep: Mapping[str, Any], generator: torch.Generator, keep_best: bool
) -> dict[str, float]:
    """Validate and note a new minimum of the first value."""
    with undisturbed(keep, generator), validating(run.step):
        values = {f"valid_{name}": float(value) for name, value in named("validate", validate()).items()}
    for name, value in values.items():
        check_number(name, value, run.step)
    if not values:
        raise ValueError("validate returned no values: expected name -> number, the first of them to be minimised.")
    first = next(iter(values.values()))
    improved = run.best is None or first < run.best
    run.waited = 0 if improved else run.waited + 1
    if improved:
        run.best, run.best_state = first, module_states(keep) if keep_best else None
    return values


def _show(bar: tqdm, row: Mapping[str, float]) -> None:
    values = {name: f"{value:.4g}" for name, value in row.items() if name != "step"}
    bar.set_postfix(values, refresh=False)  # drawn by update, which draws ten times a second and not once a row
    bar.update(int(row["step"]) - bar.n)


def _check_numbers(**numbers: int) -> None:
    for name, number in numbers.items():
        least = 1 if name == "log_every" else 0
        if not is_whole(number) or number < least:
            raise ValueError(f"{name} counts updates: expected {least} or larger, got {number}.")


def _check_validation(
    validate: Validate | None, every: int, patience: int | None, restored: Mapping[str, Any] | None
) -> None:
    if every and validate is None:
        raise ValueError(f"validate_every={every} needs validate=... : a function that returns name -> number.")
    if patience is not None and (not is_whole(patience) or patience < 1 or validate is None):
        raise ValueError(f"patience={patience} counts validations: expected 1 or larger, and validate=... given.")
    if restored is not None and (validate is None or not any(isinstance(x, nn.Module) for x in restored.values())):
        raise ValueError("keep_best needs validate=... and a module in keep={'model': model}: one of them is missing.")


def _check_together(run: Run, step: int, home: Path | None) -> None:
    steps = run.gather(torch.tensor([step], device=run.device)).tolist()
    if len(set(steps)) > 1:
        raise ValueError(
            f"the processes found {home} at the updates {steps}: expected one folder that all of them see. "
            f"Pass a folder on a disk that every machine shares."
        )


def _check_folder(home: Path | None, save_every: int, keep: Mapping[str, Any]) -> None:
    if home is None and save_every:
        raise ValueError(f"save_every={save_every} needs a folder to save to: pass folder=...")
    if home is not None and not keep:
        raise ValueError("a folder resumes what keep names: pass keep={'model': model, 'optimizer': optimizer}.")
