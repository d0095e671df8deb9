"""An export to deploy: the model, what goes in and comes out as JSON, and a program that runs it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..compose.channels import channels_read
from ..compose.configs import kind
from ..engine.predictions import steps_for_test
from ..errors import InputError
from .graph import ExportNet, clips
from .suppression import most_before

MODEL, FACTS, RUN = "model.onnx", "model.json", "run.py"
STACK = "all of the file, in its order and with its values, float32"
_PART = re.compile("# --- (.+) ---")
_OUTPUTS = {
    "boxes": "(1, places, 4): x1 y1 x2 y2 in pixels of the input, before non-maximum suppression",
    "scores": "(1, places, classes): 0..1",
    "factors": "(1, places): what scores above score_thr are multiplied by, 0..1",
    "logits": "(1, classes, height, width); the label of a pixel is the class of the highest one",
}
_CHOSEN = {
    "boxes": "(1, n, 4): x1 y1 x2 y2 in pixels of the input, best first, after non-maximum suppression",
    "scores": "(1, n): 0..1",
    "labels": "(1, n): class index",
    "masks": "(1, n, height, width): 0..1, evenly over each box; above mask_threshold is the object",
}


def check_folder(folder: Path) -> None:
    """Check that an export may be written into ``folder``: an older one is replaced, nothing else.

    Raises:
        InputError: it is a file, or holds files of these names that no export wrote.
    """
    if folder.is_file():
        raise InputError(f"--out {folder} is a file; name a folder, or a file that ends in .onnx.")
    others = [name for name in (MODEL, FACTS, RUN) if (folder / name).exists()]
    if others and not _is_ours(folder / FACTS):
        raise InputError(
            f"--out {folder} holds {', '.join(others)}, which would be replaced; name another folder."
        )


def _is_ours(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_bytes()).get("made_by") == "mmbackbones")
    except (OSError, ValueError, AttributeError):
        return False


def write_folder(folder: Path, net: ExportNet, cfg: Config, classes: Sequence[str], size: Any) -> list[Path]:
    """Write ``model.json`` and ``run.py`` beside the model; returns them.

    Args:
        folder: holds the model.
        net: what was exported.
        cfg: its config.
        classes: names by class index.
        size: (height, width) of the file's input; None if it is free.

    Raises:
        InputError: the config's test pipeline does something that ``run.py`` cannot.
    """
    high, wide = size or (None, None)
    stacks = channels_read(cfg) is not None
    order = "channels as they come in" if stacks else "RGB" if net.flips else "BGR"
    facts = {
        "made_by": "mmbackbones",
        "model": MODEL,
        "task": "segmentation" if net.outputs == ("logits",) else "detection",
        "classes": list(classes),
        "resize": resizing(cfg),
        "input": {
            "name": "image",
            "shape": [1, net.channels, high, wide],
            "height": high,
            "width": wide,
            "channels": STACK if stacks else "BGR, 0..255, float32",
            "mean": net.mean.flatten().tolist(),
            "std": net.std.flatten().tolist(),
            "mean_and_std": f"applied inside the model, order {order}",
            "padding": net.pad_value(),
            "padding_rule": "below and on the right, to height and width, or where free to multiple_of",
            "multiple_of": net.multiple,
        },
        **_answers(net),
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (folder / RUN).write_text(program(facts), encoding="utf-8")
    return [folder / FACTS, folder / RUN]


def program(facts: dict[str, Any]) -> str:
    """``run.py`` with those parts that a model of these facts needs.

    A line ``# --- words ---`` says for which models the lines below it are: those with one of the words.
    """
    words = {"all", facts["choose"]["nms"] if "choose" in facts else ""}
    words |= {"stack"} if facts["input"]["channels"] == STACK else {"photo", facts["resize"]["as"]}
    if "choose" in facts:
        words.add("boxes")
    elif facts["task"] == "segmentation":
        words |= {"labels", "several" if facts.get("threshold") is None else "one"}
    else:
        words |= {"chosen", *facts["outputs"].keys() & {"masks"}}
    lines, wanted = [], True
    for line in Path(__file__).with_name(RUN).read_text(encoding="utf-8").splitlines():
        if mark := _PART.fullmatch(line.strip()):
            wanted = not words.isdisjoint(mark[1].split())
        elif wanted:
            lines.append(line)
    return re.sub(r"\n+(?=(def|class|if) )", "\n\n\n", "\n".join(lines)) + "\n"


def _answers(net: ExportNet) -> dict[str, Any]:
    """What of the facts is about the outputs, and what remains to be done with them."""
    if "labels" in net.outputs:
        threshold = net.model.roi_head.test_cfg.mask_thr_binary if "masks" in net.outputs else None  # type: ignore[union-attr]
        return {
            "sides": "(2,): height and width of the image inside the input, without padding, float32",
            "outputs": {name: _CHOSEN[name] for name in net.outputs},
            "mask_threshold": threshold,
        }
    outputs = {"outputs": {name: _OUTPUTS[name] for name in net.outputs}}
    rest = _segmenting(net.model) if net.outputs == ("logits",) else {"choose": choosing(net.model.bbox_head)}
    return outputs | rest


def resizing(cfg: Config) -> dict[str, Any]:
    """How the config's test pipeline brings an image to the model's size.

    Raises:
        InputError: it does something else as well.
    """
    steps = [one for one in steps_for_test(cfg) if "Annotations" not in kind(one)]
    known = [one for one in steps if not kind(one).startswith(("LoadImage", "LoadChannels", "Pack"))]
    if len(known) != 1 or kind(known[0]) != "Resize" or "scale" not in known[0]:
        raise InputError(
            f"run.py knows a test pipeline of one Resize to a scale, but the config's has "
            f"{', '.join(map(kind, known)) or 'none'}. Export the model alone with --out model.onnx."
        )
    wide, high = known[0]["scale"]
    way = "pillow" if known[0].get("backend") == "pillow" else "opencv"
    return {"width": wide, "height": high, "keep_ratio": known[0].get("keep_ratio", False), "as": way}


def choosing(head: Any) -> dict[str, Any]:
    """The rules by which boxes are chosen, in the head's ``test_cfg``.

    Raises:
        InputError: a suppression that ``run.py`` does not know.
    """
    cfg, nms = head.test_cfg, dict(head.test_cfg.nms)
    soft = nms.get("type", "nms") == "soft_nms"
    if nms.get("type", "nms") not in ("nms", "soft_nms") or (soft and nms.get("method") != "gaussian"):
        raise InputError(
            f"run.py does not know the suppression {nms}. Export the model alone: --out model.onnx."
        )
    return {
        "score_thr": cfg.get("score_thr", 0),
        "most_before": most_before(head),
        "most": cfg.get("max_per_img", 100),
        "clip": clips(head),
        "min_size": cfg.min_bbox_size if cfg.get("min_bbox_size", -1) >= 0 else -1e9,
        "nms": "gaussian" if soft else "hard",
        "iou_threshold": nms.get("iou_threshold", 0.5),
        "sigma": nms.get("sigma", 0.5),
        "min_score": nms.get("min_score", 1e-3),
    }


def _segmenting(model: Any) -> dict[str, Any]:
    head = model.decode_head
    return {
        "align_corners": bool(head.align_corners),
        "threshold": head.threshold if head.out_channels == 1 else None,
    }
