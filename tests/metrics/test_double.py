"""Metrics count in double precision, also of what lies on a device that has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebm_course import metrics

SOURCES = sorted(Path(metrics.__path__[0]).glob("[a-z]*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_metric_makes_float64_on_the_device_of_its_input(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    assert ".double()" not in code, "MPS has none: use in_double"
