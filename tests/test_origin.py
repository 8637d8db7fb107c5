"""What made a file: one way to write a configuration, by names and never by addresses, and how two are compared."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import nn

from ebm_course.origin import LATER, Origin, differences, digest, name_of, plain
from ebm_course.recipes.likelihood import plane, potts
from ebm_course.recipes.sequences import adversarial, language_model, residual_nce
from ebm_course.samplers.substitution_proposals import by_gain

ORIGIN = Origin("recipes.fake.fit", {"rate": 0.5}, 0, "rows abc", {"net": "def"})


@dataclass(frozen=True)
class Inner:
    """A part."""

    sizes: tuple[int, ...] = (1, 2)


@pytest.mark.parametrize(
    "value, expected",
    [
        (Inner(), {"sizes": [1, 2]}),
        (nn.Linear, "torch.nn.modules.linear.Linear"),
        (by_gain, "samplers.substitution_proposals.by_gain"),
        (torch.float16, "torch.float16"),
        ({"a": None, "b": True, "c": 1e-3}, {"a": None, "b": True, "c": 1e-3}),
        (float("inf"), "inf"),
    ],
)
def test_a_configuration_is_written_by_names(value: object, expected: object) -> None:
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


def test_a_partial_is_written_with_its_arguments() -> None:
    one, ten = (plain(functools.partial(by_gain, n_candidates=n)) for n in (1, 10))
    assert one != ten and one["partial"] == plain(by_gain) and ten["keywords"] == {"n_candidates": 10}


@pytest.mark.parametrize("value", [lambda x: x, object(), torch.zeros(1)])
def test_what_has_no_lasting_name_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"has no name of its own|a configuration holds"):
        plain(value)


@pytest.mark.parametrize("module", [potts, plane, language_model, residual_nce, adversarial])
def test_every_preset_of_every_recipe_can_be_written_and_holds_no_address(module: object) -> None:
    for config in module.PRESETS.values():  # type: ignore[attr-defined]
        assert " at 0x" not in json.dumps(plain(config))


def test_a_name_leads_to_where_the_thing_was_defined() -> None:
    assert name_of(adversarial.fit) == "recipes.sequences.adversarial.fit"


def test_an_origin_refuses_another_and_names_what_differs() -> None:
    ORIGIN.check(json.loads(json.dumps(ORIGIN.as_json())), "here")
    for other, message in (
        (replace(ORIGIN, seed=7), "seed: 7, expected 0"),
        (replace(ORIGIN, config={"rate": 0.25}), "config.rate: 0.25, expected 0.5"),
        (replace(ORIGIN, config={}), "config.rate: 'nothing', expected 0.5"),
        (replace(ORIGIN, data="rows xyz"), "data: 'rows xyz'"),
        (replace(ORIGIN, given={"net": "xyz"}), "given.net: 'xyz'"),
        (replace(ORIGIN, version="0"), "version: '0'"),
    ):
        with pytest.raises(ValueError, match=f"a file was made with another {message}"):
            ORIGIN.check(other.as_json(), "a file")
    with pytest.raises(ValueError, match="does not say what made it"):
        ORIGIN.check(None, "a file")


def test_differences_are_found_at_any_depth() -> None:
    assert list(differences({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}, "c": 1})) == [
        "a.b: [1, 2], expected [1, 3]",
        "c: 'nothing', expected 1",
    ]


def test_a_digest_changes_with_a_value_a_name_a_shape_or_a_type() -> None:
    x = torch.arange(4.0)
    others = [{"y": x}, {"x": x.view(2, 2)}, {"x": x.double()}, {"x": x + 2**-20}, {"x": x, "y": x[:0]}]
    assert len({digest(tensors) for tensors in [{"x": x}, *others]}) == 6
    assert digest({"x": x, "y": x}) == digest({"y": x.clone(), "x": x})
    assert digest({"x": x.bfloat16()}) and digest({"x": torch.tensor(True)})


@dataclass(frozen=True)
class Grown:
    rate: float = 0.1
    later: int = field(default=0, metadata=LATER)


def test_a_field_that_came_later_changes_nothing_at_its_default_and_is_told_at_any_other_value() -> None:
    assert plain(Grown()) == {"rate": 0.1}
    assert plain(Grown(later=2)) == {"rate": 0.1, "later": 2}
    assert list(differences(plain(Grown(later=2)), plain(Grown()))) == ["later: 2, expected 'nothing'"]
