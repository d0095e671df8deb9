"""What is published: the sdist that ``.ci/dist`` builds, and one version in all places."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml

import mmbackbones

BUILD = "from setuptools.build_meta import build_sdist; build_sdist({folder!r})"


@pytest.fixture(scope="module")
def content(root: Path) -> list[str]:
    """The files and folders that the script takes out of the repository."""
    (listed,) = re.findall(r"^CONTENT=\((.*)\)$", (root / ".ci/dist").read_text(), re.M)
    return listed.split()


@pytest.fixture(scope="module")
def sdist(
    builder: None, root: Path, content: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Name -> text of each file in the sdist, built of those alone; nothing is fetched."""
    tree = tmp_path_factory.mktemp("tree")
    subprocess.run(["cp", "-r", *content, tree], cwd=root, check=True)
    words = [sys.executable, "-c", BUILD.format(folder=str(tree / "dist"))]
    done = subprocess.run(words, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = (tree / "dist").glob("*.tar.gz")
    assert file.name == f"mmbackbones-{mmbackbones.__version__}.tar.gz"
    with tarfile.open(file) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read().decode(errors="replace")  # type: ignore[union-attr]
            for member in members
        }


def test_the_sdist_holds_the_package_and_nothing_else(sdist: dict[str, str], root: Path) -> None:
    beside = {"PKG-INFO", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"}
    inside = {name for name in sdist if not name.startswith("mmbackbones.egg-info/")} - beside
    boards = {name for name in inside if name.startswith("plugin/advisor/boards/")}
    assert {Path(name).name for name in boards} <= {"record.json", "scores.npz"}
    kinds = {".py", ".md", ".yml", ".typed", ".html", ".css", ".js"}
    assert {Path(name).suffix for name in inside - boards} <= kinds
    wanted = {
        str(path.relative_to(root))
        for folder in ("plugin", "necks", "configs")
        for path in (root / folder).rglob("*.py")
    }
    assert {name for name in inside if name.endswith(".py")} == wanted


def test_metadata(sdist: dict[str, str], root: Path) -> None:
    told = message_from_string(sdist["PKG-INFO"])
    assert told["Version"] == mmbackbones.__version__
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Description-Content-Type"] == "text/markdown"
    pythons = [one.rpartition(" ")[2] for one in told.get_all("Classifier") if "Python :: 3." in one]
    matrix = yaml.safe_load((root / ".github/workflows/ci.yml").read_text())["jobs"]["tests"]["strategy"]
    assert pythons == matrix["matrix"]["python"]  # each is tested
    assert told["Requires-Python"] == f">={pythons[0]}"
    extras = set(told.get_all("Provides-Extra"))
    assert {row["extra"] for row in matrix["matrix"]["include"]} | set(matrix["matrix"]["extra"]) <= extras


def test_version_is_in_one_place(root: Path) -> None:
    """Where it is told again, it is the same."""
    assert 'version = "' not in (root / "pyproject.toml").read_text().partition("[tool.")[0]
    cited = yaml.safe_load((root / "docs/CITATION.cff").read_text())
    assert cited["version"] == mmbackbones.__version__
    assert mmbackbones.__version__ in (root / "docs/changelog.md").read_text()


def test_forms_and_workflows_can_be_read(root: Path) -> None:
    files = [*(root / ".github").rglob("*.yml"), root / "docs/.readthedocs.yaml"]
    assert len(files) >= 6
    for file in files:
        read = yaml.safe_load(file.read_text(encoding="utf-8"))
        for step in (step for job in read.get("jobs", {}).values() for step in job["steps"]):
            assert step.keys() & {"uses", "run"}, step
            for target in re.findall(r"\bmake (\w+)", step.get("run", "")):
                assert re.search(rf"^{target}:", (root / "Makefile").read_text(), re.M), target
