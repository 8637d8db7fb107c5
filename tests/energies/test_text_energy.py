"""The face that all text classifiers share, asked of each: pads change nothing, the three cuts join to the whole."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ebm_course.core import Conditional, frozen
from ebm_course.energies.bert import Bert
from ebm_course.energies.hugging_face_classifier import HuggingFaceClassifier, albert
from ebm_course.energies.text_classifier import TextClassifier
from ebm_course.energies.text_energy import TextEnergy, check_text, mean_of, sentence_of

V, K = 30, 3
SMALL = {"vocab_size": V, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SMALL |= {"max_position_embeddings": 12}


def bert_of_the_library() -> nn.Module:
    from transformers import BertConfig, BertModel

    encoder: nn.Module = BertModel(BertConfig(**SMALL))
    return encoder


NETS: dict[str, Callable[[], TextEnergy]] = {
    "small, mean": lambda: TextClassifier(V, K, width=16, n_heads=2, max_length=12),
    "small, cls": lambda: TextClassifier(V, K, width=16, n_heads=2, max_length=12, pooling="cls"),
    "bert, mean": lambda: Bert(V, K, width=16, n_layers=2, n_heads=2, max_length=12),
    "bert, cls": lambda: Bert(V, K, width=16, n_layers=2, n_heads=2, max_length=12, pooling="cls"),
    "albert, pooler": lambda: HuggingFaceClassifier(albert(**SMALL, embedding_size=8), K),
    "albert, mean": lambda: HuggingFaceClassifier(albert(**SMALL, embedding_size=8), K, pooling="mean"),
    "library's bert": lambda: HuggingFaceClassifier(bert_of_the_library(), K, pooler=False),
}
OF_THE_LIBRARY = {"albert, pooler", "albert, mean", "library's bert"}


@pytest.fixture(params=sorted(NETS))
def net(request: pytest.FixtureRequest) -> TextEnergy:
    if request.param in OF_THE_LIBRARY and importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed: the extra encoder")
    torch.manual_seed(0)
    made = NETS[request.param]().eval()
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.2 * torch.randn(p.shape))
    return made


def texts(n: int = 4, length: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(length) < torch.tensor([3, length, 5, 1])[:n, None]
    return torch.randint(1, V, (n, length), generator=generator) * mask, mask


def test_a_text_has_the_same_logits_alone_as_beside_longer_ones(net: TextEnergy) -> None:
    x, mask = texts()
    together = net(x, mask)
    for row in range(len(x)):
        n = int(mask[row].sum())
        torch.testing.assert_close(
            net(x[row : row + 1, :n], mask[row : row + 1, :n])[0], together[row], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(net(x[row : row + 1, :n], None)[0], together[row], atol=1e-5, rtol=0)


def test_what_stands_at_a_pad_changes_no_bit(net: TextEnergy) -> None:
    x, mask = texts()
    other = torch.where(mask, x, 7)
    assert torch.equal(net(x, mask), net(other, mask))
    noise = torch.randn(net.embed(x).shape, generator=torch.Generator().manual_seed(2)) * ~mask[..., None]
    for a, b in zip(
        net.logits_and_states(net.embed(x), mask), net.logits_and_states(net.embed(x) + noise, mask), strict=True
    ):
        assert torch.equal(a, b)


def test_a_perturbation_has_no_gradient_at_pads_and_one_at_every_word(net: TextEnergy) -> None:
    x, mask = texts()
    delta = torch.zeros_like(net.embed(x)).requires_grad_()
    with frozen(net):
        net.logits_and_states(net.embed(x) + delta, mask)[0].square().sum().backward()
    touched = (delta.grad != 0).any(dim=2)
    assert torch.equal(touched, mask)


def test_the_order_of_rows_does_not_matter(net: TextEnergy) -> None:
    x, mask = texts()
    torch.testing.assert_close(net(x.flip(0), mask.flip(0)).flip(0), net(x, mask), atol=1e-6, rtol=0)


def test_the_three_cuts_join_to_the_whole(net: TextEnergy) -> None:
    x, mask = texts()
    states, sentence = net.encode(net.embed(x), mask)
    logits, same_states, same_sentence = net.logits_and_states(net.embed(x), mask)
    assert torch.equal(net.classify(sentence), logits) and torch.equal(net(x, mask), logits)
    assert torch.equal(states, same_states) and torch.equal(sentence, same_sentence)
    assert net.embed(x).shape == (4, 9, net.embedding_width)
    assert (states.shape, sentence.shape, logits.shape) == ((4, 9, net.width), (4, net.width), (4, K))
    assert (states[~mask] == 0).all()
    assert torch.equal(net.embed(x), net.word_embedding.weight[x])
    assert net.word_embedding.weight.shape == (V, net.embedding_width) and net.n_classes == K


def test_the_energy_of_a_label_is_minus_its_logit_and_rows_belong_to_their_text(net: TextEnergy) -> None:
    x, mask = texts()
    assert isinstance(net, Conditional)
    energy = net.given(x, mask)
    y = torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(energy(y), -net(x, mask)[torch.arange(4), y])
    every = energy(torch.arange(K).repeat(4)).view(4, K)
    torch.testing.assert_close(every, -net(x, mask), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.softmax(-every, 1), torch.softmax(net(x, mask), 1), atol=1e-6, rtol=0)
    torch.testing.assert_close(energy.select(torch.tensor([2]))(y[2:3]), energy(y)[2:3], atol=1e-5, rtol=0)


def test_what_it_cannot_read_is_refused(net: TextEnergy) -> None:
    x, mask = texts()
    with pytest.raises(ValueError, match=r"reads 12 tokens at most: got 18. Cut texts with max_length=12"):
        net(x.repeat(1, 2), mask.repeat(1, 2))
    with pytest.raises(ValueError, match="out of the vocabulary: expected 0 to 29, got 1 to 30"):
        net(torch.tensor([[1, V]]), None)
    with pytest.raises(
        ValueError, match=r"a mask is bool, True at real tokens: expected shape \(4, 9\), got torch.int64"
    ):
        net(x, mask.long())
    empty = mask.clone()
    empty[2] = False
    with pytest.raises(ValueError, match="a text has real tokens from position 0 on: row 2 has none there"):
        net(x, empty)


def test_dropout_acts_in_training_alone(net: TextEnergy) -> None:
    x, mask = texts()
    assert torch.equal(net(x, mask), net(x, mask))
    net.train()
    assert not torch.equal(net(x, mask), net(x, mask))
    with frozen(net):
        assert torch.equal(net(x, mask), net(x, mask))


def test_a_saved_net_is_the_same_net_and_stores_no_table_twice(net: TextEnergy) -> None:
    x, mask = texts()
    state = net.state_dict()
    tables = [name for name, t in state.items() if t.data_ptr() == net.word_embedding.weight.data_ptr()]
    assert len(tables) == 1
    kept, before = {name: t.clone() for name, t in state.items()}, net(x, mask)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    net.load_state_dict(kept)
    assert torch.equal(net(x, mask), before)


def test_a_mean_counts_real_positions_alone() -> None:
    states, mask = torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[True, True, False]])
    assert mean_of(states, mask).item() == 2
    assert sentence_of(states, mask, "mean").item() == 2 and sentence_of(states, mask, "cls").item() == 1


def test_one_class_is_none() -> None:
    with pytest.raises(ValueError, match="two classes or more apart: got n_classes=1"):
        TextClassifier(V, 1)


def test_a_mask_may_be_left_out() -> None:
    check_text(torch.zeros(2, 3, 4), None, 3)
