"""Releases: workflows that can run, and no command that waits for the first release."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TEXTS = {
    ".cff",
    ".html",
    ".ipynb",
    ".js",
    ".md",
    ".po",
    ".py",
    ".pyi",
    ".sh",
    ".toml",
    ".txt",
    ".yml",
}
# An index's name where a folder should stand: pip install softmax2d, "softmax2d[torch]".
FROM_INDEX = re.compile(
    r"\b(?:pip|uv|pipx)[\w -]* (?:install|add) [^\n`;&|]*?[\"' ]softmax2d(?![\w./-])"
)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_names_what_exists(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    (lowest,) = re.findall(r">=3\.(\d+)$", PROJECT["project"]["requires-python"])
    for job in workflow["jobs"].values():
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(workflow["jobs"])
        for row in job.get("strategy", {}).get("matrix", {}).get("include", []):
            assert int(row["python"].split(".")[1]) >= int(lowest)
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert re.search(r"@v\d", step.get("uses", "@v0")), step  # a version, not a branch
            for script in re.findall(r"\b(?:tools|scripts|\.ci)/[\w./]+", step.get("run", "")):
                assert (ROOT / script).exists(), script


def test_only_a_tag_publishes_after_everything():
    jobs = yaml.safe_load((ROOT / ".github/workflows/wheels.yml").read_text(encoding="utf-8"))[
        "jobs"
    ]
    publish = jobs.pop("publish")
    assert set(publish["needs"]) == set(jobs)
    assert "github.event_name == 'push'" in publish["if"]
    assert publish["permissions"] == {"id-token": "write"}
    assert not any("permissions" in job for job in jobs.values())


def test_wheels_are_built_for_every_python_that_is_named():
    build = {int(name[3:-2].removeprefix("3")) for name in PROJECT["tool"]["cibuildwheel"]["build"]}
    classifiers = "\n".join(PROJECT["project"]["classifiers"])
    assert build == {int(minor) for minor in re.findall(r":: 3\.(\d+)$", classifiers, re.MULTILINE)}
    assert PROJECT["tool"]["scikit-build"]["wheel"]["py-api"] == "cp312"
    (script,) = re.findall(r"\S+\.py", PROJECT["tool"]["cibuildwheel"]["test-command"])
    assert (ROOT / script.replace("{project}/", "")).exists()


def test_nothing_is_installed_from_an_index_before_the_first_release():
    assert FROM_INDEX.search('pip install "softmax2d[torch]"')
    assert FROM_INDEX.search("python -m pip install -U softmax2d")
    assert not FROM_INDEX.search('pip install ".[all]"')
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = [name for name in listed.stdout.split("\n") if Path(name).suffix in TEXTS]
    assert names
    for name in names:
        if name == Path(__file__).relative_to(ROOT).as_posix() or not (ROOT / name).is_file():
            continue
        found = FROM_INDEX.search((ROOT / name).read_text(encoding="utf-8"))
        assert not found, f"{name}: {found}"


def test_description_on_an_index_needs_no_other_file():
    text = PROJECT["project"]["readme"]["text"]
    assert not re.search(r"]\((?!https://)", text)
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)
    assert names["result"].labels.shape == names["result"].confidence.shape == (512, 1024)
