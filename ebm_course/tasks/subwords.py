"""Parts of words as numbers: a byte-level BPE trained on the training split, or the tokenizer file of an encoder.

Every text can be written in bytes, so a trained one knows no unknown word, and the same texts in any order of lines
give the same numbers. Ids 0 to 4 of a trained one are those of ``words.Words``; a read one keeps its encoder's.
Source: Sennrich et al. (2016); Radford et al. (2019) for bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from ebm_course.checks import check_count
from ebm_course.files import check_sha256
from ebm_course.tasks.words import SPECIAL, as_tensors, check_texts, real_tokens

NAMES = {
    "pad": ("[PAD]", "<pad>"),
    "unknown": ("[UNK]", "<unk>"),
    "start": ("[CLS]", "<s>"),
    "end": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
"""What BERT's and ALBERT's tokenizers call their special tokens, and what RoBERTa's does."""


_ONE_BLANK = normalizers.Replace(Regex(r"\s+"), " ")


class Subwords:
    """Texts to tokens (N, L) and back, by a tokenizer of the library ``tokenizers``.

    Args:
        tokenizer: holds a pad, a start, an end, a mask and an unknown token; its padding and truncation are turned off.

    Raises:
        ValueError: a special token is missing; the message names it.

    >>> subwords = Subwords.trained(["A good film.", "A good book, a GOOD one."] * 4, n_tokens=280)
    >>> tokens, mask = subwords.encode(["a good film", "ok"], max_length=8)
    >>> tokens[:, 0].tolist(), mask.sum(dim=1).tolist()
    ([2, 2], [5, 5])
    >>> subwords.decode(tokens, mask)
    ['a good film', 'ok']
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        found = {name: [tokenizer.token_to_id(said) for said in names] for name, names in NAMES.items()}
        ids = {name: [k for k in some if k is not None] for name, some in found.items()}
        missing = [name for name, some in ids.items() if not some]
        if missing:
            raise ValueError(
                f"a tokenizer of an encoder has a pad, an unknown, a start, an end and a mask token: found no "
                f"{missing[0]} token ({' or '.join(NAMES[missing[0]])}). Take the tokenizer.json of an encoder."
            )
        self.pad, self.unknown, self.start, self.end, self.mask = (some[0] for some in ids.values())

    @classmethod
    def trained(cls, texts: Iterable[str], *, n_tokens: int = 8000, lowercase: bool = True) -> Subwords:
        """The vocabulary of training texts, read once from start to end and not kept.

        Args:
            n_tokens: largest size of the vocabulary; 261 hold the special tokens and the bytes.

        Raises:
            TypeError: the texts are one text.
            ValueError: there are no texts, or ``n_tokens`` is no whole number of 261 or more.
        """
        n_tokens = check_count("n_tokens", n_tokens)
        if isinstance(texts, str):
            check_texts(texts)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        least = len(SPECIAL) + len(alphabet)
        if n_tokens < least:
            raise ValueError(f"bytes and special tokens are {least}: got n_tokens={n_tokens}. Pass {least} or more.")
        waiting = iter(texts)
        first = next(waiting, None)
        if first is None:
            raise ValueError("subwords are made of training texts, got none: name the files that hold some.")
        tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[1]))
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), _ONE_BLANK, *([normalizers.Lowercase()] if lowercase else [])]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=n_tokens, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(itertools.chain([first], waiting), trainer)
        return cls(tokenizer)

    @classmethod
    def read(cls, path: Path | str, *, sha256: str | None = None) -> Subwords:
        """The tokenizer of a file ``tokenizer.json``, as an encoder comes with.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: its SHA-256 is another, it is no such file, or it has no special tokens.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path.name}: name the tokenizer.json of an encoder.")
        if sha256 is not None:
            check_sha256(path, sha256, "Fetch or install it again.")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises no class of its own
            raise ValueError(
                f"{path.name} is no tokenizer: expected JSON of the library tokenizers ({error})."
            ) from error
        return cls(tokenizer)

    def save(self, path: Path | str) -> None:
        """Write the tokenizer to a file that :meth:`read` reads."""
        self.tokenizer.save(str(path))

    def encode(self, texts: Sequence[str], *, max_length: int) -> tuple[Tensor, Tensor]:
        """Tokens (N, L) int64 and mask (N, L) bool: start, subwords, end; long texts lose subwords before the end.

        Raises:
            TypeError: the texts are one text, or one of them is none.
            ValueError: a text has no subword, or ``max_length`` has no room for one.
        """
        check_texts(texts)
        found = self.tokenizer.encode_batch([text.strip() for text in texts], add_special_tokens=False)
        rows = [encoding.ids for encoding in found]
        return as_tensors(rows, max_length=max_length, start=self.start, end=self.end, pad=self.pad)

    def decode(self, tokens: Tensor, mask: Tensor) -> list[str]:
        """The texts of tokens (N, L) at real positions, without start, end and pads.

        Raises:
            ValueError: a real token is out of the vocabulary, or the mask does not fit.
        """
        rows = real_tokens(tokens, mask, n_values=len(self))
        return [text.strip() for text in self.tokenizer.decode_batch(rows, skip_special_tokens=False)]

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()
