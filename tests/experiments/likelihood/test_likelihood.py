"""The whole experiment at smoke size: its numbers, its claims, a part, a kill, and that every way is given the same."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ebm_course.experiments.experiment import reproduce
from ebm_course.experiments.likelihood.config import CPU, PRESETS, SMOKE, WAYS, Config
from ebm_course.experiments.likelihood.experiment import EXPERIMENT, asked, findings
from ebm_course.experiments.stages import Results
from ebm_course.recipes.likelihood import chains
from ebm_course.results.findings import Findings
from ebm_course.runtime import setup


def run_smoke(folder: Path, config: Config = SMOKE) -> Findings:
    return reproduce(EXPERIMENT, config, setup(0, device="cpu", quiet=True), folder=folder, progress=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return run_smoke(tmp_path_factory.mktemp("likelihood"))


def values_of(findings: Findings) -> dict[str, tuple[float, ...]]:
    return {entry.name: entry.values for entry in findings.entries}


def test_the_kl_is_that_after_the_last_update_and_not_the_least(tmp_path: Path) -> None:
    config, results = replace(SMOKE, n_runs=2, data=("words",)), Results(tmp_path)
    for k in range(2):
        for variant in asked(config):
            logged = [{"step": 1, "valid_kl": 0.1, "valid_evaluations": 5}, {"step": 2, "loss": 1.0}]
            logged.append({"step": 3, "valid_kl": 0.4 if "exact" in variant.name else 0.5 + k, "valid_evaluations": 9})
            results.add(variant.stage(k), {"result": {"rows": logged}, "files": {}, "made_from": {}, "attempts": []})
    values = values_of(findings(config, results))
    assert values["words/exact/kl"] == (0.4, 0.4) and values["words/cd-1/kl"] == (0.5, 1.5)
    assert values["claims/words/cd-1-exact"] == pytest.approx([math.log10(0.5 / 0.4), math.log10(1.5 / 0.4)])


@pytest.mark.slow
def test_every_number_is_found_once_and_finite(found: Findings) -> None:
    names = [entry.name for entry in found.entries]
    assert len(set(names)) == len(names)
    assert {f"{variant.name}/kl" for variant in SMOKE.variants} <= set(names)
    for entry in found.entries:
        assert len(entry.values) == SMOKE.n_runs and all(math.isfinite(v) for v in entry.values)
    for variant in SMOKE.variants:
        assert all(v > 0 for v in values_of(found)[f"{variant.name}/kl"])


@pytest.mark.slow
def test_every_claim_has_an_endpoint_and_a_control_that_were_measured(found: Findings) -> None:
    names = set(values_of(found))
    assert {claim.endpoint for claim in SMOKE.claims} == {name for name in names if name.startswith("claims/")}
    assert {claim.control for claim in SMOKE.claims} <= names
    assert {judged.claim.name for judged in found.claims} == {claim.name for claim in SMOKE.claims}
    assert SMOKE.claims == CPU.claims


@pytest.mark.slow
def test_an_endpoint_is_the_difference_of_two_logarithms_run_by_run(found: Findings) -> None:
    values = values_of(found)
    pairs = zip(values["moons/pcd-10/kl"], values["moons/cd-10/kl"], strict=True)
    expected = [math.log10(x) - math.log10(y) for x, y in pairs]
    assert values["claims/moons/pcd-10-cd-10"] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.slow
def test_curves_rise_in_x_and_end_at_the_entry(found: Findings) -> None:
    values = values_of(found)
    assert len({curve.name for curve in found.curves}) == len(found.curves) == 2 * len(SMOKE.variants)
    for curve in found.curves:
        x_name, _, variant = curve.name.partition("/")
        assert x_name == curve.x_name and all(a < b for a, b in zip(curve.x[:-1], curve.x[1:], strict=True))
        assert len(curve.runs) == SMOKE.n_runs and all(len(line) == len(curve.x) > 1 for line in curve.runs)
        assert tuple(line[-1] for line in curve.runs) == values[f"{variant}/kl"]


@pytest.mark.slow
def test_a_part_finds_the_numbers_of_the_whole(found: Findings, tmp_path: Path) -> None:
    """The two words alone, and two ways alone, one of which a claim compares with another that is not there."""
    whole = values_of(found)
    words = values_of(run_smoke(tmp_path / "words", replace(SMOKE, data=("words",))))
    assert words == {name: whole[name] for name in whole if name.removeprefix("claims/").startswith("words/")}
    asked = tuple(SMOKE.variant(name) for name in ("words/pcd-1", "moons/nce"))
    assert values_of(run_smoke(tmp_path / "two", replace(SMOKE, variants=asked))) == {
        name: whole[name] for name in ("words/pcd-1/kl", "moons/nce/kl")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "names, at", [(("words/cd-1", "words/pcd-1"), 4), (("words/cd-1", "words/pcd-1"), 8), (("moons/pcd-10",), 5)]
)
def test_a_killed_run_ends_with_the_same_numbers(
    found: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], at: int
) -> None:
    """Killed between two saved states: in the first training, in the second with its chains, and in the plane."""
    config, updates, original = replace(SMOKE, variants=tuple(map(SMOKE.variant, names))), 0, chains.update

    def killed(*args: Any, **rest: Any) -> Any:
        nonlocal updates
        updates += 1
        if updates == at:
            raise KeyboardInterrupt
        return original(*args, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(chains, "update", killed)
        with pytest.raises(KeyboardInterrupt):
            run_smoke(tmp_path, config)
    resumed, whole = run_smoke(tmp_path, config), values_of(found)
    assert {f"{name}/kl" for name in names} <= values_of(resumed).keys()
    assert all(values == whole[name] for name, values in values_of(resumed).items())
    curves = {curve.name: curve for curve in found.curves}
    assert len(resumed.curves) == 2 * len(names) and all(curve == curves[curve.name] for curve in resumed.curves)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_all_ways_of_a_data_set_are_given_the_same(name: str) -> None:
    """Rows, updates, batch, net and learning rate; chains start, number and length alone are a way's own."""
    config = PRESETS[name]
    for data in config.data:
        own = {v.name.partition("/")[2]: v for v in config.variants if v.name.startswith(f"{data}/")}
        first, *others = [asdict(variant.config) for variant in own.values()]
        assert others and {variant.fit for variant in own.values()} == {own["exact"].fit}
        for other in others:
            assert {key for key in first if first[key] != other[key]} <= {"way", "n_sampler_steps"}
        assert {key: variant.config.way for key, variant in own.items()} == {key: WAYS[key][1] for key in own}
