"""Errors of torch inside a model whose cause and cure are known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import InputError

#: How torch refuses a view of a map that is laid out in channels_last.
REFUSED = "view size is not compatible"
VIEWS = (
    "A module of the model reads maps by view(), and takes them only in the order that torch calls contiguous"
)
_LARGER = "Give larger ones, as --img-scale 640x640"
#: Part of torch's error: what it means, and what to do.
_KNOWN = {
    REFUSED: f"{VIEWS}: add --cfg-options model.backbone.memory_format=contiguous, or "
    "memory_format='contiguous' to the backbone's dict.",
    "Kernel size can't be greater than actual input size": "The images are too small for the model: a map is "
    f"smaller than the kernel of a convolution. {_LARGER}.",
    "selected index k out of range": "The images are too small for the model, which chooses more places than "
    f"its maps have cells, as DINO for its queries. {_LARGER}, or have fewer chosen (num_queries of a DETR).",
}


@contextmanager
def errors_explained() -> Iterator[None]:
    """Say of an error that a model's forward or backward pass ends with what to do, where that is known.

    Raises:
        InputError: in place of torch's.
    """
    try:
        yield
    except RuntimeError as error:
        for part, meaning in _KNOWN.items():
            if part in str(error):
                raise InputError(f"{meaning} torch says: {error}") from error
        raise
