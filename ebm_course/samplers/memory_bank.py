r"""A memory bank: a feature for every row of a data set, as it was when the row was last seen, to contrast others with.

.. math:: b_i \leftarrow \frac{M b_i + (1 - M) f_i / \|f_i\|}{\| M b_i + (1 - M) f_i / \|f_i\| \|}

Thousands of negatives then cost a matrix product and no pass through the net. What they cost instead is age: a row was
written by the weights of up to an epoch ago, and the bank knows how many updates ago that was. It knows features and
labels; no net, no loss.
Source: Wu et al. (2018), Section 3; two of them, Tian, Krishnan and Isola (2020); Qiu, Zhang and Zhou, Eq. 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ebm_course.checks import check_count, check_finite, check_generator, check_number, check_tensors
from ebm_course.samplers.bank_state import check_state
from ebm_course.samplers.row_products import products_of_rows

CACHED_BYTES = 1 << 20
"""How many bytes of rows are handed out at a time on a CPU, so that its second cache holds them."""


class MemoryBank:
    """``features`` (n_rows, width) of Euclidean norm 1, or 0 where never written, with the ``labels`` of their rows.

    Args:
        n_rows: of the data set.
        width: of a feature.
        labels: (n_rows,), int64, on the device where the bank is to be.
        momentum: M, 0 or more and below 1; a row's first feature is taken as it is.

    Raises:
        ValueError: a number is out of its range, or there are not as many labels as rows.

    >>> bank = MemoryBank(4, 2, labels=torch.tensor([0, 0, 1, 1]))
    >>> bank.update(torch.tensor([0, 3]), torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    >>> bank.scores(torch.tensor([[1.0, 0.0]]))
    tensor([[0.6000, 0.0000, 0.0000, 0.0000]])
    >>> bank.negatives_of(torch.tensor([0]))  # written, and of another label
    tensor([[False, False, False,  True]])
    """

    def __init__(self, n_rows: int, width: int, *, labels: Tensor, momentum: float = 0.5):
        check_count("n_rows", n_rows, least=1)
        check_count("width", width, least=1)
        momentum = check_number("momentum", momentum)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: expected 0 or more and below 1, got {momentum}. The default is 0.5.")
        got = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else f"a {type(labels).__name__}"
        if got != f"torch.int64 ({n_rows},)":
            raise ValueError(
                f"a bank has a label a row: expected int64 ({n_rows},), got {got}. Pass those of all training rows."
            )
        self.momentum, self.n_updates = momentum, 0
        dtype = torch.promote_types(torch.get_default_dtype(), torch.float32)  # a momentum is lost in 16 bits
        with torch.inference_mode(False):  # lest they be tensors that cannot be changed or learned from outside of it
            self.labels = labels.clone() if labels.is_inference() else labels.detach()
            self.features = torch.zeros(n_rows, width, device=labels.device, dtype=dtype)
            self.written_at = torch.full((n_rows,), -1, device=labels.device)  # the number of the update, -1: never
            self._values, self._kinds = self.labels.unique(return_inverse=True)  # (C - 1,), (n_rows,)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def ages(self) -> Tensor:
        """Updates since each row was written, (n_rows,); 0 for those of the last one, n_updates where it never was."""
        return torch.where(self.written_at < 0, self.n_updates, self.n_updates - 1 - self.written_at)

    def fresh(self, last_k: int | None = None) -> Tensor:
        """Which rows were written in the last k updates, bool (n_rows,); None: ever."""
        if last_k is None:
            return self.written_at >= 0
        check_count("last_k", last_k, least=1)
        return self.written_at >= max(0, self.n_updates - last_k)

    def newest(self, n: int) -> Tensor:
        """The n rows that were written last, int64 (n,), or all rows where there are no more."""
        check_count("n", n)
        return self.written_at.topk(min(n, len(self)), sorted=False).indices

    def draw(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n different rows, each as likely, int64 (n,), or all rows where there are no more."""
        check_generator(generator, self.features)
        check_count("n", n)
        return torch.randperm(len(self), generator=generator, device=self.features.device)[:n]

    def negatives_of(self, labels: Tensor, *, rows: Tensor | None = None, last_k: int | None = None) -> Tensor:
        """Which rows may be negatives of anchors with these labels (N,): another label, and fresh. Bool (N, M).

        Args:
            rows: int64 (M,), those that are looked at; None: all of the bank.
            last_k: as in :meth:`fresh`.
        """
        kinds, counted = self.kinds_of(labels, rows=rows, last_k=last_k)
        return counted.index_select(0, kinds).T.contiguous()

    def kinds_of(
        self, labels: Tensor, *, rows: Tensor | None = None, last_k: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """What :meth:`negatives_of` says, without its N M values: it is ``counted[kinds].T``.

        Returns:
            ``kinds``, int64 (M,), the number of each row's label among all there are, from 1, or 0 where it is not
            fresh; ``counted``, bool (C, N), whether rows of a kind may be negatives of an anchor.
        """
        check_tensors(labels=labels)
        if labels.ndim != 1 or labels.dtype != torch.int64:
            raise ValueError(f"labels of anchors are int64 (N,): got {labels.dtype} {tuple(labels.shape)}.")
        kinds = torch.where(self.fresh(last_k), self._kinds + 1, 0)
        if rows is not None:
            self._check_rows(rows)
            kinds = kinds.index_select(0, rows)
        return kinds, torch.cat([torch.zeros_like(labels, dtype=torch.bool)[None], self._values[:, None] != labels])

    def pieces(self, rows: Tensor | None = None, *, max_bytes: float = math.inf) -> Iterator[Tensor]:
        """The features of rows, (P, width) after (P, width), to be used one after another; no gradient.

        Args:
            rows: int64 (M,); None: all of the bank, without a copy.
            max_bytes: of a copy; on a CPU it is ``CACHED_BYTES`` at most.

        Raises:
            ValueError: ``max_bytes`` holds not even one row.
        """
        row = self.features[0].nbytes
        room = max(row, CACHED_BYTES) if self.features.device.type == "cpu" else self.features.nbytes
        max_bytes = check_number("max_bytes", max_bytes)
        if rows is None:
            return iter(self.features.split(room // row))
        self._check_rows(rows)
        self._check_room(max_bytes)
        return (self.features.index_select(0, some) for some in rows.split(int(min(room, max_bytes) // row)))

    def scores(self, anchors: Tensor, rows: Tensor | None = None, *, max_bytes: float = math.inf) -> Tensor:
        """Inner products of anchors (N, width) with rows of the bank, (N, M); only anchors take a gradient.

        Args:
            anchors: of norm 1 for cosines.
            rows: int64 (M,); None: all of the bank, in one product and without a copy.
            max_bytes: of a copy of rows; where all need more, they are taken in pieces, and again for the gradient.

        Raises:
            ValueError: anchors of another width, or ``max_bytes`` holds not even one row.
        """
        width = self.features.shape[1]
        check_tensors(anchors=anchors)
        max_bytes = check_number("max_bytes", max_bytes)
        if anchors.ndim != 2 or anchors.shape[1] != width or not anchors.is_floating_point():
            raise ValueError(
                f"this bank holds features of width {width}: expected anchors (N, {width}), got "
                f"{tuple(anchors.shape)} of {anchors.dtype}. Build it with the classifier's width."
            )
        if rows is None:
            return anchors @ self.features.T.to(anchors.dtype)
        self._check_rows(rows)
        row = self.features[0].nbytes
        if len(rows) * row <= max_bytes:
            return anchors @ self.features.index_select(0, rows).T.to(anchors.dtype)
        self._check_room(max_bytes)
        return products_of_rows(anchors, self.features, rows, n_at_once=int(max_bytes // row))

    @torch.no_grad()
    def update(self, rows: Tensor, features: Tensor) -> None:
        """Mix features (N, width) of any length into their rows, int64 (N,), all different; changes the bank.

        A feature of 0 has no direction, nor has one whose mixture with its row is 0: such a row stays as it was, and
        as old.

        Raises:
            ValueError: rows are not those of the bank, come twice, or do not fit the features, or these are not real.
            FloatingPointError: a feature is not finite (on a CPU): it would stay in the bank.
        """
        self._check(rows, features)
        wide = torch.promote_types(features.dtype, self.features.dtype)  # in which no feature is too large
        new, old = _directions(features.to(wide)).to(self.features.dtype), self.features[rows]
        mixed = normalize(self.momentum * old + (1 - self.momentum) * new, dim=1)  # of a first feature itself
        moved = (new.abs().amax(dim=1) != 0) & (mixed.abs().amax(dim=1) != 0)  # a NaN is not hidden
        self.features.index_copy_(0, rows, torch.where(moved[:, None], mixed, old))
        self.written_at.index_copy_(0, rows, torch.where(moved, self.n_updates, self.written_at[rows]))
        self.n_updates += 1

    def _check_room(self, max_bytes: float) -> None:
        row = self.features[0].nbytes
        if not max_bytes >= row:  # nor is a NaN room for a row
            raise ValueError(f"max_bytes: expected {row} or more, a row of this bank, got {max_bytes}.")

    def _check(self, rows: Tensor, features: Tensor) -> None:
        n, width = self.features.shape
        check_tensors(rows=rows, features=features)
        right = self._holds(rows) and (rows.device.type != "cpu" or len(rows.unique()) == len(rows))
        if not right or features.shape != (len(rows), width) or features.is_complex():
            raise ValueError(
                f"a bank of {n} rows of width {width} takes features (N, {width}) of N different rows, 0 to {n - 1}: "
                f"got features {tuple(features.shape)} of {features.dtype} and rows {tuple(rows.shape)} of {rows.dtype}"
                f"{f', {int(rows.min())} to {int(rows.max())}' if rows.numel() else ''}. Build it for this data set."
            )
        if features.device.type == "cpu":
            check_finite("a feature for the memory bank", features, "Lower the rate, or look for the loss that grew.")

    def _holds(self, rows: Tensor) -> bool:
        if rows.ndim != 1 or rows.dtype != torch.int64:
            return False
        # Elsewhere than on a CPU a look at the numbers would wait for the device at every call.
        seen = rows.device.type == "cpu" and len(rows)
        return not seen or (int(rows.min()) >= 0 and int(rows.max()) < len(self))

    def _check_rows(self, rows: Tensor) -> None:
        check_tensors(rows=rows)
        if not self._holds(rows):
            raise ValueError(
                f"a bank of {len(self)} rows was asked for others: expected int64 (M,) of 0 to {len(self) - 1}, got "
                f"{rows.dtype} {tuple(rows.shape)}"
                f"{f', {int(rows.min())} to {int(rows.max())}' if rows.numel() else ''}. Draw them with draw()."
            )

    def state_dict(self) -> dict[str, Any]:
        """Features, when they were written, how many updates there were, and labels."""
        state = {"features": self.features, "written_at": self.written_at, "n_updates": self.n_updates}
        return state | {"labels": self.labels}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; changes the bank. A state without labels is not asked for them.

        Raises:
            ValueError: it is that of a bank of other size or labels, of something else, or says impossible things.
            FloatingPointError: a feature is not finite.
        """
        check_state(self.state_dict(), state)
        self.features.copy_(state["features"].detach())
        self.written_at.copy_(state["written_at"])
        self.n_updates = int(state["n_updates"])


def _directions(x: Tensor) -> Tensor:
    """Rows (N, width) over their norms, 0 where a row is; one whose squares may not be numbers is scaled before."""
    largest = x.abs().amax(dim=1, keepdim=True)
    usual = (largest > 1e-12) & (largest < 1e16)
    return normalize(x / torch.where(usual, 1, largest.clamp_min(torch.finfo(x.dtype).tiny)), dim=1)
