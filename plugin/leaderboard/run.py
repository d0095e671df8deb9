"""From a spec to its board: what the command calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..catalog.inputs import asked_weights
from ..compose.configs import resolved as resolved_config
from ..feature_nets.specs import get_spec
from .jobs import Executor, LocalExecutor
from .loop import Say, run_board
from .plan import Run
from .provenance import provenance
from .records import Record, write_atomically
from .resolve import Resolved
from .spec import METRICS, BoardSpec

CONFIG = "config.py"


@dataclass(frozen=True)
class Trainings:
    """The runs of a spec, as the loop wants them."""

    spec: BoardSpec
    resolved: Resolved

    def describe(self, run: Run) -> Record:
        """What is known of a run before it starts; it has failed unless more is learned."""
        spec = self.spec
        cfg = self.resolved.configs[run.backbone, run.trial]
        backbone = cfg.model.backbone
        weights = asked_weights(get_spec(run.backbone), backbone)
        return Record(
            key=run.key,
            spec=self.resolved.spec,
            data=self.resolved.data,
            backbone=run.backbone,
            trial=run.trial,
            seed=run.seed,
            rung=run.rung,
            state="failed",
            task=spec.task,
            model=spec.model,
            epochs=spec.epochs,
            batch_size=spec.batch_size,
            image_size=spec.image_size,
            metric_name=METRICS[spec.task],
            precision=spec.amp or "fp32",
            weights=provenance(weights),
            forecast={} if spec.max_latency is None else {"max_latency_ms": spec.max_latency},
        )

    def prepare(self, run: Run, folder: Path) -> None:
        """Write the config of a run into its folder: plain values, which ``mmbackbones train`` takes."""
        from mmengine.config import Config

        cfg = self.resolved.config(run.backbone, run.trial, run.seed)
        text = Config(resolved_config(cfg)).pretty_text
        write_atomically(folder / CONFIG, text)

    def executor(self) -> LocalExecutor:
        """Processes of this machine."""
        device = ["--device", self.spec.device] if self.spec.device else []
        onnx = ["--onnx"] if self.spec.onnx else []
        return LocalExecutor(["--task", self.spec.task, *device, *onnx], self.spec.run_minutes)


def run_spec(
    trainings: Trainings,
    folder: Path,
    *,
    executor: Executor | None = None,
    say: Say = lambda run, record: None,
    only: Callable[[Run], bool] = lambda run: True,
) -> None:
    """Run all that is left of a board, or ``only`` a part; the caller holds the folder."""
    run_board(
        trainings.resolved.board,
        folder,
        executor or trainings.executor(),
        trainings.describe,
        prepare=trainings.prepare,
        say=say,
        only=only,
    )
