"""A board of any size whose figures are made up, as its page is given it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from mmbackbones.leaderboard.records import Record
from mmbackbones.leaderboard.standings import Results, Row
from mmbackbones.leaderboard.statistics import Standing

FAMILIES = ("resnet", "convnext", "efficientnet", "swin", "mobilenetv3", "regnet", "timm:edgenext", "vgg")
CLASSES = ("car", "person", "tree", "road")
EPOCHS = 8
CONFIG = """\
model = dict(
    backbone=dict(type='mmbackbones.{name}', out_indices=(0, 1, 2, 3)),
    decode_head=dict(in_channels={channels}, loss_decode=dict(loss_weight=1.0)))
optim_wrapper = dict(optimizer=dict(lr=0.004, type='AdamW'))
randomness = dict(seed={seed})
"""


def name_of(number: int) -> str:
    return f"{FAMILIES[number % len(FAMILIES)]}_{number}"


def record_of(number: int, seed: int, rng: np.random.Generator) -> Record:
    """The larger nets are the better and the slower, with exceptions."""
    size = 1.03**number if number > 60 else 1.12**number
    end = 40 + 30 * (1 - 1 / (1 + number / 12)) + rng.normal(0, 1.2)
    return Record(
        key=f"{number:04x}{seed:04x}",
        spec="spec",
        data="0123456789abcdef",
        backbone=name_of(number),
        trial="adamw",
        seed=seed,
        state="ok",
        task="segmentation",
        model="swiftnet",
        epochs=EPOCHS,
        batch_size=8,
        image_size="640x480",
        metric_name="mIoU",
        metric=end,
        history=[{"epoch": e, "mIoU": end * (1 - 0.7 * 0.6**e), "aAcc": 90.0} for e in range(1, EPOCHS + 1)],
        by_class={name: end + rng.normal(0, 8) for name in CLASSES},
        params=int(1e6 * size),
        macs=int(3e8 * size),
        train_seconds_per_iter=0.1 * size,
        seconds=300 * size,
        memory_mib=800.0 + 40 * size,
        latency_ms={"p50": 3 + 2 * size * rng.uniform(0.8, 1.3), "p95": 5 + 3 * size, "runs": 100},
        checkpoint_bytes=int(4e6 * size),
        versions={"python": "3.11.2", "torch": "2.14.1"},
        device="cpu: a processor",
        commit="0" * 40,
        threads=2,
        precision="fp32",
        weights={"tag": f"timm://{name_of(number)}.in1k", "licence": "apache-2.0"},
    )


def made(folder: Path, nets: int, seeds: int = 3, failed: int = 2) -> Results:
    """The best six are tied; the last ``failed`` runs failed. Configs and pictures lie in ``folder``."""
    rng = np.random.default_rng(0)
    runs = [[record_of(number, seed, rng) for seed in range(seeds)] for number in range(nets)]
    runs.sort(key=lambda records: -np.mean([one.metric for one in records]))
    rows = []
    for place, records in enumerate(runs):
        middle, reach = float(np.mean([one.metric for one in records])), 1.5 + rng.uniform(0, 1)
        group = 1 if place < 6 else 2 + (place - 6) // 8
        standing = Standing(records[0].backbone, middle, middle - reach, middle + reach, group, 0.5, None)
        rows.append(Row(standing, tuple(records), None))
    causes = ("oom", "nan")
    fails = tuple(
        Record(
            **dict(
                key=f"f{n}", spec="spec", data="0123456789abcdef", backbone=f"giant_{n}", trial="sgd", seed=0
            ),
            **dict(
                state="failed", cause=causes[n % 2], message="CUDA out of memory.", log_tail="step 1\nstep 2"
            ),
            **dict(
                next_step="Give it more memory.", task="segmentation", metric_name="mIoU", model="swiftnet"
            ),
        )
        for n in range(failed)
    )
    records = {one.key: one for one in (*(one for some in runs for one in some), *fails)}
    for one in records.values():
        place = folder / "runs" / one.key
        place.mkdir(parents=True)
        number = int(one.key, 16) >> 16
        text = CONFIG.format(name=one.backbone, seed=one.seed, channels=[8 + number, 16, 32])
        (place / "config.py").write_text(text)
    return Results(tuple(rows), records, fails, folder, "board")


def add_pictures(results: Results, images: int = 3) -> None:
    """Of the first run of the best 20 nets: noise."""
    rng = np.random.default_rng(0)
    for row in results.rows[:20]:
        folder = results.folder / "runs" / row.records[0].key / "pictures"
        folder.mkdir()
        for number in range(images):
            for name in ("truth", "predicted"):
                pixels = rng.integers(0, 255, (6, 8, 3), np.uint8)
                picture = Image.fromarray(pixels).resize((360, 270))
                picture.save(folder / f"{number}-{name}.jpg")
        names = [f"street_{number}.png" for number in range(images)]
        legend = [[name, f"#{60 * n:02x}80c0"] for n, name in enumerate(CLASSES)]
        (folder / "pictures.json").write_text(json.dumps({"images": names, "legend": legend}))
