"""How a backbone comes to its pretrained weights: by ``pretrained``, or by mmengine's ``init_cfg``."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule, initialize
from torch import Tensor

from ..catalog.spec import Spec
from ..errors import InputError
from ..native.attention import attention_paths
from ..sources import FeatureNet
from ..sources.feature_net import PYRAMID_NAME
from ..tracing.trace import Trace
from ..weights.loading import LoadReport, first_layer, load_into, log_report, read_for
from ..weights.openmmlab import Renamed, give_back, rename


class LoadingModule(BaseModule):
    """A module with the children of a feature net, which loads files of its upstream and of OpenMMLab.

    What it reads is set by :class:`mmbackbones.backbone.Backbone`, which is one.
    """

    spec: Spec
    in_channels: int
    load_report: LoadReport | None
    upstream_shapes: dict[str, tuple[int, ...]]
    param_stages: dict[str, int]
    _is_init: bool
    _feature_net: FeatureNet
    _trace: Trace
    _order: tuple[str, ...]
    _arguments: dict[str, Any]

    def init_weights(self) -> None:
        """Load what ``init_cfg`` names; without one the upstream's own initialisation stays."""
        if self._is_init or not self.init_cfg:
            return
        configs = [self.init_cfg] if isinstance(self.init_cfg, dict) else list(self.init_cfg)
        for config in configs:
            if config.get("type") == "Pretrained":
                self._load(config["checkpoint"], config.get("prefix", ""))
            else:
                initialize(self, config)
        self._is_init = True

    def _load(self, checkpoint: str, prefix: str = "") -> None:
        self.load_report = load_into(
            self,
            read_for(self, checkpoint, prefix),
            known=frozenset(self.upstream_shapes),
            classifier=self._feature_net.classifier,
            fresh=self._added,
            first=first_layer(self, self._trace.order),
            in_channels=self.in_channels,
            stages=self.param_stages,
            rename=self.rename,
            refit=self._refit if self.spec.source == "timm" else None,
            what=checkpoint,
        )
        log_report(self.load_report, f"{self.spec.name} from {checkpoint}")

    @property
    def _added(self) -> tuple[str, ...]:
        """Paths of what no upstream's file need have."""
        return (PYRAMID_NAME, *attention_paths(self._feature_net.net))

    def rename(self, state: dict[str, Tensor]) -> Renamed:
        """Weights of another library's class for this network by our names; see ``docs/checkpoints.md``.

        Raises:
            InputError: it is another network.
        """
        added = tuple(f"{path}." for path in self._added)
        here = self.state_dict()
        whole = {name: shape for name, shape in self.upstream_shapes.items() if not name.startswith(added)}
        cut_off = {name: shape for name, shape in whole.items() if name in here}
        first = f"{first_layer(self, self._trace.order)}.weight"
        for shapes in (whole, cut_off):
            out, inside, *rest = shapes[first]
            shapes[first] = (out, inside * 3 // self.in_channels, *rest)
        try:
            return rename(state, whole, self._order, self.spec.name)
        except InputError:
            if cut_off == whole:
                raise
            return rename(state, cut_off, self._order, self.spec.name)

    def named_as(self, template: dict[str, Tensor]) -> dict[str, Tensor]:
        """Our weights by the names of another library's class for this network: :meth:`rename` undone.

        Args:
            template: A state dict of that class; what it has beyond ours stays in it as it is.

        Raises:
            InputError: it is of another network, or maps one way only.
        """
        added = tuple(f"{path}." for path in self._added)
        own = {name: value for name, value in self.state_dict().items() if not name.startswith(added)}
        return give_back(own, template, self._order, self.spec.name)

    def _refit(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        from ..sources.timm import refit

        return refit(self.spec.upstream, self.in_channels, self._arguments, state)
