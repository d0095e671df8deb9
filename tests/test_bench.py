"""``make bench``: both sides of each comparison are the same network; the tables can be made."""

from __future__ import annotations

import time

import pytest
import torch

from mmbackbones import bench


@pytest.mark.parametrize("name", bench.NETS)
def test_both_sides_are_the_same_network(name: str) -> None:
    image = torch.rand(1, 3, 64, 64)
    bare, ours = bench.bare_net(name).eval(), bench.our_net(name).eval()
    assert sum(p.numel() for p in bare.parameters()) >= sum(p.numel() for p in ours.parameters())
    with torch.no_grad():
        maps = bare(image)
        maps = list(maps.values()) if isinstance(maps, dict) else list(maps)
        sizes = [sorted(m.shape) for m in maps]  # sorted: Swin's own maps are channels-last
        assert [sorted(m.shape) for m in ours(image)] == sizes
        assert len(sizes) == 4


def test_side_by_side_tells_which_is_slower() -> None:
    fast, slow, ratio = bench.side_by_side(lambda: None, lambda: time.sleep(0.02), 3)
    assert fast < 0.01 < slow
    assert ratio > 2


def test_import_rows() -> None:
    assert [row[2] for row in bench.import_rows(1)] == ["none"] * 3


def test_wrapper_rows() -> None:
    rows = bench.wrapper_rows(["mobilenetv3_small_100"], 64, 1, 1)
    assert [row[1] for row in rows] == ["forward, ms", "training step, ms", "peak of training, MiB"]
    assert all(float(row[2]) > 0 and float(row[3]) > 0 for row in rows)
