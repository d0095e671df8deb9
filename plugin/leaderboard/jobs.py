"""Where runs run. An executor starts them and is asked how they are; here: processes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .plan import Run
from .records import write_atomically

#: Written whole by a run that came to its end, or knows why it did not.
OUTCOME = "outcome.json"
LOG = "log.txt"
_TAIL = 20  # lines
_PATIENCE = 30.0  # seconds from being asked to stop to being made to


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        cause: Empty if well, else one of :data:`.records.CAUSES`, or ``disk`` where there is no space left.
        message: Of a failure.
        facts: Fields of the record that the run knows.
        until: Epoch or iteration where it pauses, 0 for a probe; None at its end.
    """

    cause: str = ""
    message: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    until: int | None = None

    def answers(self, run: Run) -> bool:
        """Whether this is what ``run`` would come to: it ended well, and not at an earlier pause."""
        behind = self.until is not None and (run.until is None or self.until < run.until)
        return not self.cause and not behind


class Job(Protocol):
    """A run that was started."""

    def poll(self) -> Outcome | None:
        """How it ended; None while it runs. Does not wait."""

    def stop(self) -> None:
        """End it, and return when it has ended; it may leave something to go on from."""


class Executor(Protocol):
    """Starts runs."""

    @property
    def slots(self) -> int:
        """How many run at a time."""

    def start(self, run: Run, folder: Path) -> Job:
        """Start a run, or go on with it, in its folder."""


def wait_for(job: Job, pause: float) -> Outcome:
    """How a run ended, looked at every ``pause`` seconds; it is stopped if the wait is."""
    try:
        while (outcome := job.poll()) is None:
            time.sleep(pause)
    except BaseException:  # also when a cluster cancels the task
        job.stop()
        raise
    return outcome


@dataclass(frozen=True)
class LocalExecutor:
    """One process group per run, and one run at a time, or as many as ``gpus``.

    Runs that share a GPU disturb each other's training times; the latency of the nets is measured alone, at
    the end.

    Attributes:
        words: Options of the worker, as ``--device cpu``.
        minutes: Time-out of a run; None for none.
        command: The worker; it is given the run's folder, ``--parent`` and this process, ``words``, and
            ``--until`` with where it shall pause.
        gpus: One for each run at a time, as ``CUDA_VISIBLE_DEVICES`` has them, a shared one several times;
            empty for what the words say.
    """

    words: Sequence[str] = ()
    minutes: float | None = None
    command: Sequence[str] = (sys.executable, "-m", "mmbackbones.leaderboard.worker")
    gpus: tuple[str, ...] = ()
    _started: list[_LocalJob] = field(default_factory=list, compare=False, repr=False)

    @property
    def slots(self) -> int:
        """Runs at a time."""
        return len(self.gpus) or 1

    def start(self, run: Run, folder: Path) -> Job:
        known = read_outcome(folder)
        if known is not None and known.answers(run):  # who started it could not say so any more
            return _Ended(known)
        (folder / OUTCOME).unlink(missing_ok=True)
        self._started[:] = [job for job in self._started if job.running]
        free = Counter(self.gpus) - Counter(job.gpu for job in self._started)
        job = _LocalJob(run, folder, self, next(iter(free), ""))
        self._started.append(job)
        return job

    def __reduce__(self) -> Any:  # to another machine goes how it runs, not what runs here
        return LocalExecutor, (tuple(self.words), self.minutes, tuple(self.command), self.gpus)


@dataclass(frozen=True)
class _Ended:
    outcome: Outcome

    def poll(self) -> Outcome | None:
        return self.outcome

    def stop(self) -> None:
        return


class _LocalJob:
    """A worker, in a process group of its own, which the system ends when this process dies."""

    def __init__(self, run: Run, folder: Path, how: LocalExecutor, gpu: str = "") -> None:
        self.folder, self.gpu = folder, gpu
        self._minutes = how.minutes
        self._began = time.monotonic()
        until = [] if run.until is None else ["--until", str(run.until)]
        with (folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                [*how.command, str(folder), "--parent", str(os.getpid()), *how.words, *until],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": gpu} if gpu else None,
            )

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self._process.poll() is None

    def poll(self) -> Outcome | None:
        code = self._process.poll()
        if code is None:
            if self._minutes is None or time.monotonic() - self._began < 60 * self._minutes:
                return None
            self.stop()
            return Outcome("timeout", f"It ran for longer than {self._minutes:g} minutes.")
        self._kill()  # what it may have left behind
        known = read_outcome(self.folder)
        if known is not None and (code == 0 or known.cause):
            return known
        return by_code(code)

    def stop(self) -> None:
        self._send(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self._kill()

    def _kill(self) -> None:
        self._send(signal.SIGKILL)
        self._process.wait()

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def by_code(code: int) -> Outcome:
    """What the exit status alone says of a process that could not say more."""
    if code < 0:
        name = signal.Signals(-code).name
        if -code == signal.SIGKILL:
            return Outcome("oom", "It was killed (SIGKILL), as the system does when memory runs out.")
        return Outcome("signal", f"It was ended by {name}.")
    if code > 128:
        return Outcome("signal", f"It was asked to stop by {signal.Signals(code - 128).name}.")
    return Outcome("error", f"It ended with status {code} and said no more.")


def tail(path: Path) -> str:
    """The last lines of a log."""
    if not path.is_file():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:])


def read_outcome(folder: Path) -> Outcome | None:
    """What a run said of its end; None if it has not."""
    path = folder / OUTCOME
    return Outcome(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Say how a run ended, as its last act."""
    write_atomically(folder / OUTCOME, json.dumps(asdict(outcome)))
