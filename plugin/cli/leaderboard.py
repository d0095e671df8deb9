"""``mmbackbones leaderboard``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .console import new_console, reading, shortest
from .leaderboard_demo import DEMO, write_demo
from .leaderboard_progress import forecast, told
from .leaderboard_results import Fresh, write_again, write_results

if TYPE_CHECKING:
    from rich.table import Table

    from ..leaderboard.plan import Board
    from ..leaderboard.records import Record


def leaderboard_command(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC",
            help="YAML of what to compare; or demo, on generated images; or the folder of a board, to write "
            "its page and tables again.",
        ),
    ],
    work_dir: Annotated[
        Path | None, typer.Option(help="Folder of the board; default: leaderboards/<spec>.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, and run nothing; with --probe, the probes.")
    ] = False,
    probe: Annotated[
        bool | None,
        typer.Option(
            help="Before the start try each net on its largest batches: time and memory are forecast, and "
            "what cannot fit is refused. Default: on, but for demo and --dry-run.",
            show_default=False,
        ),
    ] = None,
    halving: Annotated[
        bool,
        typer.Option(
            "--halving", help="At 1/3 and 2/3 of the schedule the worse half of the nets pauses for good."
        ),
    ] = False,
    executor: Annotated[
        str, typer.Option(help="Where runs run: local, ray or slurm; all must see the folder and the data.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, as auto or ray://host:10001; without, Ray starts here.")
    ] = None,
    gpus: Annotated[
        int, typer.Option(min=0, help="GPUs to use, a run at a time on each; 0 for one run a machine.")
    ] = 0,
    per_gpu: Annotated[
        int,
        typer.Option(
            min=1, help="Runs at a time that share a GPU; training times are then those of sharing."
        ),
    ] = 1,
    slurm: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of sbatch, as partition=gpu; may be repeated."),
    ] = None,
    retry: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CAUSE", help="Run again what failed for oom, nan, timeout ...; may be repeated."
        ),
    ] = None,
) -> None:
    """Train many backbones alike on your data, and say which are best, which tie, and which is cheapest.

    Example: mmbackbones leaderboard board.yaml --work-dir board

    Stopped or killed, the same command goes on; no run that has ended is repeated.
    """
    from ..leaderboard.executors import choose_executor
    from ..leaderboard.latency import time_nets
    from ..leaderboard.lock import hold
    from ..leaderboard.loop import retry as allow_again
    from ..leaderboard.records import read_records
    from ..leaderboard.resolve import resolve, with_halving, with_probes
    from ..leaderboard.run import Trainings, run_spec
    from ..leaderboard.spec import read_spec
    from ..leaderboard.standings import results_of

    console = new_console()
    if spec != DEMO and Path(spec).is_dir():
        others = (work_dir, dry_run, retry, halving, gpus, per_gpu > 1, slurm, address, executor != "local")
        if any(others) or probe is not None:
            raise InputError(f"{spec} is a folder, whose page is written again: other options want the spec.")
        write_again(console, Path(spec))
        return
    folder = (work_dir or Path("leaderboards") / Path(spec).stem).expanduser().absolute()
    path = write_demo(folder) if spec == DEMO else Path(spec)
    read = read_spec(path)
    with hold(folder):
        with reading(console) as progress:
            found = resolve(read, folder, progress)
        found = with_halving(found) if halving else found
        if probe is False and read.max_latency is not None:
            raise InputError(
                f"{path}: the probes measure limits.max_latency: leave --no-probe out, or the limit."
            )
        probe = spec != DEMO and not dry_run if probe is None else probe
        found = with_probes(found) if probe else found
        for note in found.notes:
            console.print(f"  {note}", highlight=False, markup=False, soft_wrap=True)
        if read.left_out:
            console.print(f"  left out of globs: {', '.join(read.left_out)}", soft_wrap=True, highlight=False)
        board, trainings = found.board, Trainings(read, found)
        allow_again(board, folder, retry or [])
        chosen = choose_executor(
            trainings.executor(),
            executor,
            folder=folder,
            address=address,
            gpus=gpus,
            per_gpu=per_gpu,
            slurm=slurm or [],
        )
        if dry_run and probe:
            with told(console, board, folder, found.configs, chosen.slots) as say:
                run_spec(trainings, folder, executor=chosen, say=say, only=lambda run: run.until == 0)
        if dry_run:
            console.print(plan_table(board, read_records(folder)))
            return
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with told(console, board, folder, found.configs, chosen.slots) as say:
                run_spec(trainings, folder, executor=chosen, say=Fresh(say, board, folder))
            if unmeasured := time_nets(board, folder, chosen):
                console.print(unmeasured, style="yellow", soft_wrap=True, highlight=False)
        except KeyboardInterrupt:
            options = {"--executor": executor != "local" and executor, "--address": address, "--gpus": gpus}
            options["--per-gpu"] = per_gpu > 1 and per_gpu
            words = [f" {name} {value}" for name, value in options.items() if value]
            words += [f" --slurm {word}" for word in slurm or []] + [" --halving"] * halving
            again = f"mmbackbones leaderboard {spec} --work-dir {shortest(folder)}{''.join(words)}"
            console.print(f"Stopped. Go on with: {again}", soft_wrap=True, highlight=False)
            raise typer.Exit(130) from None
        finally:
            signal.signal(signal.SIGTERM, before)
        results = results_of(board, read_records(folder), folder, str(shortest(folder)))
        write_results(console, results)
    if failed := results.failed:
        causes = sorted({record.cause for record in failed})
        again = "".join(f" --retry {cause}" for cause in causes)
        count = f"{len(failed)} run{'s' * (len(failed) > 1)}"
        text = f"{count} failed ({', '.join(causes)}); run them again with{again}."
        console.print(text, style="red", soft_wrap=True, highlight=False)
        raise typer.Exit(1)


def plan_table(board: Board, records: dict[str, Record]) -> Table:
    """Each run that has ended or can start now; of those that wait for the best trial one row a net."""
    from rich.table import Table

    from ..leaderboard.outlook import planned
    from ..leaderboard.plan import best_trial, next_runs, refused

    count = planned(board, {key: records[key] for key in board.keys.values() if key in records})
    title = f"{count} runs" if not any(board.rungs) else f"{count} runs to the end, others pause"
    table = Table("backbone", "trial", "seed", "state", "forecast", "key", title=title)
    slow = {one.backbone for one in refused(board, records)}
    ready = {run.key for run in next_runs(board, records)}
    for (backbone, trial, seed), key in board.keys.items():
        record = records.get(key)
        if record is not None or key in ready:
            state = "next" if key in ready or record is None else f"{record.state} {record.cause}".rstrip()
            state = "too slow" if backbone in slow and state == "paused" else state
            first = records.get(board.keys[backbone, trial, board.seeds[0]])  # of any seed
            table.add_row(backbone, trial, str(seed), state, forecast(first) if first else "", key)
    for backbone in board.backbones:
        ended = all(board.keys[backbone, trial, board.seeds[0]] in records for trial in board.trials)
        seeds = board.seeds_of(backbone)[1:]
        if seeds and not ended and best_trial(board, backbone, records) is None:
            table.add_row(backbone, "the best", ", ".join(map(str, seeds)), "later", "", "")
    return table
