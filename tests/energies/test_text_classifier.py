"""The small transformer: what its sizes may be, and that it equals torch's own layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ebm_course.energies.text_classifier import TextClassifier


@pytest.mark.parametrize("wrong", [{"width": 10}, {"n_heads": 0}, {"n_layers": 0}, {"max_length": 0}])
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sizes are 1 or larger and the width a multiple of the heads"):
        TextClassifier(20, 2, **wrong)


def test_another_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="got pooling='max'"):
        TextClassifier(20, 2, pooling="max")  # type: ignore[arg-type]


def test_its_blocks_equal_those_of_torch() -> None:
    torch.manual_seed(0)
    net = TextClassifier(20, 2, width=16, n_heads=2, n_layers=1, max_length=8).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape))
    theirs = nn.TransformerEncoderLayer(16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    block = net.blocks[0]
    pairs = {
        "self_attn.in_proj_weight": block.qkv.weight,
        "self_attn.in_proj_bias": block.qkv.bias,
        "self_attn.out_proj.weight": block.out.weight,
        "self_attn.out_proj.bias": block.out.bias,
    }
    for own, name in (("up", "linear1"), ("down", "linear2"), ("norm_attention", "norm1"), ("norm_mlp", "norm2")):
        pairs |= {f"{name}.{p}": value for p, value in block.get_submodule(own).named_parameters()}
    theirs.load_state_dict(pairs)
    x, mask = torch.randint(20, (3, 8)), torch.arange(8) < torch.tensor([8, 5, 2])[:, None]
    h = net.norm_embedding(net.words(x) + net.position)
    expected = net.norm(theirs(h, src_key_padding_mask=~mask))
    torch.testing.assert_close(net.encode(net.embed(x), mask)[0][mask], expected[mask], atol=1e-5, rtol=0)
