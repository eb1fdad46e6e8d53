"""Whether autocast is on, and how to compute without it."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def autocast_is_on(tensor: Tensor) -> bool:
    """Whether autocast is on for the tensor's device."""
    device = tensor.device.type
    # Of a device that has no autocast torch cannot say whether it is on.
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def without_autocast(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Autocast off for the tensor's device; nothing where it is off, so that exported programs hold
    no trace of it."""
    if autocast_is_on(tensor):
        return torch.autocast(tensor.device.type, enabled=False)
    return contextlib.nullcontext()
