"""Contract points 6, 7 and 9, swept over the whole catalog."""

import copy

import pytest
import torch
from cases import NAMES
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmbackbones
from mmbackbones.norms import FrozenBatchNorm2d
from mmbackbones.stages import stage_of_params

#: One of each way that a net is put together, for what costs seconds.
KINDS = ["resnet18", "mobilenetv3_small_100", "shufflenet_v2_x1_0", "vgg16_bn", "swin_tiny", "convnext_tiny"]


def step(net: nn.Module, size: int = 64) -> None:
    """One optimiser step in which all maps take part."""
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    loss(net, torch.randn(2, 3, size, size)).backward()
    optimiser.step()


def wake(net: nn.Module) -> None:
    """Random affine parameters: fresh nets start with zeros that stop gradients (a block's last norm)."""
    with torch.no_grad():
        for param in net.parameters():
            if param.ndim == 1:
                param.uniform_(0.5, 1.5)


def loss(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return sum((fmap.float() ** 2).mean() for fmap in net(x))


@pytest.mark.parametrize("name", NAMES)
def test_every_trainable_parameter_has_a_gradient_for_every_selection(name: str) -> None:
    spec = mmbackbones.get_spec(name)
    total = set()
    for strides in [(s,) for s in spec.strides if s >= 4][:-1] + [spec.strides[-3::2], spec.strides]:
        net = mmbackbones.build(name, out_strides=strides)
        loss(net, torch.randn(2, 3, 64, 64)).backward()
        without = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
        assert without == []
        total.add(sum(p.numel() for p in net.parameters()))
    assert len(total) > 1, "a coarser map must need more parameters"
    assert max(total) == spec.params


@pytest.mark.parametrize("name", NAMES)
def test_frozen_stages_stay_and_the_rest_trains(name: str) -> None:
    for frozen_stages in (0, 2, 4):
        net = mmbackbones.build(name, frozen_stages=frozen_stages)
        assert net.train() is net
        assert net.eval() is net
        net.train()
        wake(net)
        frozen = {n for n, p in net.named_parameters() if not p.requires_grad}
        before = copy.deepcopy(net.state_dict())
        if len(frozen) < len(list(net.parameters())):
            step(net)
        else:
            assert frozen_stages == 4 or len(net.out_strides) < 4
            net(torch.randn(2, 3, 64, 64))
        for key, value in net.state_dict().items():
            owner = key.rpartition(".")[0]
            still = key in frozen or any(f.rpartition(".")[0] == owner for f in frozen)
            if still:
                assert torch.equal(value, before[key]), f"{key} is frozen and changed"
            elif value.is_floating_point() and "running" not in key:
                assert not torch.equal(value, before[key]), f"{key} is not frozen and stayed"


def _prefixes(name: str, **kwargs: object) -> set[str]:
    net = mmbackbones.build(name, **kwargs)
    return {n.rpartition(".")[0] for n, p in net.named_parameters() if not p.requires_grad}


def test_frozen_stages_mean_what_mmdets_resnet_means() -> None:
    assert _prefixes("resnet18", frozen_stages=-1) == set()
    assert _prefixes("resnet18", frozen_stages=0) == {"conv1", "bn1"}
    for k in (1, 2, 3, 4):
        tops = {p.split(".")[0] for p in _prefixes("resnet18", frozen_stages=k)}
        assert tops == {"conv1", "bn1", *(f"layer{i}" for i in range(1, k + 1))}


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("mobilenetv3_small_100", {"conv_stem", "bn1"}),
        ("densenet121", {"features.conv0", "features.norm0"}),
        ("vgg16_bn", {"features.0", "features.1"}),
        ("swin_tiny", {"patch_embed.proj", "patch_embed.norm"}),
        ("convnext_tiny", {"stem.0", "stem.1"}),
        ("shufflenet_v2_x1_0", {"conv1.0", "conv1.1"}),
        ("regnety_040", {"stem.conv", "stem.bn"}),
        ("timm:vit_tiny_patch16_224", {"patch_embed.proj", ""}),  # "": cls_token and pos_embed
        ("timm:vit_small_patch14_reg4_dinov2", {"patch_embed.proj", ""}),
    ],
)
def test_the_stem_is_the_first_layer_with_its_norm(name: str, stem: set[str]) -> None:
    assert _prefixes(name, frozen_stages=0) == stem


def test_stages_of_a_plain_vit_are_its_blocks_in_four_parts() -> None:
    for k in (1, 2, 3, 4):
        frozen = _prefixes("timm:vit_tiny_patch16_224", frozen_stages=k)
        blocks = {int(path.split(".")[1]) for path in frozen if path.startswith("blocks.")}
        assert blocks == set(range(3 * k))
        assert not any(path.startswith("pyramid") for path in frozen), "fresh layers must train"


def test_freezing_does_not_depend_on_the_asked_strides() -> None:
    whole = _prefixes("efficientnet_b0", frozen_stages=2)
    assert _prefixes("efficientnet_b0", frozen_stages=2, out_strides=(32,)) == whole
    assert _prefixes("efficientnet_b0", frozen_stages=2, out_strides=(8, 16)) == whole


def test_frozen_drop_out_and_stochastic_depth_are_off() -> None:
    net = mmbackbones.build(
        "swin_tiny", frozen_stages=2, net_kwargs={"drop_path_rate": 0.5, "proj_drop_rate": 0.5}
    )
    net.train()
    drops = [(path, m) for path, m in net.named_modules() if "Drop" in type(m).__name__]
    active = {path.split(".")[1] for path, m in drops if m.training and path.startswith("layers")}
    assert active == {"2", "3"}
    x = torch.randn(2, 3, 64, 64)
    first, again = net(x), net(x)
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[2], again[2])


def test_frozen_stages_keep_no_graph() -> None:
    net = mmbackbones.build("resnet18", frozen_stages=2).train()
    c2, c3, c4, _ = net(torch.randn(2, 3, 64, 64))
    assert (c2.requires_grad, c3.requires_grad, c4.requires_grad) == (False, False, True)


def test_norm_eval_holds_all_statistics() -> None:
    net = mmbackbones.build("resnet18", norm_eval=True).train()
    before = {k: v.clone() for k, v in net.state_dict().items() if "running" in k or "tracked" in k}
    weight = net.bn1.weight.clone()
    step(net)
    assert before.keys()
    assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())
    assert not torch.equal(net.bn1.weight, weight)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["SyncBN", "GN", "FrozenBN"])
def test_norms_are_replaced_under_their_names(name: str, kind: str) -> None:
    plain = mmbackbones.build(name).eval()
    if not any(isinstance(m, _BatchNorm) for m in plain.modules()):
        with pytest.raises(mmbackbones.InputError, match="no batch norm"):
            mmbackbones.build(name, norm_cfg={"type": kind})
        return
    options = {"num_groups": 1} if kind == "GN" else {}
    net = mmbackbones.build(name, norm_cfg={"type": kind, **options})
    assert not any(type(m) in (nn.BatchNorm2d,) for m in net.modules())
    assert set(net.state_dict()) <= set(plain.state_dict())
    loss(net, torch.randn(2, 3, 64, 64)).backward()
    assert [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None] == []
    if kind != "GN":
        net.load_state_dict(plain.state_dict(), strict=kind == "SyncBN")
        x = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            for ours, theirs in zip(net.eval()(x), plain(x), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_sync_bn_on_one_process_works_as_bn() -> None:
    bn, sync = (mmbackbones.build("resnet18", norm_cfg={"type": t}).train() for t in ("BN", "SyncBN"))
    sync.load_state_dict(bn.state_dict())
    x = torch.randn(4, 3, 64, 64)
    for ours, theirs in zip(sync(x), bn(x), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(sync.bn1.running_var, bn.bn1.running_var)


def test_norm_options_reach_the_layers() -> None:
    net = mmbackbones.build(
        "resnet18", norm_cfg={"type": "BN", "momentum": 0.03, "eps": 1e-3, "requires_grad": False}
    )
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    assert {(m.momentum, m.eps, m.weight.requires_grad) for m in norms} == {(0.03, 1e-3, False)}
    assert net.conv1.weight.requires_grad
    frozen = mmbackbones.build("resnet18", norm_cfg={"type": "FrozenBN"})
    assert sum(isinstance(m, FrozenBatchNorm2d) for m in frozen.modules()) == len(norms)


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_changes_no_value(name: str) -> None:
    """Outputs, gradients and batch statistics stay; far fewer activations are kept."""
    plain = mmbackbones.build(name)
    cheap = mmbackbones.build(name, with_cp=True)
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
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=key)
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


@pytest.mark.parametrize("name", NAMES)
def test_bf16_autocast_and_channels_last_are_finite(name: str) -> None:
    net = mmbackbones.build(name).to(memory_format=torch.channels_last).train()
    x = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(net, x)
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", KINDS)
def test_onnx_export_gives_the_same_maps(name: str, tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra dev")
    net = mmbackbones.build(name).eval()
    x = torch.randn(1, 3, 96, 64)
    path = str(tmp_path / "net.onnx")
    torch.onnx.export(net, (x,), path, dynamo=True, verbose=False)
    outputs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {_input(path): x.numpy()}
    )
    with torch.no_grad():
        for ours, theirs in zip(outputs, net(x), strict=True):
            torch.testing.assert_close(torch.from_numpy(ours), theirs, rtol=1e-3, atol=1e-3)


def _input(path: str) -> str:
    import onnx

    return onnx.load(path).graph.input[0].name


@pytest.mark.parametrize("name", ["mobilenetv3_small_100", "shufflenet_v2_x1_0", "swin_tiny"])
def test_torch_compile_traces_the_whole_net(name: str) -> None:
    """backend='eager' needs no C++ compiler; fullgraph raises at every break in the graph."""
    net = mmbackbones.build(name).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        compiled = torch.compile(net, backend="eager", fullgraph=True)(x)
        for ours, theirs in zip(compiled, net(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


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


def test_every_parameter_has_a_stage() -> None:
    from mmbackbones.sources import open_net
    from mmbackbones.trace import trace

    for name in ("resnet18", "swin_tiny_patch4_window7_224"):
        tapped = open_net("timm", name, 3, {})
        stages = stage_of_params(tapped.net, trace(tapped, 3))
        assert set(stages.values()) == {0, 1, 2, 3, 4}
