"""PAFPN: equal to mmdet's."""

from __future__ import annotations

import copy

import pytest
import torch
from neck_cases import CHANNELS, PAFPN_CASES, maps, sizes

from mmbackbones.necks import PAFPN


@pytest.mark.parametrize("case", PAFPN_CASES)
def test_pafpn_equals_mmdet(case: str) -> None:
    from mmdet.models import necks

    args = dict(in_channels=CHANNELS, out_channels=16, **PAFPN_CASES[case])
    theirs, ours = necks.PAFPN(**copy.deepcopy(args)), PAFPN(**copy.deepcopy(args))
    theirs.init_weights()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for image in [(128, 192), (117, 171)]:
        inputs = maps(CHANNELS, image=image)
        for training in (True, False):
            expected, got = theirs.train(training)(inputs), ours.train(training)(inputs)
            assert len(got) == args["num_outs"]
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("levels", [1, 2, 3, 6])
def test_pafpn_takes_any_number_of_levels(levels: int) -> None:
    strides = tuple(4 * 2**i for i in range(levels))
    inputs = maps(list(range(8, 8 + levels)), strides)
    outs = PAFPN([m.shape[1] for m in inputs], 8, num_outs=levels + 1)(inputs)
    assert sizes(outs[:-1]) == sizes(inputs)
    assert {m.shape[1] for m in outs} == {8}
