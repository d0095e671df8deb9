"""What has to stand first in a program that relies on our entry point of ``torch.backends``."""

import torch
from packaging.version import Version

#: torch calls it from 2.5 on; before, a program has to import us by itself (docs/versions.md).
FIRST = "" if Version(torch.__version__) >= Version("2.5") else "import mmbackbones\n"
