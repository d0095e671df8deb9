"""Only data, never code: a hostile checkpoint at every door by which weights come in, as file and address."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny_training
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import CheckpointLoader

import mmbackbones
from mmbackbones.cli import main
from mmbackbones.engine import evaluate, load
from mmbackbones.engine.runner import Runner
from mmbackbones.errors import InputError
from mmbackbones.weights import checkpoints
from mmbackbones.weights.files import load_from_mmbackbones, read_checkpoint, read_for_mmengine
from mmbackbones.weights.schemes import fetched


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> Any:
        return open, (self.mark, "w")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which this machine serves it; torch's cache is elsewhere."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _config(work: Path, **changes: Any) -> Config:
    loader = tiny_training.config(work).train_dataloader
    metric = dict(type="DumpResults", out_file_path=str(work / "results.pkl"))
    test = dict(test_dataloader=loader, test_evaluator=metric, test_cfg=dict(type="TestLoop"))
    return tiny_training.config(work, custom_hooks=[], default_scope="mmdet", **test, **changes)


def _load_from(source: str, work: Path, **changes: Any) -> torch.nn.Module:
    runner = Runner.from_cfg(_config(work, load_from=source, **changes))
    runner.load_or_resume()
    return runner.network


def _init_cfg(cfg: dict[str, Any], source: str, work: Path, **more: Any) -> torch.nn.Module:
    pytest.importorskip(cfg["type"].split(".")[0])
    init_cfg = ConfigDict(type="Pretrained", checkpoint=source, **more)
    module = MODELS.build({**cfg, "init_cfg": init_cfg})
    module.init_weights()
    return module


_PYRAMID = dict(in_channels=[8, 8], out_channels=8, num_outs=2)
_MAP = dict(in_channels=8, channels=8, num_classes=2, loss_decode=dict(type="mmseg.CrossEntropyLoss"))
_MAPS = dict(_MAP, in_channels=[8, 8])
#: Each takes what a user gives and a folder to work in; some return what they loaded into.
DOORS: dict[str, Callable[[str, Path], Any]] = {
    "load_from": _load_from,
    "resume": functools.partial(_load_from, resume=True),
    "check before --resume": lambda source, work: Runner.from_cfg(_config(work)).check_resume(source),
    "test": lambda source, work: evaluate.runner_for_test(_config(work), source, work).network,
    "predict": lambda source, work: load.load_predictor(_config(work), source, "cpu", 0.5).model,
    "export": lambda source, work: load.load_trained(_config(work), source)[0],
    "any command's checkpoint": lambda source, _: checkpoints.load_model(torch.nn.Linear(2, 2), source),
    "pretrained": lambda source, _: mmbackbones.build("resnet18", pretrained=source),
    "init_cfg of our backbone": functools.partial(_init_cfg, dict(type="mmbackbones.resnet18")),
    "init_cfg of our neck": functools.partial(_init_cfg, dict(type="mmbackbones.FPN", **_PYRAMID)),
    "init_cfg of our head": functools.partial(_init_cfg, dict(type="mmbackbones.SwiftNetHead", **_MAPS)),
    "init_cfg with a prefix": functools.partial(
        _init_cfg, dict(type="mmbackbones.FPN", **_PYRAMID), prefix="neck"
    ),
    "init_cfg of mmdet's neck": functools.partial(_init_cfg, dict(type="mmdet.FPN", **_PYRAMID)),
    "init_cfg of mmdet's ResNet": functools.partial(_init_cfg, dict(type="mmdet.ResNet", depth=18)),
    "init_cfg of mmdet's Swin": functools.partial(
        _init_cfg, dict(type="mmdet.SwinTransformer", embed_dims=12, depths=(1, 1, 1, 1))
    ),
    "init_cfg of mmseg's head": functools.partial(_init_cfg, dict(type="mmseg.FCNHead", **_MAP)),
}


@pytest.mark.parametrize("address", [False, True], ids=["file", "address"])
@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_code_in(door: str, address: bool, served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    mark = tmp_path / "mark"
    torch.save({"state_dict": {"weight": torch.ones(2, 2)}, "meta": Payload(mark)}, folder / "evil.pth")
    source = f"{url}/evil.pth" if address else str(folder / "evil.pth")
    with pytest.raises(InputError, match="holds more than data, and loading that would run code") as caught:
        DOORS[door](source, tmp_path / "work")
    assert source in str(caught.value)
    assert not mark.exists()


def test_every_scheme_of_mmengine_is_read_here(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_for_mmengine()
    assert set(CheckpointLoader._schemes.values()) == {load_from_mmbackbones}
    folder, url = served
    mark = tmp_path / "mark"
    torch.save({"state_dict": {"weight": torch.ones(2)}, "meta": Payload(mark)}, folder / "evil.pth")
    monkeypatch.setenv("MMENGINE_HOME", str(folder))
    (folder / "open_mmlab.json").write_text(json.dumps({"far": f"{url}/evil.pth", "near": "evil.pth"}))
    store = type("Store", (), {"get": lambda self, path: (folder / "evil.pth").read_bytes()})()
    monkeypatch.setattr("mmengine.fileio.get_file_backend", lambda *args, **kwargs: store)
    for source in ("open-mmlab://far", "openmmlab://near", "s3://a/evil.pth", "open-mmlab:s3://a/evil.pth"):
        with pytest.raises(InputError, match="holds more than data"):
            CheckpointLoader.load_checkpoint(source)
    assert not mark.exists()
    with pytest.raises(InputError, match="unknown scheme 'pavi://'"):
        CheckpointLoader.load_checkpoint("pavi://evil.pth")


def test_convert_refuses_code(served: tuple[Path, str], tmp_path: Path, capsys: Any) -> None:
    folder, url = served
    mark = tmp_path / "mark"
    torch.save({"model": {"weight": torch.ones(2)}, "args": Payload(mark)}, folder / "evil.pth")
    for source in (folder / "evil.pth", f"{url}/evil.pth"):
        with pytest.raises(SystemExit):
            main(["convert", str(source), "-o", str(tmp_path / "out.pth")])
        assert "holds more than data" in capsys.readouterr().err
    assert not mark.exists()
    assert not (tmp_path / "out.pth").exists()


def test_files_of_one_name_at_two_addresses_are_two_files(served: tuple[Path, str]) -> None:
    folder, url = served
    for number, place in enumerate("ab"):
        (folder / place).mkdir()
        torch.save({"weight": torch.full((1,), number)}, folder / place / "best.pth")
    for number, place in enumerate("ab"):
        for query in ("", "?version=2"):
            assert read_checkpoint(f"{url}/{place}/best.pth{query}")["weight"] == number
    (folder / "b" / "best.pth").unlink()
    assert read_checkpoint(f"{url}/b/best.pth")["weight"] == 1  # once fetched, it is here
    with pytest.raises(InputError, match=rf"{url}/b/best.pth\?version=3 cannot be fetched: HTTP Error 404"):
        read_checkpoint(f"{url}/b/best.pth?version=3")


def test_a_damaged_download_is_fetched_anew(served: tuple[Path, str]) -> None:
    folder, url = served
    (folder / "some.pth").write_bytes(b"PK cut")
    with pytest.raises(InputError, match=f"{url}/some.pth is damaged"):
        read_checkpoint(f"{url}/some.pth")
    torch.save({"weight": torch.ones(1)}, folder / "some.pth")
    assert read_checkpoint(f"{url}/some.pth")["weight"] == 1
    assert fetched(f"{url}/some.pth").is_file()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("odd", [None, [torch.ones(2)], {}], ids=["None", "list", "empty"])
def test_a_checkpoint_without_weights_by_name_is_refused(odd: Any, door: str, tmp_path: Path) -> None:
    torch.save({"state_dict": odd, "meta": {}}, tmp_path / "odd.pth")
    with pytest.raises(InputError, match=r"odd\.pth holds no tensors") as caught:
        DOORS[door](str(tmp_path / "odd.pth"), tmp_path / "work")
    assert f"'state_dict' is a {type(odd).__name__}" in str(caught.value)


@pytest.mark.parametrize("door", ["load_from", "test", "export", "init_cfg of mmdet's neck"])
@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_weights_are_found_under_both_names(wrapper: str, door: str, tmp_path: Path) -> None:
    neck = door == "init_cfg of mmdet's neck"
    cfg = dict(type="mmdet.FPN", **_PYRAMID) if neck else _config(tmp_path / "work").model
    state = {name: torch.full_like(value, 2) for name, value in MODELS.build(cfg).state_dict().items()}
    meta = {"dataset_meta": {"classes": ("a", "b")}}
    torch.save({wrapper: state, "meta": meta}, tmp_path / "given.pth")
    found = DOORS[door](str(tmp_path / "given.pth"), tmp_path / "work")
    assert all(torch.equal(value, state[name]) for name, value in found.state_dict().items())


@pytest.mark.parametrize("door", ["load_from", "pretrained", "init_cfg of our backbone"])
def test_weights_behind_an_address_arrive(door: str, served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    model = door == "load_from"
    made = MODELS.build(_config(tmp_path / "made").model) if model else mmbackbones.build("resnet18")
    state = {name: torch.full_like(value, 2) for name, value in made.state_dict().items()}
    torch.save({"state_dict": state, "meta": {}}, folder / "given.pth")
    found = DOORS[door](f"{url}/given.pth", tmp_path / "work")
    assert found.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in found.state_dict().items())
