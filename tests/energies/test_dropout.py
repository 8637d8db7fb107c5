"""Every place of a net that is to be dropped is, by the share that was asked for, and in training alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ebm_course.energies.bert import Bert
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.energies.token_encoder import TokenEncoder
from ebm_course.energies.transformer import Transformer
from ebm_course.energies.wide_resnet import WideResNet
from ebm_course.energies.word_encoder import WordEncoder

SIZES: dict[str, Any] = {"width": 8, "n_layers": 2, "n_heads": 2, "dropout": 0.25}
TOKENS = torch.zeros(1, 4, dtype=torch.int64)
NETS: dict[str, tuple[Callable[[], nn.Module], Tensor, int, int]] = {  # places in the net, and weights of attention
    "Transformer": (lambda: Transformer(5, 4, **SIZES), TOKENS, 1 + 2 * 2, 2),  # tokens, two branches a layer
    "TextClassifier": (lambda: TextClassifier(5, 2, **SIZES), TOKENS, 1 + 2 * 2 + 1, 2),  # and the sentence
    "Bert": (lambda: Bert(5, 2, **SIZES, max_length=4), TOKENS, 1 + 2 * 2 + 1, 2),
    "TokenEncoder": (lambda: TokenEncoder((5,), width=4, hidden=3, dropout=0.25), TOKENS[..., None], 2, 0),
    "WordEncoder": (lambda: WordEncoder((5,), width=4, dropout=0.25), TOKENS[..., None], 1, 0),
    "WideResNet": (lambda: WideResNet((1, 4, 4), 2, depth=10, widen=1, dropout=0.25), torch.zeros(1, 1, 4, 4), 3, 0),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_dropout_acts_where_it_should(name: str, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    build, x, n_places, n_attentions = NETS[name]
    net, dropped, attended = build().train(training), list[float](), list[float]()
    dropout, attention = F.dropout, F.scaled_dot_product_attention

    def noted(h: Tensor, p: float, training: bool, *rest: Any) -> Tensor:
        dropped.append(p * training)
        return dropout(h, p, training, *rest)

    def noted_attention(*args: Any, dropout_p: float, **rest: Any) -> Tensor:
        attended.append(dropout_p)
        return attention(*args, dropout_p=dropout_p, **rest)

    monkeypatch.setattr(F, "dropout", noted)
    monkeypatch.setattr(F, "scaled_dot_product_attention", noted_attention)
    net.logits(x) if isinstance(net, Transformer) else net(x)
    share = 0.25 if training else 0.0
    assert dropped == [share] * n_places and attended == [share] * n_attentions
