"""Copies of a network that share its weights, with other values in a few places; it is not changed."""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor, nn


class Tree:
    """Shallow copies of those modules of a network that lead to a place with another value.

    Whatever else a copy has it shares with its module: parameters, buffers, hooks, and the dictionaries
    of them, so that what happens to the network (sharding, statistics) happens to its copy.

    Args:
        net: The network.
    """

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._copies: dict[int, nn.Module] = {}
        self._copied(net)

    def _copied(self, module: nn.Module) -> nn.Module:
        if id(module) not in self._copies:
            copy = object.__new__(type(module))
            copy.__dict__.update(vars(module), _modules=dict(module._modules))
            self._copies[id(module)] = copy
        return self._copies[id(module)]

    def at(self, path: str) -> nn.Module | None:
        """The copy's module at ``path``; None where it was taken out of the network."""
        module, copy = self._net, self._copied(self._net)
        for name in path.split(".") if path else ():
            child = module._modules.get(name)
            if child is None:
                return None
            copy._modules[name] = self._copied(child)
            module, copy = child, self._copied(child)
        return copy

    def put(self, path: str, kind: str, name: str, value: Any) -> None:
        """Put ``value`` at a place, if the network has it.

        Args:
            path: Of the module.
            kind: ``_parameters``, ``_buffers`` or, for any other attribute, nothing.
            name: Of the attribute.
            value: A floating-point tensor takes the number format of the one whose place it takes.
        """
        copy = self.at(path)
        if copy is None or not hasattr(copy, name):
            return
        if isinstance(value, Tensor) and value.is_floating_point():
            value = value.to(getattr(copy, name).dtype)
        if kind and name in vars(copy)[kind]:
            copy.__dict__[kind] = {**vars(copy)[kind], name: value}
        else:  # replicas of torch's DataParallel have their parameters as plain attributes
            copy.__dict__[name] = value

    def finished(self) -> nn.Module:
        """The copy. What a module holds that runs modules itself runs the copy's from now on."""
        for copy in self._copies.values():
            for name, value in list(vars(copy).items()):
                if isinstance(value, MethodType) and id(value.__self__) in self._copies:
                    copy.__dict__[name] = MethodType(value.__func__, self._copies[id(value.__self__)])
                elif hasattr(type(value), "rebound"):
                    copy.__dict__[name] = value.rebound(self._copies)
        return self._copied(self._net)
