"""What the code of a class of modules names: what it can call.

Read off the compiled code, so that it is exact about names, needs no source file, and costs no run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any


@functools.cache
def names_in_code(kind: Any, followed: bool = False) -> frozenset[str]:
    """Names of functions, methods and attributes in the methods of a class and its bases, without torch's.

    Args:
        kind: A class of modules.
        followed: Whether to go on into the functions of their files that the methods call.
    """
    own = [base for base in kind.__mro__ if not _torchs(base)]
    values = [getattr(value, "__func__", value) for base in own for value in vars(base).values()]
    todo = [value for value in values if isinstance(value, FunctionType)]
    read: set[FunctionType] = set()
    found: set[str] = set()
    while todo:
        function = inspect.unwrap(todo.pop())
        if function in read or _torchs(function):
            continue
        read.add(function)
        names = set(_names(function.__code__))
        found |= names
        called = [function.__globals__.get(name) for name in names] if followed else []
        todo += [value for value in called if isinstance(value, FunctionType)]
    return frozenset(found)


def _torchs(value: Any) -> bool:
    return value.__module__.startswith("torch.")


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:  # functions in functions
        if isinstance(inner, CodeType):
            yield from _names(inner)
