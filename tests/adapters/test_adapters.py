"""What all adapters have in common: light imports, and errors that say what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

from softmax2d.adapters._peers import peer
from softmax2d.extras import install_command

PEERS = ("nnunetv2", "monai", "transformers", "segmentation_models_pytorch", "mmseg", "mmengine")
ABSENT = f"import sys\nfor name in {PEERS}: sys.modules[name] = None\n"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_adapter_imports_more_than_its_own_tool() -> None:
    names = "huggingface, mmsegmentation, nnunet, smp"
    found = run(
        f"import sys\nfrom softmax2d.adapters import {names}\n"
        f"print([name for name in {PEERS} if name in sys.modules])"
    )
    assert found.strip() == "[]"


def test_every_adapter_is_imported_without_its_tool_which_a_call_names() -> None:
    calls = {
        "nnunet.patch().__enter__()": (
            "nnunet needs nnunetv2. Install it with `pip install nnunetv2`."
        ),
        "monai.SegmentLogits()": "monai needs monai. Install it with `pip install monai`.",
        "monai.SegmentLogitsd('pred')": "monai needs monai. Install it with `pip install monai`.",
        "mmsegmentation.register()": (
            "mmsegmentation needs mmseg. Install it with `pip install mmsegmentation`."
        ),
    }
    tries = "".join(
        f"try:\n    {call}\nexcept ModuleNotFoundError as error:\n    print(error)\n"
        for call in calls
    )
    names = "huggingface, mmsegmentation, monai, nnunet, smp"
    found = run(f"{ABSENT}from softmax2d.adapters import {names}\n{tries}").splitlines()
    pip = install_command("", "x").removesuffix("install x")
    wanted = [message.replace("`pip ", f"`{pip}") for message in calls.values()]
    assert found == [f"softmax2d.adapters.{message}" for message in wanted]


def test_missing_pytorch_is_named_with_the_command() -> None:
    code = (
        "import sys\nsys.modules['torch'] = None\n"
        "try:\n    import softmax2d.adapters.smp\nexcept ModuleNotFoundError as error:\n"
        "    print(error)"
    )
    assert 'pip install "torch>=2.4"' in run(code)


def test_what_is_missing_inside_a_tool_is_passed_on() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'json.nothing'"):
        peer("nnunet", "json.nothing", "json")
