"""Numbers, curves and claims of hand-made results: censored runs are named, published numbers stand beside ours."""

from __future__ import annotations

from typing import Any

import pytest

from ebm_course.experiments.images.config import CPU, TABLE, Config
from ebm_course.experiments.images.declared import ROWS
from ebm_course.experiments.images.findings import findings
from ebm_course.results.findings import Curve, Entry, Findings

SETS = ("noise", "mixes")
NAMES = ("logsumexp", "max_probability", "approximate_mass")


class Made(dict[str, Any]):
    """Results of stages that took a second each."""

    def seconds(self, *names: str) -> float:
        return float(len([name for name in names if name in self]))


def quality(distance: float) -> dict[str, float]:
    return {"distance": distance, "score": 9.0, "precision": 0.5, "recall": 0.25, "nearest": 1.5}


def measured(k: int, distance: float) -> dict[str, Any]:
    """Accuracies falling with the radius, in run k a hundredth higher."""
    under_attack = {f"pgd-{r:g}": 0.9 - r + k / 100 for r in CPU.radii}
    ways = {way: quality(distance * (1 + i)) for i, way in enumerate(("short", "long", "noise", "towards", "combined"))}
    return {
        "classifier": {"accuracy": 0.95, "calibration": 0.02, **under_attack},
        "foreign": {one: dict.fromkeys(NAMES, 0.5 + i / 4) for i, one in enumerate(SETS)},
        "gap": -0.2,
        "samples": ways,
    }


def grid(distance: float) -> list[dict[str, Any]]:
    rest = {"score": 9.0, "precision": 0.5, "recall": 0.2, "mean_energy": -3.0, "moved": 0.1, "outside": 0.0}
    return [
        {
            "start": start,
            "radius": r,
            "contrast": c,
            "energy": "class",
            "n_steps": n,
            "distance": distance + r + n,
            **rest,
        }
        for start in ("gaussians", "noise")
        for r in (0.0, 0.5)
        for c in (1.0, 0.8)
        for n in (0, 50)
    ]


def made(data: str) -> Made:
    found = Made()
    for k in range(CPU.runs_of(data)):
        kinds = {name: quality(50.0) for name in ("train", "paler", "gaussians", "means", "noise")}
        found[f"run-{k}/{data}/anchors"] = {"anchors": kinds, "judge": {"accuracy": 0.99}, "n_images": 360}
        found[f"run-{k}/{data}/judge"] = {"rows": []}
        for i, variant in enumerate(CPU.arms(data)):
            log = [{"step": s, "valid_energy_gap": -s / 1e3, "valid_restarts": k} for s in (100.0, 200.0)]
            found[variant.stage(k)] = {"rows": log if "jem" in variant.name else [{"step": 100.0, "valid_nll": 0.1}]}
            found[f"{variant.stage(k)}-measured"] = measured(k, 100.0 / 10**i)
        for name in ("robust-classifier", "robust-jem"):
            found[f"run-{k}/{data}/{name}-combined"] = {
                "grid": grid(40.0 + k),
                "n": 180,
                "chosen": {"combined": "a", "alone": "b"},
                "scored": {"combined": quality(20.0), "alone": quality(200.0)},
                "energy_of_data": -7.0,
            }
        for name, updates in (("jem", 200), ("robust-jem", 1_000 if k == 0 else 400)):
            found[f"run-{k}/{data}/step-10/{name}"] = {"updates": updates, "died": updates < 1_000}
    return found


def of(data: str) -> Findings:
    config = Config(**{**vars(CPU), "data": (data,)})
    return findings(config, made(data))


@pytest.fixture(scope="module")
def on_digits() -> Findings:
    return of("digits")


def entry(found: Findings, name: str) -> Entry:
    return next(entry for entry in found.entries if entry.name == name)


def curve(found: Findings, name: str) -> Curve:
    return next(curve for curve in found.curves if curve.name == name)


def test_a_run_that_reaches_the_last_update_is_said_to_be_censored(on_digits: Findings) -> None:
    robust, plain = (entry(on_digits, f"digits/step-10/{name}/updates") for name in ("robust-jem", "jem"))
    assert robust.values == (1000, 400, 400, 400, 400) and plain.values == (200,) * 5
    assert robust.what.endswith("nats; 1 of 5 runs lived to the last, 1000, and count as that.")
    assert plain.what.endswith("nats.")
    expected = [0.69897, 0.30103, 0.30103, 0.30103, 0.30103]
    assert entry(on_digits, "claims/digits/stability").values == pytest.approx(expected, abs=1e-5)


def test_the_gap_to_the_buffer_stands_beside_that_to_new_samples() -> None:
    results: Any = made("digits")
    for k in range(CPU.n_runs):
        results[f"run-{k}/digits/jem-measured"]["buffer_gap"] = 0.7 + k
    found = findings(Config(**{**vars(CPU), "data": ("digits",)}), results)
    assert entry(found, "digits/jem/gap").values == (-0.2,) * 5
    assert entry(found, "digits/jem/buffer_gap").values == pytest.approx([0.7, 1.7, 2.7, 3.7, 4.7])


def test_a_mean_over_foreign_images_leaves_out_the_real_ones_that_not_every_reader_has() -> None:
    results = made("mnist")
    for name in results:
        if name.endswith("-measured"):
            results[name]["foreign"]["fashion-mnist"] = dict.fromkeys(NAMES, 0.0)
    found: Any = results
    there = findings(Config(**{**vars(CPU), "data": ("mnist",)}), found)
    assert entry(there, "mnist/jem/foreign/fashion-mnist/logsumexp").value == 0
    mean = entry(there, "mnist/jem/foreign/logsumexp")
    assert mean.value == pytest.approx((0.5 + 0.75) / 2) and "over noise, mixes, by" in mean.what


def test_restarts_are_counted_at_the_end_of_a_run() -> None:
    results = made("digits")
    for name, stage in results.items():
        if name.startswith("run-") and name.endswith("digits/jem"):
            stage["rows"][-1]["valid_restarts"] += 3
    found: Any = results
    there = findings(Config(**{**vars(CPU), "data": ("digits",)}), found)
    assert entry(there, "digits/jem/restarts").values == (3, 4, 5, 6, 7)
    assert entry(there, "digits/robust-jem/restarts").values == (0, 1, 2, 3, 4)


def test_an_arm_that_died_in_a_run_has_its_deaths_alone_and_no_claim_rests_on_the_runs_it_lived(
    on_digits: Findings,
) -> None:
    results = made("digits")
    results["run-1/digits/jem"] = {"died": True, "updates": 7, "why": "update 7: too long"}
    results["run-1/digits/jem-measured"] = None
    found = findings(Config(**{**vars(CPU), "data": ("digits",)}), results)
    of_jem = [e for e in found.entries if e.name.startswith("digits/jem/")]
    assert [(e.name, e.values) for e in of_jem] == [("digits/jem/died", (0.0, 1.0, 0.0, 0.0, 0.0))]
    left_out = {e.name for e in on_digits.entries} - {e.name for e in found.entries}
    claims = {name.rpartition("/")[2] for name in left_out if name.startswith("claims/")}
    assert claims == {row[0] for row in ROWS["digits"] if " jem/" in f" {row[2]}"}
    assert {name.split("/")[1] for name in left_out if not name.startswith("claims/")} == {"jem"}
    assert not [curve.name for curve in found.curves if curve.name.endswith("digits/jem")]


def test_the_share_alive_falls_at_the_update_where_a_run_dies(on_digits: Findings) -> None:
    line = curve(on_digits, "alive/digits/step-10/robust-jem")
    assert dict(zip(line.x, line.mean(), strict=True))[350] == 1
    assert dict(zip(line.x, line.mean(), strict=True))[400] == pytest.approx(0.2)
    assert line.mean()[-1] == pytest.approx(0.2)


def test_claims_on_distances_are_differences_of_logarithms(on_digits: Findings) -> None:
    arms = [variant.name for variant in CPU.arms("digits")]
    apart = arms.index("digits/robust-jem") - arms.index("digits/jem")
    assert entry(on_digits, "claims/digits/distance").values == pytest.approx([-apart] * 5)
    assert entry(on_digits, "claims/digits/best-combined").values == pytest.approx([-1] * 5)
    assert entry(on_digits, "claims/digits/score").values == (0,) * 5


def test_the_number_of_samples_stands_beside_every_distance(on_digits: Findings) -> None:
    numbers = [e for e in on_digits.entries if e.name.endswith("/distance") and "claims" not in e.name]
    assert numbers and all("as many" in e.what for e in numbers)
    assert "360 against as many held-out images" in entry(on_digits, "digits/jem/long/distance").what


def test_the_mean_over_foreign_sets_and_each_of_them_are_recorded(on_digits: Findings) -> None:
    assert entry(on_digits, "digits/jem/foreign/logsumexp").value == pytest.approx(0.625)
    assert entry(on_digits, "digits/jem/foreign/mixes/logsumexp").value == 0.75


def test_accuracy_falls_over_the_radii_from_that_without_attack(on_digits: Findings) -> None:
    line = curve(on_digits, "attacked/digits/robust-jem")
    assert line.x == [0, 0.1, 0.2, 0.3, 0.5]
    assert line.runs[1] == pytest.approx([0.95, 0.81, 0.71, 0.61, 0.41])


def test_the_gap_is_drawn_of_joint_models_alone_and_restarts_are_told(on_digits: Findings) -> None:
    assert {c.name for c in on_digits.curves if c.name.startswith("gap/")} == {
        f"gap/digits/{name}" for name in ("jem", "jem-plus", "robust-jem", "robust-jem-adversarial")
    }
    assert curve(on_digits, "gap/digits/jem").mean() == pytest.approx([-0.1, -0.2])
    assert entry(on_digits, "digits/jem/restarts").values == (0, 1, 2, 3, 4)


def test_distances_of_the_grid_are_lines_over_the_radius(on_digits: Findings) -> None:
    line = curve(on_digits, "radius/digits/robust-jem/contrast-0.8/class/steps-50")
    assert line.x == [0, 0.5] and line.runs[1] == pytest.approx([91, 91.5])
    assert not [c.name for c in on_digits.curves if c.name.startswith("radius/") and "noise" in c.name]
    where = "gaussians/radius-0.5/contrast-0.8/class/steps-50"
    values = entry(on_digits, f"digits/robust-jem/grid/{where}/distance").values
    assert values == pytest.approx((90.5, 91.5, 92.5, 93.5, 94.5))  # one a run


def test_the_published_table_stands_beside_the_rows_of_cifar_10_and_nowhere_else(on_digits: Findings) -> None:
    found = of("cifar10")
    published = {e.name: e.paper for e in found.entries if e.paper}
    assert published == {
        f"cifar10/{row}/{figure}": f"{kind} {number:.2f}, with Inception at 32 x 32"
        for row, numbers in {
            "jem/long": (7.54, 48.25),
            "robust-classifier/towards": (7.05, 85.12),
            "robust-jem/long": (8.71, 41.17),
            "robust-jem/combined": (9.28, 47.92),
        }.items()
        for figure, kind, number in zip(("score", "distance"), ("IS", "FID"), numbers, strict=True)
    }
    assert not [e.name for e in on_digits.entries if e.paper]
    assert {e.name.split("/")[1] for e in found.entries} >= set(TABLE)


def test_claims_whose_arms_were_not_asked_for_are_left_out() -> None:
    rows = tuple(variant for variant in CPU.variants if variant.name != "digits/jem")
    found = findings(Config(**{**vars(CPU), "data": ("digits",), "variants": rows}), made("digits"))
    claims = {e.name for e in found.entries if e.name.startswith("claims/")}
    assert "claims/digits/combined-distance" in claims and "claims/digits/distance" not in claims
