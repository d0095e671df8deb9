"""Gradual unfreezing in trainings of another length: each phase has its time, or is said to have none."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.config import Config

from .configs import kind
from .warmup import total_steps


def stretch_marks(marks: Sequence[int], ratio: float) -> list[int]:
    """Marks in time, multiplied by ``ratio``; none before 1, no two at once."""
    moved: list[int] = []
    for mark in marks:
        moved.append(max(moved[-1] + 1 if moved else 1, round(mark * ratio)))
    return moved


def keep_phases(cfg: Config, steps: int) -> list[str]:
    """Move the marks of each UnfreezeHook before the end of the training, one apart, with one left after.

    Where there are more phases than epochs, the first ones are left out, as the later ones thaw more.

    Args:
        cfg: changed in place.
        steps: iterations in an epoch.

    Returns:
        What each hook does now, where that is not what it did.
    """
    notes = []
    for hook in cfg.get("custom_hooks") or []:
        if kind(hook) != "UnfreezeHook":
            continue
        by_epoch = hook.get("by_epoch", True)
        total = cfg.train_cfg.get("max_epochs", 0) if by_epoch else total_steps(cfg, steps)
        phases = sorted(hook["schedule"].items())
        kept = phases[-(total - 1) :] if total > 1 else []
        moved = {min(mark, total - len(kept) + k): stages for k, (mark, stages) in enumerate(kept)}
        unit = "epochs" if by_epoch else "iterations"
        if len(kept) < len(phases):
            stages = ", ".join(f"frozen_stages={stages}" for _, stages in phases[: len(phases) - len(kept)])
            notes.append(
                f"Warning: {total} {unit} are too few for the {len(phases)} phases of UnfreezeHook: "
                f"{stages} is left out; train for {len(phases) + 1} or more"
            )
        if moved and moved != dict(phases):
            hook["schedule"] = moved
            notes.append(f"unfreezing after {unit} {moved} instead of {dict(phases)}")
    return notes
