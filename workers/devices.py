"""The device of a replica: transfers from and to numpy arrays, and what a GPU has of its own.

A GPU copies from and to page-locked memory while the host continues; from other memory, the host waits for all work
that was launched before.
"""

import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt


def to_device(array: npt.NDArray[np.int64], device: str) -> Any:
    """Return a tensor on a device; on a CPU it shares the array's memory.

    Args:
        array: integers of any shape.
        device: `cpu` or `cuda`.
    """
    import torch

    tensor = torch.from_numpy(array)
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def to_host(tensor: Any) -> npt.NDArray[Any]:
    """Return a tensor's values as an array; on a CPU it shares the tensor's memory.

    Args:
        tensor: float32, float16 or int64, of any shape.
    """
    import torch

    host = tensor
    if tensor.device.type != "cpu":
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor)
    values: npt.NDArray[Any] = host.numpy()
    return values


@cache
def fused_attention() -> Callable[..., Any] | None:
    """Return `fused.attend`; None where there is no Triton, or it cannot compile: it needs a C compiler."""
    import torch

    try:
        from triton.errors import TritonError

        from kotovec.workers.fused import attend
    except ImportError:
        return None
    try:
        states = torch.zeros(3, 1, 16, device="cuda")
        attend(states, states[1:], states, 1)
    except torch.OutOfMemoryError:  # of others' work: another time there would be room
        raise
    except (OSError, RuntimeError, TritonError, subprocess.SubprocessError):
        return None
    return attend


def gpu_name() -> str:
    """Return the name of the GPU, and whether it lacks the fused attention, which changes the last bits."""
    import torch

    name = torch.cuda.get_device_name()
    return name if fused_attention() else f"{name}, no Triton"
