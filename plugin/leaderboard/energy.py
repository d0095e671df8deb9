"""Energy, where a GPU counts it."""

from __future__ import annotations

from importlib.util import find_spec


def joules(device: str) -> float | None:
    """What the GPU in use has taken since its driver was loaded, by NVML's counter; of all that runs on it.

    Args:
        device: ``cpu`` or ``cuda``.

    Returns:
        None where nothing is counted: on a CPU, without the package ``nvidia-ml-py``, on GPUs before Volta.
    """
    if not device.startswith("cuda") or find_spec("pynvml") is None:
        return None
    import pynvml
    import torch

    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3  # it counts mJ
    except pynvml.NVMLError:
        return None
