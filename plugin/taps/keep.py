"""Reading a map inside a network: what one of its modules gets."""

from __future__ import annotations

from torch import Tensor, nn


class KeepInput:
    """A forward pre-hook that keeps what its module is called with, from :meth:`arm` to :meth:`give`.

    Checkpointing runs modules again in the backward pass; that is not kept. It is no closure, so a copy of
    the network has a hook and maps of its own.
    """

    def __init__(self, module: nn.Module) -> None:
        self._armed = False
        self._value: Tensor | None = None
        module.register_forward_pre_hook(self)

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if self._armed:
            self._value = inputs[0]

    def arm(self) -> None:
        """Forget what was kept, and keep the input of the module's last call from now on."""
        self._armed, self._value = True, None

    def give(self) -> Tensor:
        """What was kept; it is not kept any longer."""
        value, self._armed, self._value = self._value, False, None
        if value is None:
            raise RuntimeError("the module whose input is read was not called in this pass")
        return value
