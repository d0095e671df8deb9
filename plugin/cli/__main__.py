"""``python -m mmbackbones.cli``, which torchrun can start."""

from . import main

main()
