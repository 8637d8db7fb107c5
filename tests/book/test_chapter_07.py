"""The bare joint update of chapter 7 is the package's; its first screen is what its cells show."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ebm_course.energies.convnet import ConvNet
from ebm_course.energies.joint import Joint
from ebm_course.recipes.images import jem
from ebm_course.recipes.images.chains import Chains
from ebm_course.recipes.images.parts import Learner, data_of, sgd
from ebm_course.runtime import Run
from ebm_course.samplers.langevin import langevin
from ebm_course.training.batches import Batches

NAME = "07_a_classifier_is_an_energy"
RUN = Run(torch.device("cpu"), 0)


@pytest.fixture(scope="module")
def bare(chapter: Callable[[str], Any]) -> dict[str, Any]:
    return chapter(NAME).run("bare")


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net(seed: int = 0) -> ConvNet:
    torch.manual_seed(seed)
    return ConvNet((1, 8, 8), 10, width=4, n_features=8)


def test_the_bare_method_takes_at_most_25_lines(chapter: Callable[[str], Any]):
    (cell,) = [cell for cell in chapter(NAME).tagged("bare") if cell.cell_type == "code"]
    assert sum(bool(line.strip()) for line in cell.source.splitlines()) <= 25


def test_the_bare_energy_and_langevin_steps_equal_the_package(bare: dict[str, Any]):
    x, model = torch.randn(7, 1, 8, 8, generator=stream()), net()
    torch.testing.assert_close(bare["energy"](model, x), Joint(model)(x))
    options = {"n_steps": 5, "step_size": 2.0, "noise_std": 0.1}
    moved = bare["langevin_steps"](model, x, stream(1), **options)
    torch.testing.assert_close(moved, langevin(Joint(model), x, **options, generator=stream(1)).x)
    assert (moved - x).abs().max() > 0.1


@pytest.mark.parametrize("restart", [0.05, 0.5])
def test_the_bare_update_equals_the_package(bare: dict[str, Any], restart: float):
    config = replace(
        jem.NOTEBOOK,
        net=partial(ConvNet, width=4, n_features=8),
        image_noise_std=0.0,
        channels_last=False,
        optimizer=sgd,  # Adam would show how the smallest gradients are rounded
        rate=0.02,
        restart_probability=restart,
        buffer_size=100,
    )
    data, ours, theirs = data_of(config, RUN), net(), net()
    learner, chains = Learner(theirs, config), Chains.of(config, data, RUN)
    step, optimizer = jem.make_step(learner, chains), torch.optim.SGD(ours.parameters(), lr=config.rate, momentum=0.9)
    assert chains.buffer is not None
    buffer, fresh = chains.buffer.states.clone(), config.start(data.train, data.n_classes)
    batches, noise, begun = Batches(data.train, 64, seed=0), (stream(2), stream(2)), net()
    for k in range(2):
        labels = batches[k].y
        assert labels is not None
        step(batches[k], noise[0])
        bare["jem_update"](ours, optimizer, batches[k].x, labels, buffer, fresh, noise[1], restart=restart)
    for mine, packaged, before in zip(ours.parameters(), theirs.parameters(), begun.parameters(), strict=True):
        torch.testing.assert_close(mine, packaged, atol=1e-4, rtol=0)
        assert (mine - before).abs().max() > 1e-3
    assert (buffer - chains.buffer.states).abs().mean() < 1e-4  # a chain may round a kink of the net the other way


def printed(opened: Any, name: str) -> str:
    (cell,) = [cell for cell in opened.code if cell["id"] == f"07-{name}"]
    return "".join(output.get("text", "") for output in cell.outputs)


def text_of(opened: Any, name: str) -> str:
    (text,) = [cell.source for cell in opened.text if cell["id"] == f"07-{name}"]
    return " ".join(text.split())


def numbers(line: str) -> list[str]:
    return re.findall(r"-?\d+\.\d+", line)


def test_the_answer_on_the_first_screen_is_that_of_the_cells(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    (head,) = [cell.source for cell in opened.text if cell["id"] == "07-head"]
    rows = [line for line in head.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 9

    labels, points = (numbers(line) for line in printed(opened, "plane-table").splitlines())
    assert f"{labels[1]} off, trained on points too {points[1]}" in rows[1]

    lines = {line[:32].strip(): numbers(line[32:]) for line in printed(opened, "quality").splitlines()}
    anchors = {line[:32].strip(): numbers(line[32:]) for line in printed(opened, "judge").splitlines()[1:]}
    far = {name: round(float(lines[f"{name}, 100 steps from noise"][0])) for name in ("JEM", "classifier")}
    noise = round(float(anchors["noise"][0]))
    assert f"noise {noise}, classifier {far['classifier']}, JEM {far['JEM']}" in rows[2]
    (five,) = [line for line in printed(opened, "quality").splitlines() if line.startswith("five draws")]
    distance, distance_sd, recall, recall_sd = re.findall(r"[+-]?\d+\.\d+", five)
    assert float(recall) < 0
    changed = f"no: recall falls by {recall[1:]} ± {recall_sd}; distance {distance} ± {distance_sd}".replace("-", "−")
    assert changed in rows[3]

    foreign = printed(opened, "foreign").splitlines()
    (scores,) = [numbers(line) for line in foreign if line.startswith("JEM") and "logsumexp" in line]
    assert f"{min(scores[:3])} or more" in rows[4] and f"{scores[3]} on class Gaussians" in rows[4]
    (alone,) = [numbers(line)[:3] for line in foreign if line.startswith("classifier") and "logsumexp" in line]
    assert f"the classifier alone: {min(alone)} or more on the same three" in rows[4]
    errors = [re.search(r"calibration error (\S+),", line) for line in printed(opened, "calibration").splitlines()]
    assert all(errors) and f"no: {errors[0][1]} against {errors[1][1]}" in rows[5]

    spread = [numbers(line)[0] for line in printed(opened, "temperature").splitlines()[1:]]
    assert f"a spread of {spread[1]} where the data have {spread[2]}; steps of 1 overshoot" in rows[6]
    assert "as far from the centres as data lie: True" in printed(opened, "temperature")
    assert "dead: 3 of 3 with step 10, 0 of 3 with step 1" in printed(opened, "break")
    assert "3 of 3 died; with a step of 1, 0 of 3" in rows[7]
    assert "agree to 1e-9: True" in printed(opened, "pyld") and "they agree" in rows[8]


def test_chains_at_temperature_1_stand_beside_the_same_noise_without_the_energy(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    lines = {line[:24].strip(): numbers(line[24:]) for line in printed(opened, "quality").splitlines()}
    tied, alone, real = (lines[name] for name in ("tied steps", "noise alone", "real images"))
    boxed = [lines[f"{name}, in the box"] for name in ("tied steps", "noise alone")]
    apart, way = numbers(printed(opened, "quality").splitlines()[-2])
    item = text_of(opened, "samples-read").partition("5. **")[2].replace("−", "-")
    assert f"lead to {tied[0]}, and raise the mean energy from {real[1]} to {tied[1]}" in item
    assert f"as far away, at {alone[0]}, and at {alone[1]}" in item
    assert f"{apart} apart, {way} from its start" in item and float(apart) < 0.15 * float(way)
    assert f"({float(tied[3]):.0%}".replace("%", " %)") in item and f"mean energy of {tied[2]}" in item
    assert f"{boxed[0][0]} with the energy, {boxed[1][0]} without" in item
    for with_energy, without in ((tied, alone), boxed):
        assert float(with_energy[0]) == pytest.approx(float(without[0]), rel=0.15)


@pytest.mark.parametrize(
    ("strength", "noise_std", "holds"), [(0.02, None, True), (2.0, None, False), (0.02, 0.01, False)]
)
def test_the_control_fails_where_the_energy_acts_or_hardly_any_noise_does(
    chapter: Callable[[str], Any], strength: float, noise_std: float | None, holds: bool
):
    """The cell's own assertions, with an energy of known strength and a judge that sees distances of pixels."""
    x = torch.rand(20, 1, 8, 8, generator=stream()) - 0.5
    judge = SimpleNamespace(quality=lambda images, nearest: {"distance": float((images - x).square().mean() + 1e-9)})
    planted = {
        "task": SimpleNamespace(test=SimpleNamespace(x=x)),
        "models": {"JEM": lambda images: strength * images.square().flatten(1).sum(1)},
        "reference": judge,
        "run": RUN,
        "torch": torch,
        "langevin": partial(langevin, noise_std=noise_std),
    }
    (cell,) = [cell for cell in chapter(NAME).code if cell["id"] == "07-control"]
    with nullcontext() if holds else pytest.raises(AssertionError):
        exec(cell.source, planted)


def test_words_of_a_table_are_explained_above_it(chapter: Callable[[str], Any]):
    opened = chapter(NAME)
    above, order = text_of(opened, "calibration-read"), [cell["id"] for cell in opened.notebook.cells]
    assert order.index("07-calibration-read") + 1 == order.index("07-foreign")
    assert all(words in above for words in ("The AUROC is the chance", "*mixes* are", "`max_probability`, the largest"))
    head = text_of(opened, "head")
    assert all(f"*{word}*: " in head for word in ("Frechet classifier distance", "Recall", "AUROC"))
