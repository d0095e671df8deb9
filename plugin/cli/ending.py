"""How a command's process begins and ends."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ..engine.own_process import own_process
from ..errors import InputError, naming_extras

#: How warnings begin that OpenMMLab and torch cause in each other, and about which no user can do anything:
#: mmengine imports pkg_resources, and distutils before torch's compiler imports setuptools; mmdet makes the
#: points of FCOS and its like with torch's older grid.
_OTHERS = (
    "pkg_resources is deprecated",
    "Distutils was imported before Setuptools",
    "Setuptools is replacing distutils",
    "torch.meshgrid: in an upcoming release",
    "'pin_memory' argument is set as true but no accelerator is found",
    "This DataLoader will create",  # which a training says in fewer words
)


@contextmanager
def ending() -> Iterator[None]:
    """Bad input ends the process with a message and status 2, Ctrl-C with status 130."""
    for message in _OTHERS:
        warnings.filterwarnings("ignore", message=message)
    warnings.filterwarnings("ignore", module=r"mm(engine|cv|det|seg)\.")  # about their own old spellings
    # The same of Python 3.12 and newer while it compiles their files, which it calls by their paths.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module=r".*[/\\]mm(engine|cv|det|seg)[/\\]")
    try:
        with own_process(), naming_extras():
            yield
    except InputError as error:
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True, soft_wrap=True).print(Text(f"Error: {error}", style="red"))
        sys.exit(2)
    except typer.Exit as end:  # outside of the command line, which catches its own
        sys.exit(end.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
