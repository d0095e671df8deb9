"""Follows ``mmbackbones.build(name)`` through the files of the package, and counts the climbs.

    python docs/corridor.py resnet50 vit_tiny_patch16_224

A reader of the code is imitated. He follows each call that a file of the package makes to a function of the
package when he meets it first, and goes back to the caller when it returns. Every call into another file is a
stay in that file. It is a climb if it leads from a later room (``docs/rooms.py`` has their order) into an
earlier one that he had left: he had been in it, stands in it no longer, and has opened a room since in which
none of the callers is that he stands below now. Calls that torch, timm or mmengine make (hooks, ``forward``)
are not followed.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

import mmbackbones
from mmbackbones import backbone

ROOMS: tuple[str, ...] = runpy.run_path(str(Path(__file__).with_name("rooms.py")))["ORDER"]
HOME = Path(mmbackbones.__file__).parent


@dataclass(frozen=True)
class Stay:
    """A call into another file: both files by their paths in the package, and whether the call is a climb."""

    caller: str
    file: str
    function: str
    climb: bool


class Reader:
    """Watches calls by ``sys.setprofile``."""

    def __init__(self) -> None:
        self.stays: list[Stay] = []
        self._files: dict[str, str] = {}
        self._met: set[CodeType] = set()
        self._followed: set[int] = set()  # frames
        self._path: list[str] = []  # rooms in the order in which he was in them

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """See ``sys.setprofile``."""
        if event not in ("call", "return") or not self._file(frame):
            return
        back = frame.f_back
        if event == "return":
            if id(frame) in self._followed and back is not None:
                self._followed.remove(id(frame))
                self._path.append(_room(self._file(back)))
            return
        if frame.f_code in self._met or not frame.f_code.co_flags & CO_OPTIMIZED:
            return  # the body of a module or a class, which an import runs
        if back is None or not self._file(back) or not back.f_code.co_flags & CO_OPTIMIZED:
            return
        self._met.add(frame.f_code)
        self._followed.add(id(frame))
        self._enter(frame, self._file(back), self._file(frame))

    def _enter(self, frame: FrameType, caller: str, file: str) -> None:
        room = _room(file)
        if caller != file:
            below = {_room(self._file(above)) for above in _callers(frame) if self._file(above)}
            climb = ROOMS.index(room) < ROOMS.index(_room(caller)) and self._left(room, below)
            self.stays.append(Stay(caller, file, frame.f_code.co_name, climb))
        self._path.append(room)

    def _left(self, room: str, below: set[str]) -> bool:
        if room in below or room not in self._path:
            return False
        since = self._path[len(self._path) - self._path[::-1].index(room) :]
        return not below.issuperset(since)

    def _file(self, frame: FrameType) -> str:
        """The frame's file, as ``tracing/trace.py``; '' of another package, and of what is no room."""
        name = frame.f_code.co_filename
        if name not in self._files:
            path = Path(name)
            inside = path.is_absolute() and path.is_relative_to(HOME)
            found = path.relative_to(HOME).as_posix() if inside else ""
            self._files[name] = found if _room(found) in ROOMS else ""
        return self._files[name]


def _room(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


def _callers(frame: FrameType) -> list[FrameType]:
    found = []
    while frame.f_back is not None:
        frame = frame.f_back
        found.append(frame)
    return found


def follow(build: Callable[[], object]) -> list[Stay]:
    """The stays of a reader of what ``build``, which calls the package, does."""
    reader = Reader()
    with torch.device("meta"):  # the values of the weights say nothing here
        sys.setprofile(reader)
        try:
            build()
        finally:
            sys.setprofile(None)
    return reader.stays


if __name__ == "__main__":
    for name in sys.argv[1:] or ["resnet50"]:
        stays = follow(lambda name=name: backbone.Backbone(name))  # type: ignore[misc]
        climbs = [stay for stay in stays if stay.climb]
        files = {stay.file for stay in stays}
        sys.stdout.write(f"{name}: {len(stays)} stays in {len(files)} files, {len(climbs)} climbs\n")
        for stay in stays:
            mark = "^" if stay.climb else " "
            sys.stdout.write(f"  {mark} {stay.caller} -> {stay.file} {stay.function}\n")
