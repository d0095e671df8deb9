"""Where one machine ends: executors for GPUs, for a Ray cluster and for Slurm.

What runs is the same everywhere: a worker of :mod:`.jobs` in the folder of the run, which all must see.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, need
from .jobs import Executor, Job, LocalExecutor, Outcome, wait_for
from .plan import Run

EXECUTORS = ("local", "ray", "slurm")
_LOOK, _PATIENCE = 0.2, 40.0  # seconds between two looks; until a task that was asked to stop is made to
_RETRIES = 3  # of a run whose node was lost
_QUEUE = 100  # jobs in Slurm's queue at a time
_DAY = 24 * 60  # minutes: of a job in the queue, where the spec has no `run_minutes`


def choose_executor(
    local: LocalExecutor,
    name: str = "local",
    *,
    folder: Path,
    address: str | None = None,
    gpus: int = 0,
    per_gpu: int = 1,
    slurm: Sequence[str] = (),
) -> Executor:
    """The executor that ``--executor`` names.

    Args:
        local: how a run runs on the machine where it does.
        name: one of :data:`EXECUTORS`.
        folder: of the board.
        address: of a Ray cluster; None starts Ray on this machine.
        gpus: GPUs to use; 0 for the device of the spec, one run a machine.
        per_gpu: runs at a time that share a GPU.
        slurm: options of ``sbatch``, as ``partition=gpu``.

    Raises:
        InputError: an unknown name, an option of another executor, a package or the GPUs are not there, or no
            cluster answers.
    """
    if name not in EXECUTORS:
        raise InputError(f"--executor '{name}' is unknown; use one of {', '.join(EXECUTORS)}.")
    for option, given, of in (("--address", address, "ray"), ("--slurm", slurm, "slurm")):
        if given and name != of:
            raise InputError(f"{option} is for --executor {of}; it is {name}.")
    if per_gpu > 1 and (name != "local" or not gpus):
        raise InputError(f"--per-gpu {per_gpu} is for --executor local with --gpus, as --gpus 1.")
    if name == "ray":
        return RayExecutor(local, address, gpus)
    if name == "slurm":
        return SlurmExecutor(local, folder / "slurm", gpus, _options(slurm))
    return replace(local, gpus=own_gpus(gpus) * per_gpu) if gpus else local


def own_gpus(count: int) -> tuple[str, ...]:
    """The first ``count`` GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Raises:
        InputError: there are not so many.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not 0 < count <= there:
        raise InputError(
            f"--gpus {count}: torch sees {there} CUDA devices. Leave it out to train on the CPU."
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(there)]
    return tuple(names[:count])


def run_here(local: LocalExecutor, run: Run, folder: Path) -> Outcome:
    """Run it on this machine and wait for its end: the task of a cluster."""
    if not folder.is_dir():
        return Outcome(
            "config",
            f"{folder} is not there on {socket.gethostname()}: take a --work-dir that all machines see.",
        )
    return wait_for(local.start(run, folder), _LOOK)


@dataclass
class RayExecutor:
    """Each run is a task of Ray Core. One whose node is lost starts on another, from its last checkpoint.

    Attributes:
        local: How a run runs on its node.
        address: Of the cluster; None starts one on this machine.
        gpus: Runs at a time, one GPU each; 0 for one run a node, with all its processors.
    """

    local: LocalExecutor
    address: str | None = None
    gpus: int = 0
    _task: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        need("ray")
        import ray

        if not ray.is_initialized():
            try:
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"--address {self.address}: no Ray cluster answers there ({error}). Start one with "
                    f"`ray start --head`, or leave --address out."
                ) from error
        self._task = ray.remote(max_retries=_RETRIES, scheduling_strategy="SPREAD")(run_here)

    @property
    def slots(self) -> int:
        """GPUs, or the nodes that live now."""
        return self.gpus or max(1, len(self._nodes()))

    def _nodes(self) -> list[Mapping[str, float]]:
        import ray

        return [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def start(self, run: Run, folder: Path) -> Job:
        cores = min((node.get("CPU", 1) for node in self._nodes()), default=1)  # so that no two share a node
        needs = {"num_cpus": 1, "num_gpus": 1} if self.gpus else {"num_cpus": cores}
        return _RayJob(self._task.options(**needs).remote(self.local, run, folder.absolute()))


@dataclass(frozen=True)
class _RayJob:
    reference: Any

    def poll(self) -> Outcome | None:
        import ray

        if not ray.wait([self.reference], timeout=0)[0]:
            return None
        try:
            outcome: Outcome = ray.get(self.reference)
            return outcome
        except ray.exceptions.RayError as error:
            return Outcome("signal", f"Ray lost it: {error}")

    def stop(self) -> None:
        import ray

        ray.cancel(self.reference)
        if not ray.wait([self.reference], timeout=_PATIENCE)[0]:
            ray.cancel(self.reference, force=True)


@dataclass
class SlurmExecutor:
    """Each run is a job of Slurm, by submitit; a preempted one goes back into the queue and goes on.

    Attributes:
        local: How a run runs on its node.
        folder: For submitit's scripts and logs.
        gpus: Runs at a time, one GPU each; 0 for jobs without a GPU, as many as are waiting.
        options: Of ``sbatch``.
        cluster: ``slurm``; submitit's ``local`` runs them as processes of this machine.
    """

    local: LocalExecutor
    folder: Path
    gpus: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    cluster: str = "slurm"

    def __post_init__(self) -> None:
        need("submitit")

    @property
    def slots(self) -> int:
        """Jobs in the queue at a time."""
        return self.gpus or _QUEUE

    def start(self, run: Run, folder: Path) -> Job:
        submitit = _submitit()
        try:
            executor = submitit.AutoExecutor(folder=self.folder.absolute(), cluster=self.cluster)
        except RuntimeError as error:  # no `srun`
            raise InputError(
                f"--executor slurm: {error}. Run it on a machine from which `sbatch` works."
            ) from error
        executor.update_parameters(
            name=f"mmbackbones-{run.key}",
            timeout_min=int((self.local.minutes or _DAY) + 10),  # the worker's own time-out comes first
            **({"gpus_per_node": 1} if self.gpus else {}),
            **{f"slurm_{name}": value for name, value in self.options.items()},
        )
        return _SlurmJob(executor.submit(SlurmTask(self.local, run, folder.absolute())))


@dataclass(frozen=True)
class SlurmTask:
    local: LocalExecutor
    run: Run
    folder: Path

    def __call__(self) -> Outcome:
        return run_here(self.local, self.run, self.folder)

    def checkpoint(self) -> Any:
        """What submitit puts into the queue when the job is preempted: the same, which goes on."""
        return _submitit().helpers.DelayedSubmission(self)


@dataclass(frozen=True)
class _SlurmJob:
    job: Any

    def poll(self) -> Outcome | None:
        if not self.job.done():
            return None
        error = self.job.exception()
        return self.job.result() if error is None else Outcome("signal", f"Slurm lost it: {error}")

    def stop(self) -> None:
        self.job.cancel()
        end = time.monotonic() + _PATIENCE
        while not self.job.done() and time.monotonic() < end:
            time.sleep(_LOOK)


def _submitit() -> Any:
    """The package, which on import would set up all logging and so close the files of every other logger."""
    name = "SUBMITIT_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ[name] = "NOCONFIG"  # submitit's own word for: leave it
    try:
        import submitit
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
    return submitit


def _options(words: Sequence[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    for name, sign, value in pairs:
        if not (name and sign and value):
            raise InputError(f"--slurm '{name}{sign}{value}': write KEY=VALUE, as partition=gpu.")
    return {name: value for name, _, value in pairs}
