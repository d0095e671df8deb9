"""What is installed, held against what this package and the two lines of OpenMMLab ask for."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from .imports import Trial, try_imports
from .lines import CONTINUED, LINES, MMCV, TWINS, Line, line_of

NAME = "mmbackbones"
#: Extras of which a missing package is worth a word; `mm` or `onedl`, as the line is, comes before them.
EXTRAS = ("export", "leaderboard")
#: Why a package may be neither newer nor older, where that is not plain.
_REASONS = {"setuptools": "mmengine imports pkg_resources, which setuptools 81 removed"}
#: What no older torch can, as engine/compiling.py and sources/exporting.py find out once it is imported.
WHOLE_TORCH = SpecifierSet(">=2.5")
#: What mends an import that fails for no reason seen before.
_ANEW = {
    "torch": "pip install --force-reinstall torch torchvision",
    "torchvision": "pip install --force-reinstall torch torchvision",
    NAME: f"pip install --force-reinstall --no-deps {NAME}",
}


@dataclass(frozen=True)
class Finding:
    """Something that does not fit.

    Attributes:
        text: What.
        command: What mends it; empty where what stands before it does.
        broken: Whether something does not work for it; else it is only not there.
    """

    text: str
    command: str
    broken: bool = True


@dataclass(frozen=True)
class Diagnosis:
    """What there is, as rows of a name and a text, and what of it does not fit."""

    rows: list[tuple[str, str]]
    findings: list[Finding]


def diagnose(path: Sequence[str] | None = None) -> Diagnosis:
    """Look at all that is installed.

    Args:
        path: Where packages lie; default: where Python looks.
    """
    where = list(sys.path if path is None else path)
    found = installed(where)
    line = line_of(found)
    trials = try_imports(where)
    findings = [*_mixed(found, line), *_two_mmcv(found, line), *_wrong_mmcv(found, line)]
    findings += [*_base(found, line)]
    findings += [*_failed(trials, seen=bool(findings))]
    findings += [*_old_torch(found), *_missing(found, line)]
    return Diagnosis(rows(found, line, trials), findings)


def installed(path: Sequence[str]) -> dict[str, str]:
    """Name -> version of all distributions; of two with one name the first, as Python takes it."""
    found: dict[str, str] = {}
    for one in metadata.distributions(path=list(path)):
        if one.metadata is not None and one.metadata["Name"]:
            found.setdefault(canonicalize_name(one.metadata["Name"]), one.version)
    return found


def requirements(extra: str = "") -> list[Requirement]:
    """What this package asks for: always, or for one extra."""
    try:
        listed = [Requirement(text) for text in metadata.requires(NAME) or ()]
    except metadata.PackageNotFoundError:  # run out of a folder that was not installed
        return []
    wanted = [one for one in listed if one.marker is None or one.marker.evaluate({"extra": extra})]
    plain = {str(one) for one in listed if one.marker is None or one.marker.evaluate({"extra": ""})}
    return [one for one in wanted if not extra or str(one) not in plain]


def rows(found: dict[str, str], line: Line, trials: Sequence[Trial]) -> list[tuple[str, str]]:
    """What there is."""
    facts = {key: value for trial in trials for key, value in trial.facts.items()}
    own = [(name, _version(found, name)) for name in (NAME, "torch", "torchvision", "timm")]
    own.insert(1, ("Python", platform.python_version()))
    if "devices" in facts:
        own.append(("devices", _devices(facts)))
    names = [*line.packages.values(), *TWINS, *MMCV]
    here = [f"{name} {found[name]}" for name in dict.fromkeys(names) if name in found]
    own.append(("OpenMMLab", f"{line.name}: {', '.join(here)}" if here else "not installed"))
    if "operators" in facts:
        told = {"compiled": "compiled, mmcv's own", "ours": "ours, by torch and torchvision"}
        own.append(("operators", told[facts["operators"]]))
    for extra in EXTRAS:
        wanted = [canonicalize_name(one.name) for one in requirements(extra)]
        own.append((f"[{extra}]", ", ".join(f"{name} {_version(found, name)}" for name in wanted)))
    return own


def _version(found: dict[str, str], name: str) -> str:
    return found.get(name, "not installed")


def _devices(facts: dict[str, object]) -> str:
    names, cuda = facts["devices"], facts["cuda"]
    if isinstance(names, list) and names:
        return f"CUDA {cuda}: {', '.join(names)}"
    lacking = f"; torch is built for CUDA {cuda} and sees no GPU" if cuda else ""
    return f"CPU, threads: {facts['threads']}{lacking}"


def _mixed(found: dict[str, str], line: Line) -> Iterator[Finding]:
    """Packages of both lines."""
    (other,) = (one for one in LINES if one is not line)
    alien = [name for name in other.packages.values() if name in found]
    if alien and any(name in found for name in line.packages.values()):
        pairs = [name for name in alien if TWINS[name] in found]
        over = [f"{name} and {TWINS[name]} install the same folder" for name in pairs]
        torn = [f"{TWINS[name]}=={found[TWINS[name]]}" for name in pairs]
        whole = [name for name in alien if name not in pairs]
        again = f" && pip install --force-reinstall --no-deps {' '.join(torn)}" if torn else ""
        again += f" && pip install '{NAME}[{line.extra}]'" if whole else ""
        yield Finding(
            f"Both lines of OpenMMLab are installed: {', '.join(alien)} of the {other.name} line among the "
            f"{line.name} one's{''.join(f'; {text}' for text in over)}.",
            f"pip uninstall -y {' '.join(alien)}{again}",
        )


def _two_mmcv(found: dict[str, str], line: Line) -> Iterator[Finding]:
    """Two packages with the folder ``mmcv``."""
    here = [name for name in MMCV if name in found]
    if len(here) > 1:
        compiled = [name for name in here if name != "mmcv-lite"]
        text = " and ".join(f"{name} {found[name]}" for name in here)
        yield Finding(
            f"{text} install the same folder mmcv: files of one lie over the other's.",
            f"pip uninstall -y {' '.join(here)} && pip install mmcv-lite=={line.lite}"
            f"  (or, to build the compiled one, {compiled[-1]}=={found[compiled[-1]]})",
        )


def _wrong_mmcv(found: dict[str, str], line: Line) -> Iterator[Finding]:
    """An mmcv that mmdet and mmseg refuse, or a pair of them without any."""
    users = [name for module, name in line.packages.items() if module != "mmengine" and name in found]
    here = [name for name in MMCV if name in found]
    if not users:
        return
    text = " and ".join(f"{name} {found[name]}" for name in users)
    install = f"pip install mmcv-lite=={line.lite}"
    if not here:
        yield Finding(f"{text} need mmcv, which is not installed.", install)
    for name in here:
        if not SpecifierSet(line.mmcv).contains(found[name], prereleases=True):
            change = install if name == "mmcv-lite" else f"pip uninstall -y {name} && {install}"
            yield Finding(f"{name} {found[name]} does not fit: {text} want mmcv {line.mmcv}.", change)


def _base(found: dict[str, str], line: Line) -> Iterator[Finding]:
    """What this package cannot do without."""
    for one in requirements():
        name = canonicalize_name(one.name)
        if line is CONTINUED and name == "setuptools":
            continue  # its mmengine does without pkg_resources
        held = found.get(TWINS.get(name, ""), found.get(name))
        if held is None or not one.specifier.contains(held, prereleases=True):
            state = "is not installed" if held is None else f"{held} does not fit"
            reason = f": {_REASONS[name]}" if name in _REASONS else ""
            together = " torchvision" if name == "torch" else ""
            yield Finding(
                f"{name} {state}; {NAME} needs {name}{one.specifier}{reason}.",
                f"pip install '{name}{one.specifier}'{together}",
            )


def _failed(trials: Sequence[Trial], seen: bool) -> Iterator[Finding]:
    """Imports that fail, those that fail alike as one."""
    alike: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.state == "fails":
            alike.setdefault(trial.error, []).append(trial)
    for error, those in alike.items():
        names = ", ".join(trial.module for trial in those)
        package = those[0].module.partition(".")[0]
        anew = f"pip install --force-reinstall --no-deps {_distribution(package)}"
        command = _brings(those[0].lacks) or _ANEW.get(package, anew)
        yield Finding(f"{names} cannot be imported: {error}", "" if seen else command)


def _distribution(module: str) -> str:
    names = metadata.packages_distributions().get(module)
    return names[0] if names else module


def _brings(module: str) -> str:
    """The command that installs what ``module`` is in; empty for the empty name."""
    if not module:
        return ""
    top = module.partition(".")[0]
    for extra in ("", *(line.extra for line in LINES), *EXTRAS):
        for one in requirements(extra):
            if canonicalize_name(one.name) == canonicalize_name(top):
                return f"pip install '{NAME}[{extra}]'" if extra else f"pip install '{one}'"
    return f"pip install {top}"


def _old_torch(found: dict[str, str]) -> Iterator[Finding]:
    """A torch with which some things are left out."""
    held = found.get("torch")
    if held is not None and not WHOLE_TORCH.contains(held, prereleases=True):
        yield Finding(
            f"torch {held} writes no ONNX files and leaves compile=True out: that takes torch{WHOLE_TORCH}.",
            f"pip install 'torch{WHOLE_TORCH}' torchvision",
            broken=False,
        )


def _missing(found: dict[str, str], line: Line) -> Iterator[Finding]:
    """What an extra brings and is not there, or is there in another version."""
    for extra in (line.extra, *EXTRAS):
        wanted = {canonicalize_name(one.name): one for one in requirements(extra)}
        if any(name in found for name in MMCV):
            wanted = {name: one for name, one in wanted.items() if name not in MMCV}
        lacking = [name for name in wanted if name not in found]
        if lacking:
            text = f"Not installed, of the extra {extra}: {', '.join(lacking)}."
            yield Finding(text, f"pip install '{NAME}[{extra}]'", broken=False)
        for name, one in wanted.items():
            if name in found and not one.specifier.contains(found[name], prereleases=True):
                text = f"{name} {found[name]} is not what was tried: the extra {extra} asks for {one}."
                yield Finding(text, f"pip install '{one.name}{one.specifier}'", broken=False)
