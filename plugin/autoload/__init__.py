"""What torch calls at the end of ``import torch``, installed beside the package and not in it.

So that nothing wrong with the package, nor another ``mmbackbones`` that lies before it on Python's path, can
keep torch from being imported: torch makes every error of such an entry point its own.
"""

from __future__ import annotations

import warnings


def start() -> None:
    """Offer ``mmcv._ext`` (see :mod:`mmbackbones.ops.finder`); warn where that fails."""
    try:
        from mmbackbones.ops.finder import install

        install()
    except (Exception, SystemExit) as error:  # whatever stands in its place may raise anything
        warnings.warn(
            f"mmbackbones cannot be imported ({type(error).__name__}: {error}), so mmcv-lite goes without "
            f"operators; torch itself is not concerned. `import mmbackbones` shows where it fails; "
            f"`pip install --force-reinstall --no-deps mmbackbones` puts it right.",
            RuntimeWarning,
            stacklevel=2,
        )
