"""Any BERT-like encoder of Hugging Face's ``transformers`` as a text classifier with the face of ``text_energy``.

The library is the extra ``encoder``: it is imported where an encoder is made or loaded, and nowhere else.
It knows no task and no loss.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from ebm_course.energies.text_energy import Pooling, TextEnergy, check_pooling, check_text, sentence_of

ALBERT_BASE_V2: dict[str, Any] = {
    "vocab_size": 30_000,
    "embedding_size": 128,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout_prob": 0.1,
}
"""The paper's encoder. Source: Lan et al. (2020), Table 1; dropouts as in the second version of the checkpoint."""


@runtime_checkable
class _HasWordEmbeddings(Protocol):
    """An encoder that says where its word embeddings are, as those of ``transformers`` do."""

    config: Any

    def get_input_embeddings(self) -> nn.Module:
        """The table of word embeddings."""


class HuggingFaceClassifier(TextEnergy):
    """Logits (N, K) of tokens (N, L) and a mask (N, L), by an encoder of ``transformers``; pads change nothing.

    Perturbations enter as ``inputs_embeds``: before positions, LayerNorm and dropout, as an ALBERT's 128 numbers a word
    before they are made 768.

    Args:
        encoder: maps ``inputs_embeds`` and ``attention_mask`` to ``last_hidden_state``; held, not copied.
        n_classes: number K of labels.
        pooling: a sentence is the state of its first token (``cls``) or the ``mean`` of its states.
        pooler: whether the encoder's own pooler, a tanh layer above the first state, makes the sentence, as in the
            library's classifiers; None: where ``pooling`` is ``cls`` and the encoder has one.
        dropout: share of a sentence's entries dropped before the logits while training.

    Raises:
        ValueError: the encoder has no word embeddings or no pooler, or a pooler is asked for with the mean.

    Source: Lan et al. (2020), Devlin et al. (2019). The paper's classifier is ALBERT-base-v2 with its pooler.

    >>> import importlib.util
    >>> if importlib.util.find_spec("transformers"):
    ...     small = {"vocab_size": 50, "embedding_size": 8, "hidden_size": 16, "num_attention_heads": 2}
    ...     net = HuggingFaceClassifier(albert(**small, num_hidden_layers=1, intermediate_size=16), n_classes=2)
    ...     assert (net.embedding_width, net.width) == (8, 16)
    """

    def __init__(
        self,
        encoder: nn.Module,
        n_classes: int,
        *,
        pooling: Pooling = "cls",
        pooler: bool | None = None,
        dropout: float = 0.1,
    ):
        table = _word_embedding(encoder)
        config = cast(_HasWordEmbeddings, encoder).config
        super().__init__(n_classes, config.hidden_size)
        has_pooler = any(name == "pooler" or name.startswith("pooler.") for name, _ in encoder.named_modules())
        self.pooling, self.pooler = (
            check_pooling(pooling),
            pooling == "cls" and has_pooler if pooler is None else pooler,
        )
        if self.pooler and (pooling != "cls" or not has_pooler):
            got = "pooling='mean'" if has_pooler else "an encoder without one"
            raise ValueError(f"a pooler makes a sentence of the first state: got {got}. Pass pooler=False.")
        self.encoder, self.max_length, self.n_tokens = encoder, config.max_position_embeddings, table.num_embeddings
        self.dropout, self.to_logits = nn.Dropout(dropout), nn.Linear(self.width, n_classes)
        nn.init.normal_(self.to_logits.weight, std=config.initializer_range)
        nn.init.zeros_(self.to_logits.bias)

    @property
    def word_embedding(self) -> nn.Embedding:
        """The table that ``embed`` reads, (V, D)."""
        return _word_embedding(self.encoder)

    def encode(self, embedded: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """States (N, L, H), 0 at pads, and the sentence (N, H), from word embeddings (N, L, D) and a mask (N, L)."""
        check_text(embedded, mask, self.max_length)
        found = self.encoder(inputs_embeds=embedded, attention_mask=None if mask is None else mask.long())
        states: Tensor = found.last_hidden_state
        states = states if mask is None else states.masked_fill(~mask[..., None], 0.0)
        return states, found.pooler_output if self.pooler else sentence_of(states, mask, self.pooling)

    def classify(self, sentence: Tensor) -> Tensor:
        """Logits (N, K) of sentences (N, H)."""
        logits: Tensor = self.to_logits(self.dropout(sentence))
        return logits


def albert(**config: Any) -> nn.Module:
    """An ALBERT encoder with random weights; ALBERT-base-v2 where nothing else is said.

    Args:
        config: fields of ``transformers.AlbertConfig`` that differ from :data:`ALBERT_BASE_V2`.

    Raises:
        ModuleNotFoundError: ``transformers`` is not installed.

    >>> import importlib.util
    >>> if importlib.util.find_spec("transformers"):
    ...     import torch
    ...     with torch.device("meta"):
    ...         net = HuggingFaceClassifier(albert(), n_classes=2)
    ...     assert sum(p.numel() for p in net.parameters()) == 11_685_122
    """
    library = _transformers()
    encoder: nn.Module = library.AlbertModel(library.AlbertConfig(**ALBERT_BASE_V2 | config))
    return encoder


def pretrained(name: str | Path, *, revision: str | None = None) -> nn.Module:
    """An encoder with its published weights, from a folder or by its name, such as ``albert-base-v2``.

    Args:
        name: a folder with ``config.json`` and ``model.safetensors``, or a name that is downloaded once and kept.
        revision: the commit of a name, so that the weights stay the same.

    Raises:
        ModuleNotFoundError: ``transformers`` is not installed.
        FileNotFoundError: there is no such folder, and no such name can be loaded.

    >>> pretrained("no/such-encoder")  # doctest: +SKIP
    """
    library = _transformers()
    try:
        encoder: nn.Module = library.AutoModel.from_pretrained(str(name), revision=revision, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"no encoder {Path(name).name!r} could be loaded ({type(error).__name__}): expected a folder with "
            f"config.json and model.safetensors, or a name and a network. Name the folder, or take minilm()."
        ) from error
    return encoder


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ModuleNotFoundError(
            "encoders of Hugging Face need their library: expected transformers, got none. "
            "Install it with pip install 'ebm-course[encoder]', or take TextClassifier."
        ) from error
    return transformers


def _word_embedding(encoder: nn.Module) -> nn.Embedding:
    """The encoder's table of word embeddings, refused where it has none."""
    table = None
    if isinstance(encoder, _HasWordEmbeddings):
        try:
            table = encoder.get_input_embeddings()
        except NotImplementedError:  # what the library says of an encoder that reads no words
            table = None
    if not isinstance(table, nn.Embedding):
        raise ValueError(
            f"perturbations need word embeddings, and {type(encoder).__name__} has none: got "
            f"{type(table).__name__}, expected nn.Embedding of get_input_embeddings(). Take an encoder of texts."
        )
    return table
