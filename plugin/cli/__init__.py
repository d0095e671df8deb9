"""The command ``mmbackbones``; heavy imports wait inside the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer

from .bench import bench_command
from .catalog_commands import info_command, list_command
from .check import check_command
from .config import config_command
from .convert import convert_command
from .data import data_command
from .demo import demo_command
from .doctor import doctor_command
from .ending import ending
from .evaluate import evaluate_command
from .export import export_command
from .freeze_report import freeze_report_command
from .leaderboard import leaderboard_command
from .options import NamesBadValues, normalise
from .predict import predict_command
from .recommend import recommend_command
from .swap import swap_command
from .train import train_command

app = typer.Typer(
    name="mmbackbones",
    help="Every vision backbone in mmdet and mmseg configs: train, test, predict, and look them up.",
    epilog="Start with: mmbackbones demo --work-dir demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "train": train_command,
    "test": evaluate_command,
    "predict": predict_command,
    "data": data_command,
    "demo": demo_command,
    "config": config_command,
    "swap": swap_command,
    "list": list_command,
    "info": info_command,
    "recommend": recommend_command,
    "check": check_command,
    "export": export_command,
    "convert": convert_command,
    "freeze-report": freeze_report_command,
    "leaderboard": leaderboard_command,
    "bench": bench_command,
    "doctor": doctor_command,
}
for _name, _command in COMMANDS.items():
    app.command(_name, cls=NamesBadValues)(_command)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends with a message and status 2, Ctrl-C with status 130."""
    with ending():
        app(args=normalise(sys.argv[1:] if argv is None else argv))
