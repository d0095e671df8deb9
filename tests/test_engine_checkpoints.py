"""Checkpoints: mmengine's own are read with ``weights_only`` on, code in a file is never run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import load_checkpoint as mmengine_load

from mmbackbones.errors import InputError
from mmbackbones.weights.checkpoints import check_fits, load_model
from mmbackbones.weights.files import read_checkpoint, read_for_mmengine
from mmbackbones.weights.safe_classes import allow_mmengine_classes


class Payload:
    """Unpickling it calls a function with arguments of the attacker's choice."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def like_mmengines() -> dict[str, Any]:
    losses = HistoryBuffer([0.5, 0.25], [1, 1])
    losses.update(0.125)
    return {
        "meta": {"epoch": 1, "dataset_meta": {"palette": np.zeros((2, 3), np.uint8), "classes": ("a", "b")}},
        "state_dict": {"weight": torch.ones(2, 3), "bias": torch.zeros(2)},
        "message_hub": {
            "log_scalars": {"train/loss": losses},
            "runtime_info": {"best_score": np.float64(0.5), "n": np.int64(3), "f": np.float32(1.5)},
        },
    }


def test_what_mmengine_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "epoch_1.pth"
    torch.save(like_mmengines(), path)
    content = read_checkpoint(path)
    buffer = content["message_hub"]["log_scalars"]["train/loss"]
    assert (buffer.current(), buffer.min(), buffer.statistics("max")) == (0.125, 0.125, 0.5)
    assert content["message_hub"]["runtime_info"] == {"best_score": 0.5, "n": 3, "f": 1.5}
    assert content["meta"]["dataset_meta"]["palette"].shape == (2, 3)


@pytest.mark.skipif(
    not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"),
    reason="torch before 2.6 does not tell what it would refuse",
)
def test_all_that_mmengine_writes_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "epoch_1.pth"
    torch.save(like_mmengines(), path)
    allow_mmengine_classes()
    with torch.serialization.safe_globals([]):
        assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []


def test_nothing_else_than_the_needed_classes_is_allowed() -> None:
    allow_mmengine_classes()
    names = {f"{c.__module__}.{c.__qualname__}" for c in torch.serialization.get_safe_globals()}
    assert not {name for name in names if name.split(".")[0] in ("os", "posix", "subprocess", "shutil")}


def test_mmengines_own_functions_read_it_too(tmp_path: Path) -> None:
    path = tmp_path / "epoch_1.pth"
    torch.save(like_mmengines(), path)
    read_for_mmengine()
    net = torch.nn.Linear(3, 2)
    assert mmengine_load(net, str(path))["meta"]["epoch"] == 1
    assert torch.equal(net.weight, torch.ones(2, 3))


def test_a_name_from_the_other_numpy_is_read(tmp_path: Path) -> None:
    """numpy 1 and 2 call one module by two names."""
    path = tmp_path / "old.pth"
    ours, theirs = b"numpy._core.multiarray", b"numpy.core.multiarray"
    if np.__version__ < "2":
        ours, theirs = theirs, ours
    content = {"score": np.float64(0.5), "weight": torch.ones(1)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert ours in content
    path.write_bytes(content.replace(ours, theirs))
    assert read_checkpoint(path)["score"] == 0.5


def attacks(mark: Path) -> dict[str, Any]:
    return {
        "open": Payload(open, str(mark), "w"),
        "eval": Payload(eval, f"open({str(mark)!r}, 'w')"),
        "method by getattr": Payload(getattr, Path, "write_text"),
        "class by getattr": Payload(getattr, HistoryBuffer, "__init__"),
        "Path": {"state_dict": {}, "where": Payload(Path, str(mark))},
    }


@pytest.mark.parametrize("attack", sorted(attacks(Path("mark"))))
def test_a_file_that_would_run_code_is_refused(attack: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.pth"
    torch.save(attacks(mark)[attack], path)
    with pytest.raises(InputError, match="refused: it holds more than data, and loading that would run code"):
        read_checkpoint(path)
    allow_mmengine_classes()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert not mark.exists()


def test_a_bare_pickle_is_refused_too(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Payload(open, str(mark), "w")))
    with pytest.raises(InputError, match=r"evil\.pth"):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no checkpoint file"), (b"", "damaged"), (b"PK\x03\x04 cut", "damaged"), (b"hello", "damaged")],
)
def test_missing_and_damaged_files(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"{message}.*") as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_tensor_alone_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "t.pth")
    with pytest.raises(InputError, match="holds a Tensor, not a dict"):
        read_checkpoint(tmp_path / "t.pth")


def test_another_models_checkpoint_is_refused_with_examples() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
    state = net.state_dict()
    state["0.weight"] = torch.zeros(5, 3)
    state["extra"] = state.pop("1.bias")
    with pytest.raises(InputError) as caught:
        check_fits(net, {"state_dict": state}, "some.pth")
    message = str(caught.value)
    assert "some.pth is of another model" in message
    assert "1 missing, such as 1.bias" in message
    assert "1 unknown, such as extra" in message
    assert "0.weight (5, 3) instead of (2, 3)" in message


def test_weights_are_loaded_from_wrapped_and_plain_names(tmp_path: Path) -> None:
    net = torch.nn.Linear(3, 2)
    torch.save(
        {"state_dict": {f"module.{k}": v + 1 for k, v in net.state_dict().items()}}, tmp_path / "w.pth"
    )
    before = net.weight.detach().clone()
    assert load_model(net, tmp_path / "w.pth") == {}
    assert torch.equal(net.weight, before + 1)
    torch.save(net.state_dict(), tmp_path / "plain.pth")
    load_model(torch.nn.Linear(3, 2), tmp_path / "plain.pth")
