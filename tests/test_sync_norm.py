"""``SyncBN`` of processes on CPUs, and group norms whose groups do not fit."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from warm import in_processes

from mmbackbones.engine.devices import stop_processes
from mmbackbones.errors import InputError
from mmbackbones.surgery.norms import LocalSyncBatchNorm, convert_norms

SIZES = (3, 2)  # images of each process: batches may differ


def batch() -> tuple[Tensor, Tensor]:
    """Images of all processes, and what each value of the output weighs in the loss."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, sum(SIZES), 4, 5, 3, generator=generator).unbind()


def trained(norm: nn.Module, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """What one step of training gives: output, gradients and statistics."""
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, -1.0, 1.5, 2.0]))
        norm.bias.copy_(torch.tensor([0.1, 0.2, -0.3, 0.4]))
    x = x.clone().requires_grad_()
    out = norm.train()(x)
    (out.square() * weights).sum().backward()
    found = {"out": out.detach(), "x": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
    return found | dict(norm.named_buffers())


def process(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=len(SIZES))
    x, weights = (whole.split(SIZES)[rank] for whole in batch())
    torch.save(trained(LocalSyncBatchNorm(4), x, weights), folder / f"{rank}.pth")
    stop_processes()


def test_two_processes_on_cpus_do_what_one_does_with_both_batches(tmp_path: Path) -> None:
    in_processes(process, tmp_path, count=len(SIZES))
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    joint = trained(nn.BatchNorm2d(4), *batch())
    for key in ("out", "x"):
        torch.testing.assert_close(torch.cat([first[key], second[key]]), joint[key])
    for key in ("weight", "bias"):  # what data parallelism adds up
        torch.testing.assert_close(first[key] + second[key], joint[key])
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(first[key], joint[key])
        assert torch.equal(first[key], second[key])


def test_the_suggested_number_of_groups_fits_all_layers() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.BatchNorm2d(24), nn.BatchNorm2d(36), nn.BatchNorm2d(64))

    refused = net()
    with pytest.raises(InputError, match=r"cut 24, 36 channels into num_groups=32.*write num_groups=4\."):
        convert_norms(refused, {"type": "GN"}, "it")
    assert all(type(norm) is nn.BatchNorm2d for norm in refused)
    convert_norms(net(), {"type": "GN", "num_groups": 4}, "it")
    with pytest.raises(InputError, match="num_groups=0"):
        convert_norms(net(), {"type": "GN", "num_groups": 0}, "it")


def test_mmcvs_synchronised_norm_is_built_without_a_group(tmp_path: Path) -> None:
    """In one process, as of a config for several: mmcv's asks for the number of processes."""
    from mmbackbones.compose.configs import load_config
    from mmbackbones.engine.devices import start_processes
    from mmbackbones.engine.runner import build_runner

    cfg = load_config("detection/faster-rcnn_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160")
    kept = {key: cfg.model.neck[key] for key in ("in_channels", "out_channels", "num_outs")}
    norm = dict(type="MMSyncBN", requires_grad=True)
    cfg.model.neck = dict(type="mmdet.FPN", norm_cfg=norm, **kept)  # ours takes torch's kinds alone
    cfg.work_dir = str(tmp_path)
    assert start_processes(cfg, "none", "cpu") == 1
    norms = [part for part in build_runner(cfg).network.neck.modules() if isinstance(part, _BatchNorm)]
    assert norms
    assert not any(isinstance(part, nn.SyncBatchNorm) for part in norms)
    assert cfg.model.neck.norm_cfg.type == "SyncBN", "several processes that train it later share statistics"
