"""The repository agrees with itself: versions, names of files, scripts."""

import os
import re
import tomllib
from pathlib import Path

import pytest

import softmax2d

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# A name in backquotes that can only be a file or a folder of this repository.
FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:md|toml|txt|cff|sh))`")

DESIGN = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/design/*.md"))
NAMING = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", *DESIGN]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_versions_agree():
    (cited,) = re.findall(r"^version: (\S+)$", read("CITATION.cff"), re.MULTILINE)
    assert PROJECT["version"] == softmax2d.__version__ == cited


def test_licences_agree():
    (cited,) = re.findall(r"^license: (\S+)$", read("CITATION.cff"), re.MULTILINE)
    assert PROJECT["license"] == cited == "BSD-3-Clause"
    assert read("LICENSE").startswith("BSD 3-Clause License")


def test_changelog_lists_the_version_or_unreleased_changes():
    headings = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0] == PROJECT["version"]


@pytest.mark.parametrize("name", NAMING)
def test_documents_name_existing_files(name):
    package = ROOT / "src/softmax2d"
    inner = (*(package / name for name in ("stream", "_files", "torch")), *ROOT.glob("cpp/impl/*"))
    places = (ROOT, ROOT / "cpp", ROOT / "cpp/impl", package, *inner)
    for path in FILE.findall(read(name)):
        if "NAME" in path:  # a pattern
            continue
        assert any((place / path).exists() for place in places), f"{name} names {path}"


@pytest.mark.parametrize(
    "script", [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("scripts/*.sh"))]
)
def test_scripts_are_short_executable_and_stop_at_errors(script):
    lines = read(script).splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert len(lines) <= 30
    assert os.access(ROOT / script, os.X_OK)


def test_test_extra_pins_the_torch_that_ci_installs():
    (pin,) = [p for p in PROJECT["optional-dependencies"]["test"] if p.startswith("torch")]
    assert f"pip install {pin}\n" in read(".ci/run")
