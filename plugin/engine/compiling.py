"""``compile=True`` in a config: backbone and necks compiled by torch, for images of any size."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

import torch
from packaging.version import Version
from torch import nn

from ..errors import InputError
from ..weights.loading import warn_user

#: Names under which a C++ compiler is looked for where ``CXX`` names none, in torch's order.
_COMPILERS = ("c++", "g++", "clang++")
_PARTS = ("backbone", "neck")
#: 2.4 takes the channels of maps for symbols that equal no number, where sizes are to be symbols.
OLDEST = Version("2.5")


def compile_parts(model: nn.Module, asked: Any) -> str:
    """Compile backbones and necks of a model, in place; returns why not, or ''.

    Sizes are symbols, so that images of other sizes need no other program. Heads are left out: they read
    values (boxes, numbers of objects), at each of which a program would end. A part that torch's compiler
    fails on, which shows in its first pass, runs uncompiled, and the user is told.

    Args:
        model: Of mmdet or mmseg; names and weights stay as they are.
        asked: The config's ``compile``: True, False, None, or arguments for ``torch.compile``, which win.

    Raises:
        InputError: ``asked`` is something else.
    """
    if asked is None or asked is False:
        return ""
    if asked is not True and not isinstance(asked, Mapping):
        raise InputError(
            f"compile={asked!r}: allowed are True, False, or a dict of arguments for torch.compile, as "
            f"dict(mode='max-autotune')."
        )
    if Version(torch.__version__) < OLDEST:
        return (
            f"compile: torch {torch.__version__} compiles no program for images of any size, so the model "
            f"runs uncompiled. Update torch: pip install -U torch torchvision"
        )
    options = {"dynamic": True, **({} if asked is True else asked)}
    if options.get("backend", "inductor") == "inductor" and compiler() is None:
        return (
            "compile: there is no C++ compiler (c++, g++ or clang++, or one that the variable CXX names), so "
            "the model runs uncompiled. Install one, or take compile out of the config."
        )
    for name, part in model.named_modules():
        if name.rpartition(".")[2] in _PARTS:
            part.compile(**options)
            part._compiled_call_impl = _OrPlain(name, part, part._compiled_call_impl)
    return ""


class _OrPlain:
    """The program of a module; where torch's compiler fails on it, as inductor does on ConvNeXt with sizes
    that are symbols, the module itself from there on, and the user hears of it once."""

    def __init__(self, name: str, module: nn.Module, program: Any) -> None:
        self.name, self.module, self.program = name, module, program

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self.program(*args, **kwargs)
        except TorchDynamoException as error:
            self.module._compiled_call_impl = None
            warn_user(
                f"compile: torch {torch.__version__} cannot compile the {self.name}, so it runs uncompiled: "
                f"{_first_lines(error)}. Take compile out of the config, or give it a dict of arguments for "
                f"torch.compile, as dict(dynamic=False) where images have one size."
            )
        return self.module(*args, **kwargs)


def _first_lines(error: Exception) -> str:
    """Who failed at what: the first two lines of the compiler's error, 200 characters at most."""
    return " ".join(str(error).split("\n")[:2]).strip()[:200]


def compiler() -> str | None:
    """Path of the C++ compiler that torch would call; None if there is none."""
    named = os.environ.get("CXX")
    found = (shutil.which(name) for name in ([named] if named else _COMPILERS))
    return next((path for path in found if path), None)
