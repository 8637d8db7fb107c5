"""The training loop: what it logs, when it stops, and that a killed run ends where an unbroken one does."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ebm_course.core import Batch
from ebm_course.storage import read_tensors, write_tensors
from ebm_course.training.batches import Batches
from ebm_course.training.fit import fit

ROW = Batch(torch.zeros(1, 1))


class Killed(BaseException):
    """Stands for the end of the process: no handler of the loop may catch it."""


class Problem:
    """A net with dropout, AdamW, a scheduler, a replay buffer and a step that draws from its generator."""

    def __init__(self, kill_at: int | None = None) -> None:
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.05)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 40)
        self.buffer = Store()
        self.keep = {name: getattr(self, name) for name in ("net", "optimizer", "scheduler", "buffer")}
        self.generator = torch.Generator().manual_seed(5)
        self.valid = Batch(torch.randn(16, 4, generator=torch.Generator().manual_seed(1)))
        rows = Batch(torch.randn(30, 4, generator=torch.Generator().manual_seed(0)))
        self.batches = Batches(rows, 8, seed=2)
        self.kill_at, self.done = kill_at, 0

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        self.buffer.x = self.buffer.x + torch.randn(8, 4, generator=generator)
        loss = (self.net(batch.x) - self.net(self.buffer.x)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.done += 1
        if self.done == self.kill_at:  # after the update, before the loop hears of it
            raise Killed
        return {"loss": loss.detach(), "size": self.buffer.x.norm()}

    def validate(self) -> dict[str, float]:
        """Smallest after 7 updates; the second value draws dropout masks from the global stream."""
        with torch.no_grad():
            return {"far": abs(self.scheduler.last_epoch - 7), "loss": float(self.net(self.valid.x).square().mean())}

    def fit(self, **options: Any) -> list[dict[str, float]]:
        options = {"progress": False, "keep": self.keep} | options
        return fit(self.step, self.batches, generator=self.generator, **options)

    def weights(self) -> dict[str, Tensor]:
        return self.net.state_dict()


class Store:
    """The least thing with a state."""

    def __init__(self) -> None:
        self.x = torch.zeros(8, 4)

    def state_dict(self) -> dict[str, Tensor]:
        return {"x": self.x}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.x = state["x"]


def trained(kill_at: int | None = None, **options: Any) -> tuple[Problem, list[dict[str, float]]]:
    """A fresh problem, as a new process would build it, and the rows of its training."""
    problem = Problem(kill_at)
    if (Path(options.get("folder", "nowhere")) / "fit.safetensors").exists():
        torch.manual_seed(99)  # a resumed process may stand anywhere in its global stream
    return problem, problem.fit(validate=problem.validate, **options)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def logs(values: list[float]) -> Callable[[Batch, torch.Generator], dict[str, Tensor]]:
    """A step that logs one value after another."""
    left = iter(values)
    return lambda batch, generator: {"loss": torch.tensor(next(left))}


def run(values: list[float], **options: Any) -> list[dict[str, float]]:
    options = {"n_steps": len(values), "generator": torch.Generator(), "progress": False} | options
    return fit(logs(values), [ROW], **options)


@pytest.mark.parametrize("kill_at", [1, 3, 4, 5, 11, 19, 20])
@pytest.mark.parametrize(
    "options", [{"log_every": 3}, {"keep_best": True, "validate_every": 3, "patience": 3, "log_every": 2}]
)
def test_a_killed_run_ends_with_the_same_weights_bit_for_bit(kill_at: int, options: dict, tmp_path: Path) -> None:
    whole, rows = trained(n_steps=20, **options)
    assert rows[-1]["step"] == (15 if "patience" in options else 20)  # validated at 3, 6 (best), 9, 12, 15
    if kill_at <= rows[-1]["step"]:
        with pytest.raises(Killed):
            trained(kill_at=kill_at, n_steps=20, folder=tmp_path, save_every=4, **options)
    again, resumed = trained(n_steps=20, folder=tmp_path, save_every=4, **options)
    assert same(whole.weights(), again.weights())
    assert resumed == rows
    assert torch.equal(whole.generator.get_state(), again.generator.get_state())


def test_a_process_killed_by_the_system_is_resumed_by_another(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_fit
class Dying(test_fit.Problem):
    def validate(self):
        os.kill(os.getpid(), signal.SIGKILL)
problem = Dying()
home = pathlib.Path({str(tmp_path)!r})
problem.fit(n_steps=20, validate=problem.validate, validate_every=7, folder=home, save_every=3, progress=True)
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, b""), done.stderr.decode()  # the variable hid the bar
    whole, rows = trained(n_steps=20, validate_every=7)
    again, resumed = trained(n_steps=20, validate_every=7, folder=tmp_path)
    assert again.done == 14  # 20 updates less the 6 saved
    assert same(whole.weights(), again.weights())
    assert resumed == rows


def test_a_run_killed_while_it_saves_goes_on_from_the_save_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    trained(n_steps=4, folder=tmp_path)
    before = (tmp_path / "fit.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(Killed):
            trained(n_steps=8, folder=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "fit.safetensors"]
    assert (tmp_path / "fit.safetensors").read_bytes() == before
    assert same(trained(n_steps=8)[0].weights(), trained(n_steps=8, folder=tmp_path)[0].weights())


def test_a_finished_run_returns_at_once_with_its_best_weights(tmp_path: Path) -> None:
    options = {"n_steps": 12, "validate_every": 3, "keep_best": True, "folder": tmp_path}
    first, rows = trained(**options)
    second, again = trained(**options)
    assert second.done == 0
    assert again == rows
    assert same(first.weights(), second.weights())


def test_a_longer_run_goes_on_from_the_last_weights_and_not_from_the_best(tmp_path: Path) -> None:
    options = {"validate_every": 3, "keep_best": True}
    trained(n_steps=12, folder=tmp_path, **options)
    longer, _ = trained(n_steps=18, folder=tmp_path, **options)
    whole, _ = trained(n_steps=18, **options)
    assert longer.done == 6
    assert same(longer.weights(), whole.weights())
    with pytest.raises(ValueError, match=r"holds a run of 18 steps, n_steps is 12: give this run another folder"):
        trained(n_steps=12, folder=tmp_path, **options)


def test_a_stream_in_keep_is_resumed(tmp_path: Path) -> None:
    def drawn(n_steps: int, folder: Path | None) -> list[float]:
        noise = torch.Generator().manual_seed(1)
        rows = fit(
            lambda batch, generator: {"noise": torch.randn((), generator=noise)}, [ROW],
            n_steps=n_steps, generator=torch.Generator(), keep={"noise": noise}, folder=folder, progress=False,
        )  # fmt: skip
        return [row["noise"] for row in rows]

    drawn(3, tmp_path)
    assert drawn(6, tmp_path) == drawn(6, None)


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    trained(n_steps=2, folder=tmp_path)
    with pytest.raises(ValueError, match=r"holds another run: it keeps \['buffer', .*expected \['net'\] on cpu"):
        run([1.0, 1.0], folder=tmp_path, keep={"net": nn.Linear(1, 1)})
    path = tmp_path / "fit.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="truncated"):
        trained(n_steps=2, folder=tmp_path)


def small(
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    *,
    width: int = 3,
    dtype: torch.dtype = torch.float32,
    activation: type[nn.Module] = nn.Tanh,
    t_max: int = 5,
    seed: int = 0,
    **settings: float,
) -> Callable[..., list[dict[str, float]]]:
    """Built as a new process would: ``fit`` of a small net, which is its attribute ``net``."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, width), activation(), nn.Linear(width, 1)).to(dtype)
    descent = optimizer(net.parameters(), **{"lr": 0.1} | settings)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, t_max)

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        descent.zero_grad()
        loss = net(batch.x.to(dtype)).square().mean()
        loss.backward()
        descent.step()
        schedule.step()
        return {"loss": loss.detach()}

    keep = {"net": net, "optimizer": descent, "schedule": schedule}
    options: dict[str, Any] = {"generator": torch.Generator().manual_seed(seed), "keep": keep, "progress": False}
    train = functools.partial(fit, step, [Batch(torch.ones(3, 2))], **options)
    train.net = net  # type: ignore[attr-defined]
    return train


@pytest.mark.parametrize(
    "other, named",
    [
        ({"lr": 0.01}, r"optimizer\.state\.param_groups\.0\.\w*lr: '0\.1', expected '0\.01'"),
        ({"optimizer": torch.optim.Adam}, r"optimizer\.class: 'AdamW', expected 'Adam'"),
        ({"optimizer": torch.optim.SGD}, r"optimizer\.class: 'AdamW', expected 'SGD'"),
        ({"betas": (0.5, 0.999)}, r"optimizer\.state\.param_groups\.0\.betas\.0: '0\.9', expected '0\.5'"),
        ({"amsgrad": True}, r"optimizer\.state\.param_groups\.0\.amsgrad: False, expected True"),
        ({"t_max": 9}, r"schedule\.state\.T_max: 5, expected 9"),
        ({"width": 4}, r"net\.state\.0\.weight: 'torch\.float32 \(3, 2\)', expected 'torch\.float32 \(4, 2\)'"),
        ({"dtype": torch.float64}, r"net\.state\.0\.weight: 'torch\.float32 \(3, 2\)', expected 'torch\.float64"),
        ({"activation": nn.ReLU}, r"net\.class: 'Sequential Linear Tanh Linear', expected 'Sequential Linear ReLU"),
        ({"seed": 1}, r"fit's generator\.state\.seed: 0, expected 1"),
    ],
)
def test_a_state_of_another_net_optimiser_schedule_or_seed_is_refused_and_nothing_is_loaded(
    other: dict[str, Any], named: str, tmp_path: Path
) -> None:
    small()(n_steps=2, folder=tmp_path)
    train = small(**other)
    before = {name: t.clone() for name, t in train.net.state_dict().items()}  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=rf"fit\.safetensors was made with another .*{named}.*a folder of its own"):
        train(n_steps=4, folder=tmp_path)
    assert same(train.net.state_dict(), before)  # type: ignore[attr-defined]


def test_a_run_goes_on_in_the_process_that_began_it_and_in_another(tmp_path: Path) -> None:
    train = small()
    train(n_steps=2, folder=tmp_path)
    train(n_steps=3, folder=tmp_path)  # by now the optimiser's rate is another
    (again, whole) = small(), small()
    assert again(n_steps=4, folder=tmp_path) == whole(n_steps=4)
    assert same(again.net.state_dict(), whole.net.state_dict())  # type: ignore[attr-defined]


@pytest.mark.parametrize("change", [lambda note: note["state"]["dict"].pop(0), lambda note: note.update(more=1)])
def test_a_state_of_a_later_version_is_refused_in_words(change: Callable[[dict], Any], tmp_path: Path) -> None:
    small()(n_steps=2, folder=tmp_path)
    tensors, note = read_tensors(tmp_path / "fit.safetensors")
    change(note)
    write_tensors(tmp_path / "fit.safetensors", tensors, note)
    with pytest.raises(ValueError, match=r"fit\.safetensors is no state of this version of the course"):
        small()(n_steps=2, folder=tmp_path)


def test_a_compiled_net_and_the_net_itself_go_on_from_each_others_state(tmp_path: Path) -> None:
    def trained_at(n_steps: int, compiled: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = nn.Linear(2, 1)
        wrapped = torch.compile(net, backend="eager") if compiled else net
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
            optimizer.zero_grad()
            loss = net(batch.x).square().mean()
            loss.backward()
            optimizer.step()
            return {"loss": loss.detach()}

        keep = {"net": wrapped, "optimizer": optimizer}
        options: dict[str, Any] = {"generator": torch.Generator(), "validate": lambda: {"a": 1.0}, "keep_best": True}
        fit(step, [Batch(torch.ones(3, 2))], n_steps=n_steps, keep=keep, folder=tmp_path, progress=False, **options)
        return net.state_dict()

    first = trained_at(3, compiled=True)
    assert same(trained_at(3, compiled=False), first)
    assert same(trained_at(6, compiled=True), trained_at(6, compiled=False))


@pytest.mark.parametrize("setting", [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)])
def test_training_learns_where_gradients_are_switched_off_around_it(setting: Callable[[], Any]) -> None:
    train, whole = small(), small()
    with setting():
        rows = train(n_steps=3)
    assert rows == whole(n_steps=3)


def test_a_net_made_in_inference_mode_is_refused_in_words() -> None:
    with torch.inference_mode():
        train = small()
    with pytest.raises(ValueError, match=r"was made inside torch\.inference_mode\(\).*Make nets and data outside"):
        train(n_steps=1)


def test_rows_hold_averages_and_the_number_of_updates_done() -> None:
    rows = run([1.0, 2.0, 3.0, 4.0, 9.0], log_every=2)
    assert rows == [{"step": 2, "loss": 1.5}, {"step": 4, "loss": 3.5}, {"step": 5, "loss": 9.0}]
    assert run([]) == []


def test_a_validation_ends_a_row_and_there_is_one_at_the_end() -> None:
    rows = run([1.0, 2.0, 3.0, 4.0, 9.0], log_every=4, validate=lambda: {"e": 7, "f": 0}, validate_every=3)
    assert [(row["step"], row["loss"], row.get("valid_e")) for row in rows] == [(3, 2, 7), (4, 4, None), (5, 9, 7)]
    assert [row["step"] for row in run([0.0] * 3, validate=lambda: {"e": 7}) if "valid_e" in row] == [3]


def test_training_stops_after_patience_validations_without_a_new_minimum() -> None:
    measured = iter([3.0, 2.0, 2.0, 2.5, 1.0, 1.5, 1.5, 1.5, 0.0])
    rows = run([0.0] * 9, validate=lambda: {"e": next(measured), "other": 0.0}, validate_every=1, patience=3)
    assert [row["valid_e"] for row in rows] == [3.0, 2.0, 2.0, 2.5, 1.0, 1.5, 1.5, 1.5]
    assert len(run([0.0] * 9, validate=lambda: {"e": 2.0}, validate_every=1, patience=3)) == 4  # a tie is no minimum


def test_keep_best_gives_back_the_weights_of_the_minimum() -> None:
    net, measured = nn.Linear(1, 1), iter([3.0, 1.0, 2.0])

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            net.weight.fill_(step.number)
        step.number += 1
        return {}

    for keep_best, expected in ((True, 1.0), (False, 2.0)):
        step.number, measured = 0, iter([3.0, 1.0, 2.0])
        fit(
            step, [ROW], n_steps=3, generator=torch.Generator(), keep={"net": net}, keep_best=keep_best,
            validate=lambda measured=measured: {"e": next(measured)}, validate_every=1, progress=False,
        )  # fmt: skip
        assert net.weight.item() == expected


def test_how_often_one_validates_does_not_change_the_weights() -> None:
    def drawing(problem: Problem) -> dict[str, float]:
        torch.randn(1, generator=problem.generator)
        return problem.validate()  # draws dropout masks from the global stream

    often, never = Problem(), Problem()
    torch.manual_seed(1)
    often.fit(n_steps=9, validate=lambda: drawing(often), validate_every=2)
    torch.manual_seed(1)
    never.fit(n_steps=9)
    assert same(often.weights(), never.weights())


def test_the_modes_of_kept_modules_are_put_back_after_validation() -> None:
    net = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    run([0.0], keep={"net": net}, validate=lambda: {"e": float(net.eval().training)})
    assert [m.training for m in net.modules()] == [True, True, False]


def test_a_validation_that_refuses_a_number_stops_training_by_step_and_remedy() -> None:
    def validate() -> dict[str, float]:
        raise FloatingPointError("a logit is not finite in 1 of 2 entries.")

    with pytest.raises(
        FloatingPointError, match=r"the validation at step 3: a logit is not .* Lower the learning rate"
    ):
        run([1.0] * 3, validate=validate)


@pytest.mark.parametrize("log_every", [1, 4])
def test_a_loss_that_is_not_finite_stops_training_by_name_step_and_remedy(log_every: int) -> None:
    with pytest.raises(FloatingPointError, match=r"loss is nan at step 6: .*learning rate.*step size.*L2.*folder"):
        run([1.0] * 5 + [float("nan")] + [1.0] * 4, log_every=log_every)
    with pytest.raises(FloatingPointError, match="valid_e is inf at step 2"):
        run([1.0] * 4, validate=lambda: {"e": float("inf")}, validate_every=2)


@pytest.mark.parametrize("where", ["loss", "weights", "optimizer"])
def test_nothing_that_is_not_finite_is_saved(where: str, tmp_path: Path) -> None:
    class Breaking(Problem):
        def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
            values = super().step(batch, generator)
            if self.done == 6:
                values["loss"] = values["loss"] * (torch.nan if where == "loss" else 1)
                with torch.no_grad():
                    self.net[0].weight[0, 0] = torch.inf if where == "weights" else 0.0
                if where == "optimizer":
                    next(iter(self.optimizer.state.values()))["exp_avg_sq"][0, 0] = torch.inf
            return values

    names = {"loss": "loss is nan at step 6", "weights": r"net/0\.weight", "optimizer": "optimizer/state/0/exp_avg_sq"}
    problem = Breaking()
    with pytest.raises(FloatingPointError, match=names[where]):
        problem.fit(n_steps=6, folder=tmp_path, save_every=2, log_every=6)
    assert trained(n_steps=4, folder=tmp_path)[0].done == 0  # the save after update 4 is whole and finished
    assert same(trained(n_steps=4, folder=tmp_path)[0].weights(), trained(n_steps=4)[0].weights())


def test_a_mask_with_infinities_may_be_kept(tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    net.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    run([1.0], keep={"net": net}, folder=tmp_path)
    net.mask[0] = torch.nan
    with pytest.raises(FloatingPointError, match="net/mask is not finite after step 1"):
        run([1.0], keep={"net": net})


def test_minibatches_come_from_a_function_or_from_a_list_gone_through_again() -> None:
    seen: list[float] = []

    def step(batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        seen.append(float(batch.x))
        return {}

    for batches in ([Batch(torch.tensor(i)) for i in range(3)], lambda i: Batch(torch.tensor(10 * i))):
        fit(step, batches, n_steps=4, generator=torch.Generator(), progress=False)
    assert seen == [0, 1, 2, 0, 0, 10, 20, 30]


@pytest.mark.parametrize("batches", [Batch(torch.zeros(3, 2)), []])
def test_rows_that_are_not_minibatches_are_refused(batches: Any) -> None:
    with pytest.raises(TypeError, match=r"got a (Batch of 3|list of 0)\. Use Batches\(data"):
        fit(logs([]), batches, n_steps=1, generator=torch.Generator())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_steps": -1}, "n_steps counts updates: expected 0 or larger, got -1"),
        ({"n_steps": 2.5}, "n_steps counts updates: expected 0 or larger, got 2.5"),
        ({"n_steps": float("nan")}, "n_steps counts updates: expected 0 or larger, got nan"),
        ({"n_steps": True}, "n_steps counts updates: expected 0 or larger, got True"),
        ({"save_every": "1", "folder": "here"}, "save_every counts updates: expected 0 or larger, got 1"),
        ({"validate_every": None}, "validate_every counts updates: expected 0 or larger, got None"),
        ({"patience": float("nan"), "validate": dict}, "patience=nan counts validations"),
        ({"log_every": 0}, "log_every counts updates: expected 1 or larger, got 0"),
        ({"patience": 2}, "patience=2 counts validations"),
        ({"patience": 0, "validate": dict}, "patience=0 counts validations"),
        ({"validate_every": 2}, "validate_every=2 needs validate"),
        ({"keep_best": True, "validate": dict}, "keep_best needs validate=... and a module in keep"),
        ({"save_every": 2}, "save_every=2 needs a folder"),
        ({"folder": "here"}, "a folder resumes what keep names"),
        ({"validate": dict}, "validate returned no values"),
    ],
)
def test_wishes_that_contradict_one_another_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run([1.0], **options)


def test_the_bar_shows_the_values_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run([0.25] * 3, progress=False)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("ebm_course.training.fit.tqdm", functools.partial(tqdm, mininterval=0))
    run([0.25] * 3, progress=True)
    shown = capsys.readouterr().err
    assert "loss=0.25" in shown
    assert shown.rstrip(" ").endswith("\r")


@pytest.mark.parametrize(
    "batches, got",
    [
        (iter([Batch(torch.zeros(2, 1))]), "list_iterator"),
        (torch.utils.data.DataLoader([0, 1]), "DataLoader of 2"),  # type: ignore[arg-type]
        (None, "NoneType"),
    ],
)
def test_minibatches_without_numbers_are_refused(batches: Any, got: str) -> None:
    with pytest.raises(TypeError, match=rf"for each number: got a {got}\. Use Batches"):
        fit(lambda batch, generator: {}, batches, n_steps=1, generator=torch.Generator(), progress=False)


def test_values_without_names_are_refused_in_words() -> None:
    batches, draw = [Batch(torch.zeros(2, 1))], torch.Generator()
    with pytest.raises(TypeError, match="a step returns name -> number: got a Tensor"):
        fit(lambda batch, generator: batch.x.mean(), batches, n_steps=1, generator=draw, progress=False)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="validate returns name -> number: got a float"):
        fit(lambda *_: {}, batches, n_steps=1, generator=draw, validate=lambda: 1.0, progress=False)  # type: ignore[arg-type,return-value]
