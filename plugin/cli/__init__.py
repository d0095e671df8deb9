"""The command ``mmbackbones``; heavy imports wait inside the commands."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence

import typer

from ..errors import InputError, naming_extras
from .bench import bench_command
from .catalog_commands import info_command, list_command
from .check import check_command
from .config import config_command
from .convert import convert_command
from .data import data_command
from .demo import demo_command
from .doctor import doctor_command
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
    # torch's threads spin while they wait for each other, which on a machine with other work to do
    # made a training step five times slower than sleeping does. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # mmengine imports it
    warnings.filterwarnings("ignore", module=r"mm(engine|cv|det|seg)\.")  # about their own old spellings
    # The same of Python 3.12 and newer while it compiles their files, which it calls by their paths.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module=r".*[/\\]mm(engine|cv|det|seg)[/\\]")
    try:
        with naming_extras():
            app(args=normalise(sys.argv[1:] if argv is None else argv))
    except InputError as error:
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True, soft_wrap=True).print(Text(f"Error: {error}", style="red"))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
