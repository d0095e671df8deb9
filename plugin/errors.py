"""The one exception for input that a user can mend, and what is said of packages that are not installed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

#: Modules that not everybody has, and the extra of this package that brings each.
OPTIONAL = {
    **dict.fromkeys(("mmcv", "mmdet", "mmseg", "ftfy", "regex", "pycocotools", "matplotlib", "PIL"), "mm"),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "export"),
    **dict.fromkeys(("scipy", "yaml", "jinja2"), "leaderboard"),
    **dict.fromkeys(("openvino", "nncf"), "openvino"),
    "tifffile": "tiff",
    "ray": "ray",
    "submitit": "slurm",
    "pynvml": "energy",
}


class InputError(ValueError):
    """Bad input. The message names the bad value, what is allowed, and the next step.

    The command line prints it without a traceback and exits with status 2.
    """


class UnknownArgumentError(InputError, TypeError):
    """An argument that nobody takes. A ``TypeError`` too, as Python's own would be."""


class MissingPackageError(ModuleNotFoundError, InputError):
    """A package that an extra brings is not installed."""


def need(*modules: str) -> None:
    """Raises MissingPackageError, which names the extras, where one of these :data:`OPTIONAL` is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        extras = ",".join(dict.fromkeys(OPTIONAL[module] for module in missing))
        raise MissingPackageError(
            f"{', '.join(missing)} not installed: pip install 'mmbackbones[{extras}]'. "
            f"`mmbackbones doctor` shows what there is.",
            name=missing[0],
        )


@contextmanager
def naming_extras() -> Iterator[None]:
    """Where an import inside fails for want of an :data:`OPTIONAL` module, say which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in OPTIONAL or isinstance(error, MissingPackageError):
            raise
        need(module)
        raise  # it is there, and a part of it is not


def nearest(name: str, allowed: Iterable[str], count: int = 5) -> list[str]:
    """The names in ``allowed`` that look most like ``name``, best first; substrings count too."""
    pool = sorted(set(allowed))
    close = difflib.get_close_matches(name, pool, n=count, cutoff=0.6)
    inside = [other for other in pool if name and name.lower() in other.lower() and other not in close]
    return (close + inside)[:count]


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """A sentence with the nearest of ``allowed``, to follow another; empty where none is near."""
    near = nearest(name, allowed, count=1)
    return f" Did you mean '{near[0]}'?" if near else ""
