"""``configs/<folder>/metafile.yml``: OpenMMLab's format, every config, measured figures only."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmbackbones.compose.configs import shipped_names

FOLDERS = ("detection", "segmentation", "finetune")


def read(root: Path, folder: str) -> dict[str, Any]:
    return yaml.safe_load((root / f"configs/{folder}/metafile.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parents[1] / "docs/metafiles.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_metafile_lists_every_config_once(folder: str, root: Path) -> None:
    content = read(root, folder)
    collections = {collection["Name"]: collection for collection in content["Collections"]}
    shipped = [name for name in shipped_names("mmbackbones") if name.startswith(f"{folder}/")]
    assert [model["Config"] for model in content["Models"]] == [f"configs/{name}.py" for name in shipped]
    for model in content["Models"]:
        assert (root / model["Config"]).is_file()
        assert Path(model["Config"]).stem == model["Name"]
    assert {model["In Collection"] for model in content["Models"]} == collections.keys()
    for collection in collections.values():
        assert (root / collection["README"]).is_file()
        assert collection["Paper"]["URL"].startswith("https://arxiv.org/abs/")


@pytest.mark.parametrize("folder", FOLDERS)
def test_results_are_those_of_the_page(folder: str, root: Path, generator: dict[str, Any]) -> None:
    """What the generator reads off docs/results.md now, and nothing else; parameters: test_configs.py."""
    content = read(root, folder)
    parameters = {f"{folder}/{model['Name']}": model["Metadata"]["Parameters"] for model in content["Models"]}
    text = (root / f"configs/{folder}/metafile.yml").read_text(encoding="utf-8")
    assert generator["metafile"](folder, parameters) == text, "run `python docs/metafiles.py`"
    page = (root / "docs/results.md").read_text(encoding="utf-8")
    for result in (result for model in content["Models"] for result in model.get("Results", [])):
        name, heading = result["Source"].split(", ", 1)
        assert name == "docs/results.md"
        assert f"\n## {heading}\n" in page


def test_the_index_leads_to_every_metafile(root: Path, generator: dict[str, Any]) -> None:
    """Its paths count from the package's folder, where configs/ lies in a wheel (tests/test_house.py)."""
    text = (root / "plugin/model-index.yml").read_text(encoding="utf-8")
    assert generator["model_index"]() == text, "run `python docs/metafiles.py`"
    listed = {root / path for path in yaml.safe_load(text)["Import"]}
    assert listed == set((root / "configs").glob("*/metafile.yml"))


def test_a_figure_that_the_page_lacks_is_an_error(generator: dict[str, Any]) -> None:
    page = "# Results\n\n## BCCD blood cells, RetinaNet\n\n| 11 | 0.1 | 0.2 |\n"
    config = "detection/retinanet_mobilenetv3-large-scratch_fpn_1xb8-8e_coco-160x160"
    with pytest.raises(ValueError, match=r"no row \('12',\) below 'BCCD blood cells, RetinaNet'"):
        generator["results_of"](config, page)
    page = page.replace("| 11 |", "| 12 |")
    (result,) = generator["results_of"](config, page)
    assert result["Metrics"] == {"box AP50": 10.0, "box AP": 20.0}


def test_every_measured_config_is_shipped(generator: dict[str, Any]) -> None:
    assert {measured.config for measured in generator["MEASURED"]} <= set(shipped_names("mmbackbones"))
