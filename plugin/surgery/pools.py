"""Turns pooling that is written as a function call (``F.max_pool2d(x, 3, 2)``) into modules.

Only modules can be padded, dilated and read by the trace. The Inception v3 of timm and of
torchvision call functions.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn
from torch.nn import functional as F  # noqa: N812

from ..sources.code import names_in_code

_MODULES: dict[str, type[nn.Module]] = {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}
_LIBRARY = ("torch.", "mmbackbones.")


class _OneLevel(fx.Tracer):
    """Every child is a leaf: only the module's own forward is written out."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def pools_as_modules(net: nn.Module) -> None:
    """Rewrite, in place, each submodule whose code calls a pooling function; names stay."""
    for path, module in list(net.named_modules()):
        if path and _calls_pools(type(module)):
            parent, _, child = path.rpartition(".")
            setattr(net.get_submodule(parent), child, _rewritten(module))


def _calls_pools(kind: Any) -> bool:
    """Whether its own methods name one; what calls one through a function, as DropBlock does, stays."""
    return not kind.__module__.startswith(_LIBRARY) and not names_in_code(kind).isdisjoint(_MODULES)


def _rewritten(module: nn.Module) -> nn.Module:
    """``module`` with pool modules in place of calls; itself where it cannot be traced."""
    try:
        graph = _OneLevel().trace(module)
    except fx.proxy.TraceError:  # control flow on tensors: such a module stays as it is
        return module
    found = 0
    for node in list(graph.nodes):
        name = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
        if node.target is F.max_pool2d:  # a dispatcher without a name of its own
            name = "max_pool2d"
        if name in _MODULES:
            pool = _pool(name, node)
            setattr(module, f"pool{found}", pool)
            with graph.inserting_before(node):
                new = graph.call_module(
                    f"pool{found}", (node.args[0] if node.args else node.kwargs["input"],)
                )
            node.replace_all_uses_with(new)
            graph.erase_node(node)
            found += 1
    rewritten = fx.GraphModule(module, graph, class_name=type(module).__name__)
    return rewritten.train(module.training) if found else module


def _pool(name: str, node: fx.Node) -> nn.Module:
    """The module that does what the call ``node`` does."""
    order = ["input", "kernel_size", "stride", "padding"]
    order += ["dilation", "ceil_mode"] if name == "max_pool2d" else ["ceil_mode", "count_include_pad"]
    arguments = dict(zip(order, node.args, strict=False)) | dict(node.kwargs)
    arguments.pop("input", None)
    return _MODULES[name](**arguments)
