"""Contract points 7 and 9, swept over the whole catalog."""

import io
from collections.abc import Iterable

import pytest
import torch
from cases import LIGHT, SWEEP, blank, built, copied, quick
from mmengine.model import revert_sync_batchnorm
from steps import loss
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmbackbones
from mmbackbones.surgery.norms import FrozenBatchNorm2d


@pytest.mark.parametrize("name", LIGHT)
def test_every_selection_has_its_maps_and_a_gradient_for_every_parameter(name: str) -> None:
    """``make test`` takes two of the strides alone for each family, in turn; ``make sweep`` every one."""
    spec = mmbackbones.get_spec(name)
    whole = quick(name, out_strides=spec.strides).eval()
    whole.load_state_dict(built(name).state_dict(), strict=False)
    weights = whole.state_dict()
    x = torch.randn(2, 3, 64, 64)
    maps = dict(zip(spec.strides, whole(x), strict=True))
    assert missing_gradients(whole, maps.values()) == []
    alone, turn = [(stride,) for stride in spec.strides], LIGHT.index(name)
    if not SWEEP and len(alone) > 2:
        alone = [alone[place % len(alone)] for place in (turn, turn + 2)]
    sizes = {sum(p.numel() for p in whole.parameters())}
    for strides in [*alone, spec.strides[-3::2]]:
        net = blank(name, out_strides=strides).eval()
        net.load_state_dict({key: weights[key] for key in net.state_dict()})
        found = net(x)
        for stride, fmap in zip(strides, found, strict=True):
            torch.testing.assert_close(fmap, maps[stride], rtol=0, atol=1e-5)
        assert missing_gradients(net, found) == []
        sizes.add(sum(p.numel() for p in net.parameters()))
    assert len(sizes) > 1, "a coarser map must need more parameters"
    assert max(sizes) == spec.params


def missing_gradients(net: nn.Module, maps: Iterable[Tensor]) -> list[str]:
    sum((fmap**2).mean() for fmap in maps).backward()
    return [name for name, param in net.named_parameters() if param.requires_grad and param.grad is None]


@pytest.mark.parametrize("name", LIGHT)
def test_norms_are_replaced_under_their_names(name: str) -> None:
    plain = built(name)
    if not any(isinstance(m, _BatchNorm) for m in plain.modules()):
        with pytest.raises(mmbackbones.InputError, match="no batch norm"):
            quick(name, norm_cfg={"type": "FrozenBN"})
        pytest.skip("refused: the net has no batch norm")
    x = torch.randn(1, 3, 64, 64)
    for kind in ("SyncBN", "GN", "FrozenBN"):
        options = {"num_groups": 1} if kind == "GN" else {}
        net = blank(name, norm_cfg={"type": kind, **options})
        assert not any(type(m) in (nn.BatchNorm2d,) for m in net.modules())
        assert set(net.state_dict()) <= set(plain.state_dict())
        loss(net, torch.zeros(2, 3, 64, 64)).backward()
        assert [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None] == []
        if kind != "GN":
            net.load_state_dict(plain.state_dict(), strict=kind == "SyncBN")
            with torch.no_grad():
                for ours, theirs in zip(net.eval()(x), plain(x), strict=True):
                    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("name", LIGHT)
def test_a_file_of_the_state_dict_gives_the_same_maps(name: str) -> None:
    file = io.BytesIO()
    torch.save(built(name).state_dict(), file)
    file.seek(0)
    net = blank(name).eval()
    net.load_state_dict(torch.load(file, weights_only=True), strict=True)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(net(x), built(name)(x), strict=True):
            assert torch.equal(ours, theirs)


def test_sync_bn_on_one_process_works_as_bn() -> None:
    bn, sync = (mmbackbones.build("resnet18", norm_cfg={"type": t}).train() for t in ("BN", "SyncBN"))
    sync.load_state_dict(bn.state_dict())
    x = torch.randn(4, 3, 64, 64)
    for ours, theirs in zip(sync(x), bn(x), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(sync.bn1.running_var, bn.bn1.running_var)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_035"])
def test_reverting_sync_bn_changes_no_value(name: str) -> None:
    """``mmdet.apis.init_detector`` and mmseg's inferencer do; timm's norms hold the activation."""
    net = mmbackbones.build(name, norm_cfg={"type": "SyncBN"}).eval()
    x = torch.randn(1, 3, 64, 64)
    expected = net(x)
    for ours, before in zip(revert_sync_batchnorm(net)(x), expected, strict=True):
        torch.testing.assert_close(ours, before)


def test_norm_options_reach_the_layers() -> None:
    net = mmbackbones.build(
        "resnet18", norm_cfg={"type": "BN", "momentum": 0.03, "eps": 1e-3, "requires_grad": False}
    )
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    assert {(m.momentum, m.eps, m.weight.requires_grad) for m in norms} == {(0.03, 1e-3, False)}
    assert net.conv1.weight.requires_grad
    frozen = mmbackbones.build("resnet18", norm_cfg={"type": "FrozenBN"})
    assert sum(isinstance(m, FrozenBatchNorm2d) for m in frozen.modules()) == len(norms)


@pytest.mark.parametrize("name", LIGHT)
def test_checkpointing_changes_no_value(name: str) -> None:
    """Outputs, gradients and batch statistics stay; far fewer activations are kept."""
    plain = copied(name)
    cheap = blank(name, with_cp=True)
    cheap.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    kept = []
    for net in (plain, cheap):
        net.train()
        counter = _Kept()
        torch.manual_seed(1)  # stochastic depth draws the same in both
        with counter:
            value = loss(net, x)
        value.backward()
        kept.append(counter.bytes)
    for (key, ours), theirs in zip(cheap.named_parameters(), plain.parameters(), strict=True):
        scale = float(theirs.grad.abs().max())
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5 * max(1.0, scale), msg=key)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(cheap.state_dict()[key], value, rtol=1e-5, atol=1e-6, msg=key)
    if len(plain.out_strides) > 1:  # LeNet's two layers have nothing between them to forget
        assert kept[1] < 0.7 * kept[0], kept


class _Kept(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes of distinct tensors that autograd keeps for the backward pass."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.held: list[torch.Tensor] = []
        super().__init__(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        self.held.append(tensor)  # keeps the address from being used again
        self.seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    @property
    def bytes(self) -> int:
        return sum(self.seen.values())


@pytest.mark.parametrize("name", LIGHT)
def test_bf16_autocast_and_channels_last_are_finite(name: str) -> None:
    net = copied(name).to(memory_format=torch.channels_last).train()
    x = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(net, x)
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_hrnet_branches_that_are_not_asked_for_do_not_train() -> None:
    """What is computed but reaches no asked map cannot be cut; it must not count as trainable."""
    net = mmbackbones.build("timm:hrnet_w18_small", out_strides=(4,))
    loss(net, torch.randn(2, 3, 64, 64)).backward()
    assert [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_net_built_without_autograd_trains_all_the_same(mode) -> None:
    with mode():
        net = mmbackbones.build("mobilenetv3_small_050", frozen_stages=0, out_strides=(8,))
    plain = mmbackbones.build("mobilenetv3_small_050", frozen_stages=0, out_strides=(8,))
    trains = [name for name, param in plain.named_parameters() if param.requires_grad]
    assert [name for name, param in net.named_parameters() if param.requires_grad] == trains
    assert net.state_dict().keys() == plain.state_dict().keys()


def test_what_is_called_behind_the_last_map_is_taken_out() -> None:
    net = mmbackbones.build("ghostnet_100")
    assert sum(p.numel() for p in net.parameters()) == mmbackbones.get_spec("ghostnet_100").params
    hrnet = mmbackbones.build("timm:hrnet_w18_small", out_strides=(4,)).eval()
    assert hrnet(torch.randn(1, 3, 64, 64))[0].shape == (1, 128, 16, 16)


@pytest.mark.parametrize("name", ["timm:resnet10t", "mobilenetv3_small_050", "shufflenet_v2_x0_5"])
def test_checkpointing_changes_no_value_in_mixed_precision(name: str) -> None:
    """What is computed again in the backward pass is computed in the same precision."""
    plain, cheap = quick(name).train(), blank(name, with_cp=True).train()
    cheap.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for net in (plain, cheap):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(net, x)
        value.backward()
    for (key, ours), theirs in zip(cheap.named_parameters(), plain.parameters(), strict=True):
        assert theirs.grad.isfinite().all()
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=key)
