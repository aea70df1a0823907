"""The reference has every public name: its generator and its tables leave none out."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from docs._site import public
from softmax2d import _names
from tests import test_api

FOLDER = Path(__file__).parents[2] / "docs/reference"
TABLE = re.compile(r"^```\{names\} (\S+)\n(.*?)^```$", re.M | re.S)


def tables(suffix: str) -> dict[str, list[str]]:
    """Modules and the names that the tables of a language list."""
    found: dict[str, list[str]] = {}
    for path in sorted(FOLDER.glob("*.md")):
        if path.name.endswith(".zh.md") == (suffix == ".zh.md"):
            for module, listed in TABLE.findall(path.read_text("utf-8")):
                found.setdefault(module, []).extend(listed.split())
    return found


def test_every_module_is_known():
    assert set(public.modules()) >= {"softmax2d", *(f"softmax2d.{m}" for m in public_modules())}
    assert list(public.names("softmax2d")) == test_api.NAMES


def public_modules() -> set[str]:
    """The public modules but for the words of the command line."""
    return set(_names.modules()) - {"language"}


# Adapters import the tools that they adapt, which takes seconds.
LIGHT = [module for module in public.modules() if "adapters" not in module]


@pytest.mark.parametrize("module", LIGHT)
def test_every_name_is_known(module):
    if module in ("softmax2d.torch", "softmax2d.dask"):
        pytest.importorskip(module.partition(".")[2])
    held = importlib.import_module(module)
    defined = {
        name
        for name, each in vars(held).items()
        if name[0] != "_"
        and (inspect.isfunction(each) or inspect.isclass(each))
        and each.__module__ == module
    }
    assert set(public.names(module)) == set(getattr(held, "__all__", defined))


@pytest.mark.parametrize("suffix", [".md", ".zh.md"])
def test_tables_list_every_name_once(suffix):
    listed = tables(suffix)
    for module in public.modules():
        if module in public.ON_ONE_PAGE:
            text = (FOLDER / f"{module}{suffix}").read_text("utf-8")
            assert f".. automodule:: {module}\n   :members:" in text
        else:
            assert sorted(listed.pop(module, [])) == sorted(public.names(module)), module
    assert not listed


def test_pages_differ_where_file_systems_know_no_case():
    pages = [each.page.lower() for each in public.everything() if public.has_page(each)]
    assert len(pages) == len(set(pages))


def test_every_command_has_a_page():
    pytest.importorskip("click")
    from softmax2d.cli import app

    assert set(public.commands()) == set(app.commands)
