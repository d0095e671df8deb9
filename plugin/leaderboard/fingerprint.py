"""What data a run saw: a hash of all files of a folder, by their names inside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..data.dataset import write_cache


def fingerprint(root: Path, cache: Path) -> str:
    """16 hex digits; the same for a copy of the folder elsewhere, another if a byte of it changed.

    Args:
        root: the folder of the data.
        cache: a file that keeps each file's hash with its size and time, so that it is read once.
    """
    known: dict[str, list[object]] = {}
    if cache.is_file():
        known = json.loads(cache.read_text(encoding="utf-8"))
    found: dict[str, list[object]] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name, facts = path.relative_to(root).as_posix(), path.stat()
        state: list[object] = [facts.st_size, facts.st_mtime_ns]
        old = known.get(name)
        found[name] = old if old and old[:2] == state else [*state, hash_of(path)]
    if found != known:
        write_cache(cache, found)
    content = "\n".join(f"{name} {one[2]}" for name, one in found.items())
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def hash_of(path: Path) -> str:
    """Of what is in a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
