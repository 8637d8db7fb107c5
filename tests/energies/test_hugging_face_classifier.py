"""The adapter: equal to the library's own sequence classifiers, the paper's counts, and what is no encoder of texts."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ebm_course.energies.hugging_face_classifier import HuggingFaceClassifier, albert, pretrained

SMALL = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.fixture
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="the extra encoder is not installed")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def filled(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return module.eval()


@pytest.mark.parametrize("kind, more", [("Albert", {"embedding_size": 8}), ("Bert", {})])
def test_it_equals_the_library_s_own_classifier(transformers: Any, kind: str, more: dict[str, int]) -> None:
    config = getattr(transformers, f"{kind}Config")(**SMALL, **more, num_labels=3)
    theirs = filled(getattr(transformers, f"{kind}ForSequenceClassification")(config))
    net = HuggingFaceClassifier(getattr(theirs, kind.lower()), n_classes=3).eval()
    net.to_logits.load_state_dict(theirs.classifier.state_dict())
    x, mask = torch.randint(30, (3, 9)), torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    with torch.no_grad():
        expected = theirs(input_ids=x, attention_mask=mask.long()).logits
        torch.testing.assert_close(net(x, mask), expected, atol=1e-6, rtol=0)
    assert count(net) == count(theirs)
    assert net.embedding_width == more.get("embedding_size", 16)


def test_albert_base_has_the_paper_s_numbers_of_parameters(transformers: Any) -> None:
    with torch.device("meta"):
        net = HuggingFaceClassifier(albert(), n_classes=2)
        bare = HuggingFaceClassifier(transformers.AlbertModel(net.encoder.config, add_pooling_layer=False), n_classes=2)
    assert count(net) == 11_685_122
    assert (net.embedding_width, net.width, net.n_tokens, net.max_length) == (128, 768, 30_000, 512)
    decoder = nn.Linear(768, 128), nn.LayerNorm(128), nn.Linear(1, 30_000, bias=True)
    head = count(decoder[0]) + count(decoder[1]) + decoder[2].bias.numel()
    assert count(net) + head == 11_813_810
    assert count(bare) == count(net) - 768 * 769 and not bare.pooler


def test_the_pooler_may_be_left_out(transformers: Any) -> None:
    net = filled(HuggingFaceClassifier(albert(**SMALL, embedding_size=8), 2, pooler=False))
    x = torch.randint(30, (2, 5))
    states, sentence = net.encode(net.embed(x), None)
    assert torch.equal(sentence, states[:, 0])
    with pytest.raises(ValueError, match=r"a pooler makes a sentence of the first state: got pooling='mean'"):
        HuggingFaceClassifier(albert(**SMALL, embedding_size=8), 2, pooling="mean", pooler=True)
    bare = transformers.AlbertModel(transformers.AlbertConfig(**SMALL), add_pooling_layer=False)
    with pytest.raises(ValueError, match=r"got an encoder without one\. Pass pooler=False"):
        HuggingFaceClassifier(bare, 2, pooler=True)


def test_a_fresh_layer_of_logits_is_as_small_as_the_encoder_s_own_and_has_no_bias_yet(transformers: Any) -> None:
    torch.manual_seed(0)
    net = HuggingFaceClassifier(albert(**SMALL, embedding_size=8, initializer_range=0.05), n_classes=50, dropout=0.3)
    std, n = net.to_logits.weight.std().item(), 16 * 50
    assert abs(std - 0.05) < 5 * 0.05 / (2 * n) ** 0.5 and not net.to_logits.bias.any()
    assert net.dropout.p == 0.3


def test_a_folder_gives_its_encoder_back_with_the_same_numbers(transformers: Any, tmp_path: Path) -> None:
    encoder = filled(albert(**SMALL, embedding_size=8))
    encoder.save_pretrained(tmp_path / "small-albert")
    assert (tmp_path / "small-albert" / "model.safetensors").is_file()
    again = pretrained(tmp_path / "small-albert")
    x = torch.randint(30, (2, 5))
    with torch.no_grad():
        a, b = (
            HuggingFaceClassifier(e.eval(), 2, dropout=0.0).encode(e.get_input_embeddings()(x), None)[1]
            for e in (encoder, again)
        )
    assert torch.equal(a, b)


def test_a_name_is_asked_for_at_the_commit_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, object]] = []

    class AutoModel:
        @staticmethod
        def from_pretrained(name: str, **options: object) -> nn.Module:
            asked.append((name, options["revision"]))
            return nn.Linear(1, 1)

    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=AutoModel))
    pretrained("some/encoder", revision="0123abc")
    pretrained("some/encoder")
    assert asked == [("some/encoder", "0123abc"), ("some/encoder", None)]


def test_a_folder_that_holds_no_encoder_is_refused(transformers: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no encoder 'nothing' could be loaded \(\w+\): expected a folder"):
        pretrained(tmp_path / "nothing")


class Images(nn.Module):
    """An encoder of images: it has a config, and says that it has no word embeddings."""

    config = SimpleNamespace(hidden_size=4)

    def get_input_embeddings(self) -> nn.Module:
        raise NotImplementedError


class Patches(Images):
    """An encoder of images that calls its patches' projection its input embeddings."""

    def get_input_embeddings(self) -> nn.Module:
        return nn.Conv2d(3, 4, 16)


@pytest.mark.parametrize("encoder", [nn.Linear(3, 4), Images(), Patches()])
def test_an_encoder_without_word_embeddings_is_refused(encoder: nn.Module) -> None:
    with pytest.raises(ValueError, match=f"perturbations need word embeddings, and {type(encoder).__name__} has none"):
        HuggingFaceClassifier(encoder, 2)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    for make in (albert, lambda: pretrained("albert-base-v2")):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'ebm-course\[encoder\]'"):
            make()
