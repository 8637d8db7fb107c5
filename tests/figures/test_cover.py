from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ebm_course.figures.cover import GROUND, SKY, TALLEST, cover
from ebm_course.figures.style import DATA, ENERGY, NEGATIVE

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def text(run) -> str:
    return cover(run)


@pytest.fixture(scope="module")
def moving(text) -> ET.Element:
    return next(g for g in ET.fromstring(text).iter(f"{SVG}g") if g.get("class") == "moving")


def curve(path: str) -> np.ndarray:
    """Heights (nats) of a drawn curve at the grid's positions."""
    y = np.array([float(b) for _, b in re.findall(r"(-?\d+) (-?\d+)", path)][1:])
    return (GROUND - y) / (GROUND - SKY) * TALLEST


def test_it_stands_alone_and_is_small(text, run):
    assert len(text) < 400_000
    assert not re.search(r"<script|<image|href|url\((?!#)|@import", text)
    assert text.count("http") == 1, "the name space"
    assert cover(run) == text


def test_it_says_what_it_shows(text):
    root = ET.fromstring(text)
    assert root.get("role") == "img" and "push the energy down" in root.get("aria-label")
    assert root.find(f"{SVG}title").text == root.get("aria-label")


def test_the_curve_drawn_is_the_energy_that_was_trained(moving, run):
    path = next(p for p in moving.iter(f"{SVG}path") if p.get("stroke") == ENERGY)
    keyframes = path.find(f"{SVG}animate").get("values").split(";")
    assert len(keyframes) == 65
    half_a_pixel = 0.51 * TALLEST / (GROUND - SKY)
    for keyframe, energy in zip(keyframes, run.energies[::2], strict=True):
        np.testing.assert_allclose(curve(keyframe), energy[::4], atol=half_a_pixel)
    assert path.get("d") == keyframes[-1], "without animation the end is shown"


def test_every_keyframe_of_a_path_has_the_same_commands_or_it_would_jump(moving):
    for path in moving.iter(f"{SVG}path"):
        animate = path.find(f"{SVG}animate")
        if animate is not None:
            commands = {re.sub(r"[-\d. ]+", " ", v) for v in animate.get("values").split(";")}
            assert len(commands) == 1


def test_data_stay_in_place_and_negatives_move(moving):
    dots = {colour: [c for c in moving.iter(f"{SVG}circle") if c.get("fill") == colour] for colour in (DATA, NEGATIVE)}
    assert len(dots[DATA]) == len(dots[NEGATIVE]) == 30
    moved = {colour: {a.get("attributeName") for c in dots[colour] for a in c} for colour in dots}
    assert moved == {DATA: {"cy"}, NEGATIVE: {"cx", "cy"}}


def test_the_forces_point_down_for_data_up_for_negatives_and_end_in_balance(moving):
    for colour, sign in ((DATA, 1), (NEGATIVE, -1)):
        bars = next(p for p in moving.iter(f"{SVG}path") if p.get("stroke") == colour)
        values = bars.find(f"{SVG}animate").get("values").split(";")
        first, last = ([sign * int(v) for v in re.findall(r"v(-?\d+)", value)] for value in (values[0], values[-1]))
        assert min(first) >= 0 and sum(last) < 0.2 * sum(first)


def test_who_wants_less_motion_sees_the_end(text):
    still = next(g for g in ET.fromstring(text).iter(f"{SVG}g") if g.get("class") == "still")
    assert "@media(prefers-reduced-motion:reduce){.still{display:inline}.moving{display:none}}" in text
    assert not list(still.iter(f"{SVG}animate"))
    assert len(list(still.iter(f"{SVG}circle"))) == 60


def test_all_animations_last_equally_long_and_keep_their_times(text):
    animations = list(ET.fromstring(text).iter(f"{SVG}animate"))
    assert len({a.get("dur") for a in animations}) == 1
    for a in animations:
        if a.get("keyTimes"):
            times = [float(t) for t in a.get("keyTimes").split(";")]
            assert times == sorted(times) and times[0] == 0 and times[-1] == 1
            assert len(times) == len(a.get("values").split(";"))
