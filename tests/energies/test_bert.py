"""A BERT written out: equal to that of transformers with the same weights, and what does not fit is named."""

from __future__ import annotations

import pytest
import torch

from ebm_course.energies.bert import Bert, load_published

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}


def test_it_equals_the_library_s_with_the_same_weights() -> None:
    transformers = pytest.importorskip("transformers", reason="the extra encoder is not installed")
    torch.manual_seed(0)
    theirs = transformers.BertModel(transformers.BertConfig(vocab_size=30, max_position_embeddings=12, **SIZES)).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.2 * torch.randn(p.shape))
    x, mask = torch.randint(30, (3, 9)), torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    for n_layers in (3, 2):
        net = Bert(30, 2, width=16, inner=40, n_layers=n_layers, n_heads=4, max_length=12).eval()
        load_published(net, theirs.state_dict())
        with torch.no_grad():
            found = theirs(input_ids=x, attention_mask=mask.long(), output_hidden_states=True)
        states, _ = net.encode(net.embed(x), mask)
        torch.testing.assert_close(states[mask], found.hidden_states[n_layers][mask], atol=2e-6, rtol=0)


def state() -> dict[str, torch.Tensor]:
    """Weights of a published BERT of one layer and width 4, all zero."""
    square, inner = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"], 8
    layer = {f"{name}.weight": (4, 4) for name in square} | {f"{name}.bias": (4,) for name in square}
    layer |= {"intermediate.dense.weight": (inner, 4), "intermediate.dense.bias": (inner,)}
    layer |= {"output.dense.weight": (4, inner), "output.dense.bias": (4,)}
    norms = ["attention.output.LayerNorm", "output.LayerNorm"]
    layer |= {f"{name}.{part}": (4,) for name in norms for part in ("weight", "bias")}
    shapes: dict[str, tuple[int, ...]] = {f"encoder.layer.0.{name}": shape for name, shape in layer.items()}
    shapes |= {"embeddings.word_embeddings.weight": (5, 4), "embeddings.position_embeddings.weight": (6, 4)}
    shapes |= {"embeddings.token_type_embeddings.weight": (2, 4)}
    shapes |= {f"embeddings.LayerNorm.{part}": (4,) for part in ("weight", "bias")}
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def small() -> Bert:
    return Bert(5, 2, width=4, inner=8, n_layers=1, n_heads=1, max_length=6)


def test_every_weight_but_the_logits_is_loaded() -> None:
    net = small()
    load_published(net, state())
    moved = {name for name, p in net.named_parameters() if bool((p != 0).any())}
    assert moved == {"to_logits.weight"}


def test_the_first_segment_is_part_of_the_positions() -> None:
    net, given = small(), state()
    given["embeddings.token_type_embeddings.weight"][0] = 3.0
    given["embeddings.position_embeddings.weight"][1] = 1.0
    load_published(net, given)
    assert net.positions.weight[:3, 0].tolist() == [3, 4, 3]


def test_a_weight_that_is_missing_or_of_another_shape_is_named() -> None:
    for name in state():
        others = {other: t for other, t in state().items() if other != name}
        with pytest.raises(ValueError, match=f"a weight does not fit: {name} is missing"):
            load_published(small(), others)
    wrong = state() | {"embeddings.word_embeddings.weight": torch.zeros(7, 4)}
    with pytest.raises(ValueError, match=r"expected shape \(5, 4\), got \(7, 4\)"):
        load_published(small(), wrong)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="the width is a multiple of n_heads 3: got 16"):
        Bert(5, 2, width=16, n_heads=3)
