"""What the code of a class of modules names: what its own methods can call.

Read off the compiled code, so that it is exact about names, needs no source file, and costs no run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType


@functools.cache
def names_in_code(kind: type) -> frozenset[str]:
    """Names of functions, methods and attributes in the methods of a class and its bases, without torch's."""
    own = [base for base in kind.__mro__ if not base.__module__.startswith("torch.")]
    values = [getattr(value, "__func__", value) for base in own for value in vars(base).values()]
    methods = [inspect.unwrap(value) for value in values if isinstance(value, FunctionType)]
    return frozenset(name for method in methods for name in _names(method.__code__))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:  # functions in functions
        if isinstance(inner, CodeType):
            yield from _names(inner)
