"""What every sampler promises. Samplers are found by file name: ``samplers/name.py`` that holds a function ``name``.

A new sampler needs one line in ``CASES``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course import samplers
from ebm_course.core import Conditioned
from ebm_course.energies.language_model import LSTMLanguageModel

N, L, V = 4, 3, 5  # chains, positions (or dimensions), values


class Watched(nn.Module):
    """E(c, y) = 60 x the number of tokens of y that differ from c, or 30 |y - c|^2 for points: lowest, 0, at y = c.

    It has two flags of each kind to restore, and notes what it finds set while it is called.
    """

    def __init__(self, *, discrete: bool):
        super().__init__()
        self.discrete = discrete
        self.sharpness = nn.Parameter(torch.tensor(60.0))
        self.fixed = nn.Parameter(torch.tensor(0.0), requires_grad=False)
        self.inner = nn.Dropout(0.5).eval()
        self.outer = nn.Dropout(0.5)
        self.trained_while_called = False

    def forward(self, c: Tensor, y: Tensor) -> Tensor:
        flags = [m.training for m in self.modules()] + [p.requires_grad for p in self.parameters()]
        self.trained_while_called |= any(flags)
        if self.discrete:
            hot = F.one_hot(y, V).float() if y.ndim == 2 else y
            distance = L - (hot * F.one_hot(c, V)).sum(dim=(1, 2))
        else:
            distance = (y - c).square().sum(dim=1) / 2
        return self.sharpness * self.inner(self.outer(distance.to(self.sharpness))) + self.fixed


class Alone(nn.Module):
    """The energy without a condition: every chain has the same target."""

    def __init__(self, *, discrete: bool):
        super().__init__()
        self.watched = Watched(discrete=discrete)
        self.target = targets(discrete)[:1]

    def forward(self, y: Tensor) -> Tensor:
        return self.watched(self.target.expand(len(y), -1), y)


def targets(discrete: bool) -> Tensor:
    """One target a chain, (N, L), all different in every position."""
    rows = (torch.arange(N)[:, None] + torch.arange(L)) % V
    return rows if discrete else rows.float()


def relaxed_states(discrete: bool) -> Tensor:
    """Points inside the simplex, (N, L, V)."""
    return torch.randn(N, L, V, generator=torch.Generator().manual_seed(5)).softmax(dim=2)


def random_states(discrete: bool) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(V, (N, L), generator=generator) if discrete else torch.randn(N, L, generator=generator)


class Split(nn.Module):
    """E(x) = |f(x)|^2 / 2 with an affine first layer f; lowest, 0, at x = 0."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.inner, self.outer = nn.Dropout(0.5).eval(), nn.Dropout(0.5)

    def first_layer(self, x: Tensor) -> Tensor:
        return self.scale * self.inner(self.outer(x.to(self.scale)))

    def from_first_layer(self, h: Tensor) -> Tensor:
        return h.flatten(1).square().sum(dim=1) / 2

    def forward(self, x: Tensor) -> Tensor:
        return self.from_first_layer(self.first_layer(x))


@dataclass(frozen=True)
class Case:
    """How a sampler is called in these tests.

    ``arguments`` are those besides energy, x0 and generator; with them every chain must get from ``start`` to its
    target. ``start`` maps ``discrete`` to x0. ``model`` replaces the energy where a sampler does not take any.
    ``relaxed``: the states are relaxed tokens, and a target is a row of corners.
    ``count`` is the number that is refused where it is none.
    """

    arguments: dict[str, Any]
    discrete: bool = True
    start: Callable[[bool], Tensor] = random_states
    model: Callable[[], nn.Module] | None = None
    relaxed: bool = False
    count: str = "n_steps"

    @property
    def tokens(self) -> bool:
        """Whether states are whole numbers."""
        return self.discrete and not self.relaxed

    def goal(self) -> Tensor:
        """Where every chain must get, in the form of its states."""
        goal = targets(self.discrete)
        return F.one_hot(goal, V).float() if self.relaxed else goal

    def energy(self) -> nn.Module:
        return Alone(discrete=self.discrete) if self.model is None else self.model()


SYNONYMS = (torch.arange(V)[:, None] + torch.arange(1, V)) % V  # (V, V - 1): all others
CASES = {
    "langevin": Case({"n_steps": 2, "step_size": 1 / 60, "noise_std": 0.0}, discrete=False),
    "gibbs": Case({"n_steps": 2 * L, "n_values": V, "sweep": True}),
    "gibbs_with_gradients": Case({"n_steps": 3 * L, "n_values": V}),
    "substitution": Case({"n_steps": 3 * L, "synonyms": SYNONYMS, "position_memory": True}),
    "ancestral": Case({"n_steps": 4}, model=lambda: LSTMLanguageModel(V, width=8)),
    "relaxed_descent": Case({"n_steps": 2, "step_size": 1.0}, start=relaxed_states, relaxed=True),
    "beam": Case({"n_steps": 1, "n_values": V, "width": 2}),
    "pgd": Case(
        {"radius": 2.0, "n_steps": 2, "step_size": 0.5, "random_start": False, "bounds": None},
        discrete=False,
        start=lambda discrete: targets(discrete) + 1,
    ),
    "pgd_embeddings": Case(
        {"radius": 2.0, "n_steps": 2, "step_size": 0.5 * L**0.5},
        discrete=False,
        start=lambda discrete: targets(discrete) + 1,
    ),
    "pyld": Case(
        {"n_outer": 2, "n_inner": 2, "step_size": 0.1, "bounds": None}, discrete=False, model=Split, count="n_outer"
    ),
    "combined": Case(
        {
            "attack": lambda x: x.flatten(1).sum(dim=1),
            "radius": 0.0,
            "n_pgd_steps": 2,
            "contrast": 1.0,
            "n_steps": 2,
            "step_size": 1 / 60,
            "noise_std": 0.0,
            "bounds": None,
        },
        discrete=False,
    ),
    "resampling": Case({"group_size": N}, start=lambda discrete: targets(discrete).repeat(N, 1), count="group_size"),
}


# Exact answers from scores in place of an energy: no chain is moved, and nothing is drawn. Tested in their own files.
EXACT = {"cky", "viterbi"}


def found() -> dict[str, Callable[..., Any]]:
    """All samplers of the package."""
    names = [module.name for module in pkgutil.iter_modules(samplers.__path__) if module.name not in EXACT]
    modules = {name: importlib.import_module(f"ebm_course.samplers.{name}") for name in names}
    return {name: getattr(m, name) for name, m in modules.items() if inspect.isfunction(getattr(m, name, None))}


FOUND = found()
every_sampler = pytest.mark.parametrize("name", sorted(FOUND))


def case_of(name: str) -> Case:
    assert name in CASES, (
        f"samplers/{name}.py is not in CASES: add Case({{its arguments}}), with which every chain reaches its target."
    )
    return CASES[name]


def call(name: str, energy: Any, *, x0: Tensor | None = None, seed: int = 0, **changes: Any) -> Any:
    case = case_of(name)
    generator = torch.Generator().manual_seed(seed)
    x0 = case.start(case.discrete) if x0 is None else x0
    return FOUND[name](energy, x0, **{**case.arguments, **changes}, generator=generator)


def flags_of(module: nn.Module) -> list[bool]:
    return [m.training for m in module.modules()] + [p.requires_grad for p in module.parameters()]


def test_every_listed_sampler_exists():
    assert set(CASES) <= set(FOUND), "a file's name is the name of its sampler"


@every_sampler
def test_its_signature_is_the_contracts(name):
    case_of(name)
    parameters = inspect.signature(FOUND[name]).parameters
    kinds = {key: p.kind for key, p in parameters.items()}
    assert list(kinds)[:2] == ["energy", "x0"]
    assert {key for key, kind in kinds.items() if kind is not inspect.Parameter.KEYWORD_ONLY} == {"energy", "x0"}
    assert "generator" in kinds
    assert inspect.signature(FOUND[name]).return_annotation == "Negatives"


@every_sampler
def test_x0_stays_as_it_is(name):
    case = case_of(name)
    x0 = case.start(case.discrete)
    before = x0.clone()
    result = call(name, case.energy(), x0=x0, **({"keep_path": True} if takes_path(name) else {}))
    assert torch.equal(x0, before)
    result.x.fill_(1)
    assert torch.equal(x0, before), "x shares its memory with x0"


@every_sampler
def test_modes_and_gradient_flags_are_off_inside_and_restored_after(name):
    case = case_of(name)
    energy = case.energy().train()
    if isinstance(energy, Alone):
        energy.watched.inner.eval()
    before = flags_of(energy)
    call(name, energy)
    assert flags_of(energy) == before
    if isinstance(energy, Alone):
        assert not energy.watched.trained_while_called


@every_sampler
def test_flags_of_a_conditional_energy_are_restored_too(name):
    case = case_of(name)
    if case.model is not None:
        pytest.skip("takes no conditional energy")
    module = Watched(discrete=case.discrete)
    before = flags_of(module)
    call(name, Conditioned(module, targets(case.discrete)))
    assert flags_of(module) == before
    assert not module.trained_while_called


@every_sampler
def test_every_tensor_is_detached_though_the_energys_flags_cannot_be_found(name):
    case = case_of(name)
    energy = case.energy()
    plain = energy if case.model is not None else lambda x: energy(x)  # a function hides its module from frozen
    result = call(name, plain, **({"keep_path": True} if takes_path(name) else {}))
    tensors = [result.x, result.log_q, result.path, *result.info.values()]
    assert not any(t.requires_grad for t in tensors if t is not None)
    assert all(p.grad is None for p in energy.parameters())


@every_sampler
def test_info_has_one_number_a_state_and_the_energy_at_x(name):
    energy = case_of(name).energy()
    result = call(name, energy)
    assert {key: tuple(t.shape) for key, t in result.info.items()} == {key: (len(result.x),) for key in result.info}
    with torch.no_grad():
        torch.testing.assert_close(result.info["energy"], energy.eval()(result.x))


@every_sampler
def test_each_chain_goes_to_the_target_of_its_own_condition(name):
    case = case_of(name)
    if case.model is not None:
        pytest.skip("takes no conditional energy")
    result = call(name, Conditioned(Watched(discrete=case.discrete), targets(case.discrete)))
    torch.testing.assert_close(result.x, case.goal())
    torch.testing.assert_close(result.info["energy"], torch.zeros(N), atol=1e-4, rtol=0)


@every_sampler
def test_the_path_goes_from_x0_to_x(name):
    if not takes_path(name):
        pytest.skip("has no path")
    case, x0 = case_of(name), case_of(name).start(case_of(name).discrete)
    result = call(name, case.energy(), x0=x0, keep_path=True)
    assert len(result.path) == case.arguments["n_steps"] + 1
    assert torch.equal(result.path[0][:, : x0.shape[1]], x0)
    assert torch.equal(result.path[-1], result.x)
    assert call(name, case.energy(), x0=x0).path is None


@every_sampler
def test_no_steps_leave_every_state_where_it_is(name):
    case = case_of(name)
    if "n_steps" not in case.arguments:
        pytest.skip("has no steps")
    x0 = case.start(case.discrete)
    before, result = x0.clone(), call(name, case.energy(), x0=x0, n_steps=0)
    assert torch.equal(result.x, before)
    result.x.fill_(1)
    assert torch.equal(x0, before), "x shares its memory with x0"


@every_sampler
@pytest.mark.parametrize("n_steps", [-1, 1.5, float("nan")])
def test_a_number_of_steps_that_is_none_is_refused(name, n_steps):
    case = case_of(name)
    count = case.count
    with pytest.raises(ValueError, match=rf"{count} is a whole number: expected . or larger, got {n_steps}"):
        call(name, case.energy(), **{count: n_steps})


@every_sampler
def test_no_chains_and_one_chain_are_no_special_cases(name):
    case = case_of(name)
    for n in (0, case.arguments.get("group_size", 1)):
        result = call(name, case.energy(), x0=case.start(case.discrete)[:n])
        assert len(result.x) == n // case.arguments.get("group_size", 1)
        assert len(result.info["energy"]) == len(result.x)


@every_sampler
def test_energies_in_double_precision_stay_so(name):
    case = case_of(name)
    x0 = case.start(case.discrete)
    result = call(name, case.energy().double(), x0=x0 if case.tokens else x0.double())
    numbers = [result.info["energy"], *([] if result.log_q is None else [result.log_q])]
    assert {t.dtype for t in numbers} == {torch.float64}
    assert result.x.dtype == (torch.int64 if case.tokens else torch.float64)


@every_sampler
def test_strides_of_x0_do_not_matter(name):
    energy, x0 = case_of(name).energy(), case_of(name).start(case_of(name).discrete)
    strided = x0.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(call(name, energy, x0=strided).x, call(name, energy, x0=x0).x)


@every_sampler
def test_a_row_alone_is_refused_in_words(name):
    if name == "resampling":
        pytest.skip("takes states of any shape: the energy refuses them")
    case = case_of(name)
    with pytest.raises(ValueError, match=r"\(N, .*got \("):
        call(name, case.energy(), x0=case.start(case.discrete)[0])


@every_sampler
def test_the_generator_alone_decides(name):
    energy = case_of(name).energy()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = call(name, energy, seed=7)
    assert torch.equal(torch.get_rng_state(), before), "it draws from the global random stream"
    torch.manual_seed(2)
    assert torch.equal(call(name, energy, seed=7).x, first.x)


@every_sampler
def test_a_generator_on_another_device_is_refused(name):
    case = case_of(name)
    with pytest.raises(ValueError, match="the generator lives on cpu, the states on meta"):
        call(name, case.energy(), x0=case.start(case.discrete).to("meta"))


@every_sampler
def test_a_nan_energy_is_refused_and_the_flags_are_restored(name):
    energy = case_of(name).energy()
    with torch.no_grad():
        for p in energy.parameters():
            p.fill_(torch.nan)
    before = flags_of(energy)
    with pytest.raises(FloatingPointError, match="is not finite in"):
        call(name, energy)
    assert flags_of(energy) == before


@every_sampler
def test_energies_of_another_shape_are_refused(name):
    case = case_of(name)
    if case.model is not None:
        pytest.skip("takes its own kind of energy")
    energy = case.energy()
    with pytest.raises(ValueError, match=r"an energy maps \(N, ...\) to \(N,\)"):
        call(name, lambda x: energy(x)[:, None])


class Altered(nn.Module):
    """An energy, or a language model, that does something to what it is given, or to what it returns."""

    def __init__(self, energy: nn.Module, *, given: Callable[[Tensor], Tensor] | None = None, returned: Any = None):
        super().__init__()
        self.energy, self.given, self.returned = energy, given, returned

    def forward(self, x: Tensor) -> Any:
        e = self.energy(x.clone())
        if self.given is not None:
            self.given(x)
        return e if self.returned is None else self.returned(x, e)

    def first_layer(self, x: Tensor) -> Tensor:
        return self._of("first_layer", x)

    def from_first_layer(self, h: Tensor) -> Tensor:
        return self._of("from_first_layer", h)

    def _of(self, part: str, x: Tensor) -> Tensor:
        found = getattr(self.energy, part)(x.clone())
        if self.given is not None:
            self.given(x)
        return found

    def advance(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        found = self.energy.advance(tokens.clone(), state)  # type: ignore[operator]
        if self.given is not None:
            self.given(tokens)
        return found


def cleared_behind_autograd(x: Tensor) -> Tensor:
    return x.data.zero_()


@every_sampler
@pytest.mark.parametrize("given", [Tensor.zero_, cleared_behind_autograd])
def test_an_energy_that_works_in_place_changes_no_state_but_its_own_copy(name, given):
    case = case_of(name)
    x0, path = case.start(case.discrete), {"keep_path": True} if takes_path(name) else {}
    torch.manual_seed(0)
    energy, before = case.energy(), x0.clone()
    expected = call(name, energy, x0=x0, **path)
    found = call(name, Altered(energy, given=given), x0=x0, **path)
    assert torch.equal(x0, before)
    assert torch.equal(found.x, expected.x) and torch.equal(found.info["energy"], expected.info["energy"])
    assert not path or torch.equal(found.path, expected.path)


@every_sampler
def test_an_energy_that_returns_a_part_of_its_input_leaves_state_and_energy_apart(name):
    case = case_of(name)
    if case.model is not None:
        pytest.skip("takes its own kind of energy")
    x0 = case.start(case.discrete)
    before = x0.clone()

    def part(x: Tensor) -> Tensor:
        return x[:, 0] if x.ndim == 2 else x[:, 0] @ torch.arange(V).to(x)

    found = call(name, part, x0=x0)
    assert torch.equal(found.info["energy"], part(found.x).to(found.info["energy"]))
    energies = found.info["energy"].clone()
    found.x.add_(1)
    assert torch.equal(found.info["energy"], energies), "energies share their memory with x"
    assert torch.equal(x0, before)


@every_sampler
def test_energies_that_are_whole_numbers_work_or_are_refused_where_a_gradient_is_needed(name):
    case = case_of(name)
    if case.model is not None:
        pytest.skip("takes its own kind of energy")
    energy, level = case.energy(), 2**40  # where float32 has no digits left for a difference of 60
    whole = Altered(energy, returned=lambda x, e: e.round().long() + level)
    found = refused_or_found(name, whole)
    if isinstance(found, str):
        assert "got energies without a graph" in found and "whole numbers" in found
    else:
        assert torch.equal(found.x, call(name, energy).x)
        assert torch.equal(found.info["energy"] - level, call(name, energy).info["energy"].double())


@every_sampler
@pytest.mark.parametrize("kind", ["NoneType", "list", "ndarray", "a tensor of torch.complex64"])
def test_what_is_no_tensor_of_real_energies_is_refused(name, kind):
    case = case_of(name)
    if case.model is not None:
        pytest.skip("takes its own kind of energy")
    made = {
        "NoneType": lambda x, e: print(end=""),
        "list": lambda x, e: e.tolist(),
        "ndarray": lambda x, e: e.detach().numpy(),
        "a tensor of torch.complex64": lambda x, e: e.to(torch.complex64),
    }
    with pytest.raises(TypeError, match=rf"a tensor \(N,\) of real numbers: got {kind}\. Compute it with torch"):
        call(name, Altered(case.energy(), returned=made[kind]))


@every_sampler
@pytest.mark.parametrize("n", [0, N])
def test_states_of_no_positions_are_refused_or_stay(name, n):
    case, x0 = case_of(name), random_states(case_of(name).discrete)[:n, :0]
    energy = case.energy() if case.model is not None else lambda x: x.flatten(1).sum(dim=1) * 1.0
    found = refused_or_found(name, energy, x0=x0)
    if isinstance(found, str):
        assert f"got ({n}, 0)" in found
    else:
        assert found.x.shape[1:] == (0,) and found.info["energy"].eq(0).all()


@every_sampler
@pytest.mark.parametrize(
    "setting",
    [
        torch.inference_mode,
        torch.no_grad,
        lambda: torch.set_grad_enabled(False),
        lambda: torch.device("meta"),
        lambda: warnings.catch_warnings(action="error"),
    ],
    ids=["inference_mode", "no_grad", "set_grad_enabled", "default_device", "warnings"],
)
def test_torchs_settings_round_the_call_change_nothing(name, setting):
    case = case_of(name)
    torch.manual_seed(0)
    energy, x0, generator = case.energy(), case.start(case.discrete), torch.Generator().manual_seed(0)
    expected = call(name, energy, x0=x0)
    with setting():
        found = FOUND[name](energy, x0, **case.arguments, generator=generator)
    assert torch.equal(found.x, expected.x) and torch.equal(found.info["energy"], expected.info["energy"])


@every_sampler
def test_deterministic_algorithms_and_anomaly_detection_change_nothing(name):
    case = case_of(name)
    torch.manual_seed(0)
    energy = case.energy()
    expected = call(name, energy)
    torch.use_deterministic_algorithms(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Anomaly Detection has been enabled")
            with torch.autograd.set_detect_anomaly(True):
                found = call(name, energy)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(found.x, expected.x) and torch.equal(found.info["energy"], expected.info["energy"])


@every_sampler
def test_an_energy_made_in_inference_mode_works_or_is_refused_in_words(name):
    case = case_of(name)
    with torch.inference_mode():
        energy, x0 = case.energy(), case.start(case.discrete)
    torch.manual_seed(0)
    found = refused_or_found(name, energy, x0=x0)
    if isinstance(found, str):
        assert "was made inside torch.inference_mode()" in found
    else:
        assert found.x.shape[0] == len(found.info["energy"])


def refused_or_found(name: str, energy: Any, **changes: Any) -> Any:
    """What a sampler returns, or the words in which it refuses."""
    try:
        return call(name, energy, **changes)
    except ValueError as refusal:
        return str(refusal)


def takes_path(name: str) -> bool:
    return "keep_path" in inspect.signature(FOUND[name]).parameters
