from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ebm_course.energies.token_encoder import TokenEncoder

SIZES = (20, 6, 4)


def encoder(**settings: object) -> TokenEncoder:
    torch.manual_seed(0)
    return TokenEncoder(SIZES, width=8, hidden=6, **settings).eval()  # type: ignore[arg-type]


def sentences(lengths: list[int], longest: int | None = None) -> tuple[Tensor, Tensor]:
    """Columns (N, L, 3) and the mask; pads are 0."""
    generator, length = torch.Generator().manual_seed(1), longest or max(lengths)
    columns = [torch.randint(n, (len(lengths), length), generator=generator) for n in SIZES]
    mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    return torch.stack(columns, dim=2) * mask[..., None], mask


def test_features_are_those_of_torchs_bidirectional_lstm_on_packed_sentences():
    net, (x, mask) = encoder(), sentences([5, 2, 4, 1])
    both = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
    for name, value in net.forwards.named_parameters():
        getattr(both, name).data.copy_(value.data)
    for name, value in net.backwards.named_parameters():
        getattr(both, f"{name}_reverse").data.copy_(value.data)
    lengths = mask.sum(dim=1)
    packed = nn.utils.rnn.pack_padded_sequence(net.embed(x), lengths, batch_first=True, enforce_sorted=False)
    expected = nn.utils.rnn.pad_packed_sequence(both(packed)[0], batch_first=True)[0]
    torch.testing.assert_close(net(x, mask), expected, atol=1e-6, rtol=1e-5)


def test_a_tokens_vector_is_the_sum_of_its_columns_vectors():
    net, (x, _) = encoder(), sentences([3, 3])
    w = net.table.weight
    expected = w[x[..., 0]] + w[20 + x[..., 1]] + w[26 + x[..., 2]]
    torch.testing.assert_close(net.embed(x), expected)


def test_what_stands_at_pads_changes_nothing_bit_for_bit():
    net, (x, mask) = encoder(), sentences([5, 2, 4])
    other = torch.where(mask[..., None], x, torch.ones_like(x))
    assert not torch.equal(x, other)
    assert torch.equal(net(other, mask), net(x, mask))
    assert net(x, mask)[~mask].eq(0).all()


def test_the_other_sentences_of_a_batch_and_more_pads_change_nothing():
    net, (x, mask) = encoder().double(), sentences([5, 2, 4], longest=9)
    together = net(x, mask)
    for n, length in enumerate([5, 2, 4]):
        alone = net(x[n : n + 1, :length], mask[n : n + 1, :length])
        torch.testing.assert_close(together[n, :length], alone[0], atol=1e-14, rtol=0)
        torch.testing.assert_close(net(x[n : n + 1, :length])[0], alone[0], atol=0, rtol=0)


def test_pads_have_no_gradient_but_for_the_value_they_hold():
    net, (x, mask) = encoder(), sentences([5, 2])
    x[~mask] = torch.tensor([19, 5, 3])
    x[mask] = x[mask] % torch.tensor([19, 5, 3])  # real tokens hold other values
    net(x, mask).square().sum().backward()
    assert net.table.weight.grad[[19, 25, 29]].eq(0).all()
    assert net.table.weight.grad[x[mask][:, 0]].ne(0).all()


@pytest.mark.parametrize("width", [8, 5])
def test_fixed_vectors_take_the_place_of_trained_words(width):
    vectors = torch.randn(20, width)
    net, (x, mask) = encoder(vectors=vectors), sentences([4, 2])
    assert net.table.num_embeddings == 6 + 4
    words = vectors if width == 8 else vectors @ net.project.weight.T
    expected = words[x[..., 0]] + net.table.weight[x[..., 1]] + net.table.weight[6 + x[..., 2]]
    torch.testing.assert_close(net.embed(x), expected)
    net(x, mask).sum().backward()
    assert "vectors" in net.state_dict() and "vectors" not in dict(net.named_parameters())


@pytest.mark.parametrize("width", [8, 3])
def test_fixed_vectors_have_the_type_of_the_weights(width):
    vectors, (x, mask) = torch.randn(20, width), sentences([4, 2])
    torch.set_default_dtype(torch.float64)
    try:
        net = encoder(vectors=vectors)
    finally:
        torch.set_default_dtype(torch.float32)
    assert net(x, mask).dtype == torch.float64


def test_word_ids_with_fixed_vectors_alone_need_no_table():
    net = TokenEncoder((20,), width=8, hidden=6, vectors=torch.randn(20, 8))
    assert net.table is None and net.project is None
    assert {name.split(".")[0] for name, _ in net.named_parameters()} == {"forwards", "backwards"}


@pytest.mark.parametrize("column, value", [(0, 20), (1, 6), (2, -1)])
@pytest.mark.parametrize("fixed", [False, True])
def test_a_value_out_of_its_column_is_refused_and_never_read_as_the_next_columns(column, value, fixed):
    net, (x, mask) = encoder(vectors=torch.randn(20, 8) if fixed else None), sentences([3, 2])
    x[1, 1, column] = value
    with pytest.raises(ValueError, match=rf"column {column} takes 0 to {SIZES[column] - 1}: got {value}"):
        net(x, mask)


def test_what_it_cannot_read_is_refused_in_words():
    for x in (torch.zeros(2, 3).long(), torch.zeros(2, 3, 2).long(), torch.zeros(2, 3, 3)):
        with pytest.raises(ValueError, match=r"reads int64 columns \(N, L, 3\): got"):
            encoder()(x)
    with pytest.raises(ValueError, match="one column or more"):
        TokenEncoder(())
    with pytest.raises(ValueError, match=r"expected shape \(20, D\), got \(3, 8\)"):
        TokenEncoder((20,), vectors=torch.zeros(3, 8))


def test_dropout_is_on_while_training_only():
    net, (x, mask) = encoder(dropout=0.5), sentences([5, 2])
    assert torch.equal(net(x, mask), net(x, mask))
    net.train()
    assert not torch.equal(net(x, mask), net(x, mask))


def test_where_columns_are_not_asked_first_the_table_itself_refuses(monkeypatch):
    """As on a GPU: the value 20 of column 0 is never the vector of column 1's first value."""
    monkeypatch.setattr("ebm_course.energies.token_encoder._check_columns", lambda x, sizes: None)
    x = sentences([3, 2])[0]
    x[1, 1, 0] = 20
    with pytest.raises(RuntimeError, match=r"not in the valid range|index_size"):
        encoder().embed(x)
