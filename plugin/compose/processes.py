"""What processes of one training tell each other on the CPU: no GPU waits, and a long wait ends nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

#: Reading a large data set takes longer than the ten minutes after which NCCL ends a process that waits.
PATIENCE = timedelta(days=7)


def cpu_group() -> Any:
    """A group of all processes that talks by the CPU, by torch's gloo; all have to call this at once.

    A process that dies takes its connections along, so that the others do not wait for it.
    """
    import torch.distributed

    return torch.distributed.new_group(backend="gloo", timeout=PATIENCE)


@contextmanager
def first_alone() -> Iterator[bool]:
    """Let the first process do something before the others do; gives whether this one is the first."""
    from mmengine import dist  # which imports torch

    first = dist.is_main_process()
    if dist.get_world_size() == 1:
        yield first
        return
    group = cpu_group()
    if not first:
        dist.barrier(group)
    try:
        yield first
    finally:
        if first:
            dist.barrier(group)


class Agreement:
    """The largest number that any process has, known to all of them one question later.

    The numbers travel while the next step runs, so that nobody waits, and all processes get the same answer
    to the same question.
    """

    def __init__(self, processes: int) -> None:
        self._group = cpu_group() if processes > 1 else None
        self._sent: Any = None

    def __call__(self, number: int) -> int:
        """The largest number of the question before, at first 0; of a single process its own of now."""
        import torch.distributed

        if self._group is None:
            return number
        known = 0
        if self._sent is not None:
            work, tensor = self._sent
            work.wait()
            known = int(tensor)
        tensor = torch.tensor(number)
        op = torch.distributed.ReduceOp.MAX
        self._sent = torch.distributed.all_reduce(tensor, op, self._group, async_op=True), tensor
        return known
