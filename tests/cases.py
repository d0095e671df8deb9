"""Which backbones the sweeping tests take: the smallest of each family, or all of them.

``make sweep`` sets MMBACKBONES_SWEEP=1 and takes the whole catalog; it runs for an hour or two.
"""

import os

import mmbackbones


def _names() -> list[str]:
    every = mmbackbones.list_backbones()
    if os.environ.get("MMBACKBONES_SWEEP"):
        return every
    smallest: dict[str, str] = {}
    for name in sorted(every, key=lambda name: mmbackbones.get_spec(name).params):
        smallest.setdefault(mmbackbones.get_spec(name).family, name)
    return sorted(smallest.values())


NAMES = _names()
CONVOLUTIONAL = [name for name in NAMES if mmbackbones.get_spec(name).dilatable]
PLAIN = [name for name in NAMES if len(set(mmbackbones.get_spec(name).channels.values())) == 1]
