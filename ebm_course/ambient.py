"""Torch's settings round a call that may not change what it computes: gradients off, another default device or type.

A reader's ``torch.no_grad()``, ``torch.inference_mode()``, ``torch.autocast`` or ``torch.set_default_device`` is meant
for the reader's own lines. It knows torch alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def recording_gradients() -> Iterator[None]:
    """Inside, gradients are recorded, whatever has been switched off outside.

    Raises:
        ValueError: a tensor was made in inference mode, so that nothing can be learned from or through it.

    >>> with torch.inference_mode(), recording_gradients():
    ...     torch.ones(2, requires_grad=True).sum().requires_grad
    True
    """
    try:
        if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():  # as mostly: samplers ask at each step
            yield
        else:
            with torch.inference_mode(False), torch.enable_grad():
                yield
    except RuntimeError as error:
        if "nference tensor" not in str(error):
            raise
        raise ValueError(
            "a tensor was made inside torch.inference_mode(), expected one through which gradients can go. "
            "Make nets and data outside of it, or use torch.no_grad()."
        ) from error


@contextmanager
def usual_settings() -> Iterator[None]:
    """Inside, torch is as it is after its import, so that what is computed depends on what is asked for alone.

    Gradients are recorded, tensors are made on the CPU unless a device is named, no autocast is on, and the default
    type is float32, or float64 where that was chosen. One thing differs: convolutions of float32 on a GPU are taken in
    float32, not in the 19 bits of TF32, so that precision is what a configuration says.

    >>> with torch.device("meta"), torch.no_grad(), usual_settings():
    ...     torch.ones(2).device.type, torch.is_grad_enabled()
    ('cpu', True)
    """
    chosen = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(recording_gradients())
        if torch.empty(0).device.type != "cpu":  # a default device costs time at every call
            stack.enter_context(torch.device("cpu"))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.backends.cudnn.allow_tf32:
            stack.callback(setattr, torch.backends.cudnn, "allow_tf32", True)
            torch.backends.cudnn.allow_tf32 = False
        if chosen != torch.float64:
            stack.callback(torch.set_default_dtype, chosen)
            torch.set_default_dtype(torch.float32)
        yield
