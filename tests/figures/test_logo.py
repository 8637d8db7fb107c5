from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np

from ebm_course.figures.logo import DATUM, NEGATIVE_AT, logo, pushed
from ebm_course.figures.style import DATA, NEGATIVE

SVG = "{http://www.w3.org/2000/svg}"


def test_the_energy_has_a_valley_at_the_datum_and_a_hill_at_the_negative():
    around = np.array([-0.3, 0.0, 0.3])
    left, valley, right = pushed(DATUM + around)
    assert valley < min(left, right)
    left, hill, right = pushed(NEGATIVE_AT + around)
    assert hill > max(left, right)


def test_arrows_push_the_datum_down_and_the_negative_up():
    root = ET.fromstring(logo())
    for colour, down in ((DATA, True), (NEGATIVE, False)):
        arrow = next(p for p in root.iter(f"{SVG}path") if p.get("stroke") == colour)
        start, tip = map(float, re.match(r"M\S+ (\S+?)V([\d.]+)", arrow.get("d")).groups())
        dot = float(next(c for c in root.iter(f"{SVG}circle") if c.get("fill") == colour).get("cy"))
        assert (start < tip < dot) if down else (start > tip > dot)


def test_the_mark_is_square_and_fits():
    root = ET.fromstring(logo())
    assert root.get("viewBox") == "0 0 120 120"
    numbers = [float(n) for n in re.findall(r"-?\d+\.\d", next(root.iter(f"{SVG}path")).get("d"))]
    assert min(numbers) > 0 and max(numbers) < 120


def test_words_stand_beside_the_mark_and_are_escaped():
    root = ET.fromstring(logo("Energies &\ntheir negatives"))
    assert [t.text for t in root.iter(f"{SVG}text")] == ["Energies &", "their negatives"]
    assert float(root.get("viewBox").split()[2]) > 250
    assert root.get("aria-label").startswith("Energies & their negatives")


def test_the_command_writes_the_file(tmp_path):
    subprocess.run([sys.executable, "-m", "ebm_course.figures.logo", tmp_path / "logo.svg", "one", "two"], check=True)
    assert (tmp_path / "logo.svg").read_text() == logo("one\ntwo")
