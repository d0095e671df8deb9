"""Weights of a tag that is not the default one."""

import pytest
import timm
import torch

import mmbackbones
from mmbackbones.catalog.inputs import mean_std_of


@pytest.mark.parametrize(
    ("name", "tag"),
    [("mobilenetv3_large_100", "miil_in21k"), ("resnet18", "fb_swsl_ig1b_ft_in1k")],
)
def test_a_tag_beside_the_default_brings_its_own_file_and_input(name: str, tag: str, monkeypatch) -> None:
    """The hub is stood in for: the file of that tag is asked for, and its names all find a place."""
    theirs = timm.create_model(f"{name}.{tag}")
    asked = []

    def from_hub(place: str, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        asked.append(place)
        return theirs.state_dict()

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", from_hub)
    net = mmbackbones.build(name, pretrained=tag)
    assert [place.rpartition("/")[2] for place in asked] == [f"{name}.{tag}"]
    assert tag not in net.spec.weights[0]
    assert (net.load_report.missing, net.load_report.unexpected) == ((), ())
    for key, value in net.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key]), key
    said = timm.get_pretrained_cfg(f"{name}.{tag}")
    assert mean_std_of(net.spec, f"timm://{name}.{tag}") == (tuple(said.mean), tuple(said.std))
