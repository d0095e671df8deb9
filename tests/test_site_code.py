"""What the pages of the site show: Python that runs, commands that are known, messages that are said."""

from __future__ import annotations

import doctest
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from test_house import code_blocks
from test_site import committed
from typer.main import get_command
from typer.testing import CliRunner

from mmbackbones import InputError
from mmbackbones.cli import app
from mmbackbones.cli.options import normalise

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GUIDES = ["start.md", *sorted(f"guides/{path.name}" for path in (DOCS / "guides").glob("*.md"))]
RULES = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks() -> list[tuple[str, int]]:
    return [
        (page, number) for page in ["index.md", *GUIDES] for number in range(len(code_blocks(DOCS / page)))
    ]


@pytest.mark.parametrize(("page", "number"), blocks())
def test_python_of_the_guides_runs(
    page: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    block = code_blocks(DOCS / page)[number]
    path = tmp_path / "block.py"
    path.write_text(block, encoding="utf-8")
    if not block.startswith("_base_"):
        runpy.run_path(str(path))
        return
    cfg = Config.fromfile(path)
    with torch.device("meta"), MODELS.switch_scope_and_registry(cfg.default_scope) as registry:
        net = registry.build(cfg.model.backbone)
        assert type(net).__module__ == "mmbackbones.backbone"
        maps = net(torch.empty(2, 3, 64, 64))
        if cfg.model.get("neck"):
            maps = registry.build(cfg.model.neck)(maps)
        if "decode_head" in cfg.model:
            registry.build(cfg.model.decode_head)(maps)


def fences(path: Path) -> list[tuple[str, str]]:
    """Language and text of each block of a page; what YAML says in comments is in the page's language."""
    found = re.findall(r"^```([\w{}]*)\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
    return [(kind, re.sub(r" +#.*", "", text) if kind == "yaml" else text) for kind, text in found]


@pytest.mark.parametrize("page", [*GUIDES, "faq.md"])
def test_the_chinese_page_shows_the_same_code_and_tables(page: str) -> None:
    """And each of the two leads to the other."""
    english, chinese = DOCS / page, DOCS / "zh" / page.rpartition("/")[2]
    assert fences(english) == fences(chinese)
    texts = [path.read_text(encoding="utf-8") for path in (english, chinese)]
    rows = [[line.count("|") for line in text.splitlines() if line.startswith("|")] for text in texts]
    assert rows[0] == rows[1]
    heads = [
        re.findall(r"^(#+) ", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M) for text in texts
    ]
    assert heads[0] == heads[1]
    up = "../" * page.count("/")
    assert texts[0].splitlines()[2] == f"[中文]({up}zh/{chinese.name})"
    assert texts[1].splitlines()[2] == f"[English](../{page})"


def test_every_chinese_page_has_an_english_one() -> None:
    names = {page.rpartition("/")[2] for page in [*GUIDES, "faq.md", "index.md"]}
    assert {path.name for path in (DOCS / "zh").glob("*.md")} == names


def commands() -> Iterator[tuple[str, str]]:
    """Every line with our command in a block of a shell, of all pages and both READMEs."""
    for path in [*committed(), *ROOT.glob("README*.md")]:
        for language, block in fences(path):
            lines = block.replace("\\\n", "").splitlines() if language in ("", "sh", "console") else []
            for line in lines:
                if found := re.match(r"(?:\$ )?(?:torchrun .*-m mmbackbones\.cli|mmbackbones) (.*)", line):
                    yield path.name, found[1]


def test_commands_of_all_pages_have_such_options() -> None:
    known, count = get_command(app).commands, 0
    for page, line in commands():
        name, *words = shlex.split(line, comments=True)
        assert name in known, f"{page}: {line}"
        # reads the words and runs nothing
        known[name].make_context(name, list(normalise([name, *words]))[1:])
        count += 1
    assert count > 60


def test_a_command_with_an_unknown_option_would_be_seen() -> None:
    with pytest.raises(Exception, match="No such option:? '?--epoch"):
        get_command(app).commands["train"].make_context("train", ["x", "--epoch", "2"])


@pytest.fixture
def faq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # its examples write files
    return (DOCS / "faq.md").read_text(encoding="utf-8")


def test_python_messages_of_the_faq_are_said(faq: str) -> None:
    examples = "\n".join(re.findall(r"^```pycon\n(.*?)^```", faq, re.M | re.S))
    test = doctest.DocTestParser().get_doctest(examples, {}, "faq.md", "faq.md", 0)
    raising = [one for one in test.examples if one.exc_msg]
    assert len(raising) >= 9
    assert all(one.exc_msg.startswith("mmbackbones.errors.") for one in raising)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=RULES)
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_messages_of_commands_in_the_faq_are_said(faq: str) -> None:
    shown = re.findall(r"^```console\n\$ mmbackbones (.*)\n(Error: .*)\n```", faq, re.M)
    assert len(shown) >= 3
    for line, message in shown:
        done = CliRunner().invoke(app, normalise(shlex.split(line)))
        assert isinstance(done.exception, InputError), done.output
        assert doctest.OutputChecker().check_output(f"{message}\n", f"Error: {done.exception}\n", RULES), line


def test_the_boards_spec_of_the_guide_is_read(shapes: Path, tmp_path: Path) -> None:
    from mmbackbones.leaderboard.spec import read_spec

    (tmp_path / "my_coco").symlink_to(shapes)
    (text,) = (text for kind, text in fences(DOCS / "guides/leaderboard.md") if kind == "yaml")
    small = text.replace("edgenext_small", "resnet10t")  # it is built, for the limits
    (tmp_path / "board.yaml").write_text(small, encoding="utf-8")
    spec = read_spec(tmp_path / "board.yaml")
    assert {"resnet50", "regnety_002", "timm:resnet10t"} <= set(spec.backbones)
    assert [trial.name for trial in spec.trials] == ["sgd", "adamw"]
