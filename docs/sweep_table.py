"""Writes the table of ``make sweep`` into ``docs/coverage.md``: ``python docs/sweep_table.py``.

It stands between ``<!-- sweep -->`` and ``<!-- end sweep -->``, at the page's end unless these are
elsewhere, and is made of ``build/sweep.jsonl``; the newest outcome of each check counts. A check that was
sought and has no outcome is shown as not run.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coverage.md"
MARKS = ("<!-- sweep -->", "<!-- end sweep -->")
#: Head of a column: the tests under it.
COLUMNS = {
    "row": "a_row_says_what_the_network_is weights_are_those_of_the_sources_and_the_default_is_theirs "
    "cost_and_kind_are_those_of_the_network parameters_are_the_executed_figure",
    "maps": "maps_have_the_exact_size_channels_and_strides",
    "place": "the_centre_of_a_cells_gradient_lies_at_its_place shifting_the_image_shifts_the_maps",
    "select": "every_selection_has_its_maps_and_a_gradient_for_every_parameter",
    "dilate": "dilated_net_sampled_equals_the_ordinary_net a_net_that_cannot_be_dilated_refuses "
    "original_padding_is_dilated_too_or_needs_no_repair",
    "upstream": "maps_are_those_of_timms_feature_network maps_are_those_of_torchvisions_nodes "
    "levels_of_a_plain_transformer_are_timms_blocks_without_tokens",
    "freeze": "frozen_stages_stay_and_the_rest_trains the_stem_is_the_first_layer_with_its_norm",
    "fraction": "the_frozen_part_stays_and_the_rest_trains",
    "norms": "norms_are_replaced_under_their_names",
    "memory": "checkpointing_changes_no_value",
    "bf16": "bf16_autocast_and_channels_last_are_finite",
    "file": "a_file_of_the_state_dict_gives_the_same_maps copies_are_whole_and_apart",
    "inputs": "other_numbers_of_input_channels",
    "onnx": "onnx_export_gives_the_same_maps",
    "compile": "torch_compile_traces_the_whole_net",
}
SIGNS = {"passed": "+", "skipped": "o", "failed": "**x**", "not run": "?"}


def outcomes(lines: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The newest line of each (name, check): of several variants the worst one."""
    newest = {line["id"]: line for line in lines if "id" in line}
    order = ("passed", "skipped", "failed")
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for line in newest.values():
        key = line["name"], line["check"]
        if key not in found or order.index(line["outcome"]) > order.index(found[key]["outcome"]):
            found[key] = line
    sought = [tuple(pair) for line in lines if "sought" in line for pair in line["sought"]]
    return {**{pair: {"outcome": "not run"} for pair in sought}, **found}


def column_of(check: str) -> str:
    """The head under which a test stands; its own name if none does."""
    return next((head for head, tests in COLUMNS.items() if check in tests.split()), check)


def table(found: dict[tuple[str, str], dict[str, Any]]) -> str:
    """One row for each name, one column for each kind of check."""
    worst = ("passed", "not run", "failed")
    cells: dict[tuple[str, str], str] = {}
    for (name, check), line in found.items():
        key, outcome = (name, column_of(check)), line["outcome"]
        if outcome == "skipped":
            continue  # one of several tests that does not apply; the reason stands with the test
        if key not in cells or worst.index(outcome) > worst.index(cells[key]):
            cells[key] = outcome
    heads = [head for head in COLUMNS if any(head == column for _, column in cells)]
    heads += sorted({column for _, column in cells} - set(heads))
    rows = ["| name | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for name in sorted({name for name, _ in cells}):
        signs = (SIGNS[cells[name, head]] if (name, head) in cells else "" for head in heads)
        rows.append(f"| {name} | " + " | ".join(signs) + " |")
    return "\n".join(rows)


def report(lines: list[dict[str, Any]]) -> str:
    """Counts, the table, and the reason of each failure."""
    found = outcomes(lines)
    count = Counter(line["outcome"] for line in found.values())
    names = {name for name, _ in found}
    states = Counter(line["state"].partition(":")[0] for line in found.values() if "state" in line)
    measured = ", ".join(f"{commit} ({number})" for commit, number in states.most_common())
    minutes = sum(line.get("seconds", 0) for line in lines) / 60
    text = [
        f"{len(names)} names, {sum(count.values())} checks: {count['passed']} passed, "
        f"{count['failed']} failed, {count['skipped']} do not apply, {count['not run']} not run. "
        f"Measured at commit {measured} in {minutes:.0f} minutes.",
        "",
        "`+` passed, `**x**` failed, `?` not run, empty: does not apply.",
        "",
        table(found),
    ]
    failed = [(pair, line) for pair, line in sorted(found.items()) if line["outcome"] == "failed"]
    if failed:
        text += ["", "Failures:", ""]
        text += [f"- `{name}`, {check}: {line['reason']}" for (name, check), line in failed]
    return "\n".join(text)


def main() -> None:
    """Write the page's part anew."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "sweep.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    text = PAGE.read_text(encoding="utf-8")
    if MARKS[0] not in text:
        text += f"\n## Every check on every name\n\n{MARKS[0]}\n{MARKS[1]}\n"
    inside = f"{MARKS[0]}\n\n{report(lines)}\n\n{MARKS[1]}"
    pattern = re.compile(re.escape(MARKS[0]) + ".*?" + re.escape(MARKS[1]), re.S)
    PAGE.write_text(pattern.sub(lambda _: inside, text), encoding="utf-8")


if __name__ == "__main__":
    main()
