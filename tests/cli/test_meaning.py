"""``--input`` and ``--binary``: what the summary says, folders of pairs, the account."""

from __future__ import annotations

import json

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d.cli import app

Z = np.random.default_rng(4).normal(0, 3, (2, 4, 30, 40)).astype(np.float32)
P = np.stack([s2d.softmax2d(z) for z in Z])
TRUTH = Z.argmax(1).astype(np.uint8)


@pytest.fixture
def cli(capsys):
    """Run ``softmax2d`` in this process; returns exit code, output, error output."""

    def run(*args):
        with pytest.raises(SystemExit) as stop:
            app.main([*map(str, args)])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.mark.parametrize("kind", ["probabilities", "log-probabilities", "logits"])
def test_the_first_line_says_what_the_numbers_are(cli, tmp_path, kind):
    held = {"probabilities": P, "log-probabilities": np.log(P), "logits": Z}[kind]
    np.save(tmp_path / "in.npy", held[0])
    np.save(tmp_path / "t.npy", TRUTH[0])
    for command, rest in {
        "segment": ("-o", tmp_path / "o.npy"),
        "probs": ("-o", tmp_path / "p.npy"),
        "evaluate": (tmp_path / "t.npy",),
    }.items():
        account = tmp_path / f"{command}.json"
        how = ("--input", kind, "--summary", account)
        code, out, err = cli(command, tmp_path / "in.npy", *rest, *how)
        assert (code, err) == (0, "")
        said = "" if kind == "logits" else f" {kind}"
        assert out.splitlines()[0].endswith(f"4 classes, 30 × 40 pixels, float32{said}")
        assert json.loads(account.read_text())["input"] == kind
    assert (np.load(tmp_path / "o.npy") == TRUTH[0]).all()


def test_one_channel_is_two_classes(cli, tmp_path):
    np.save(tmp_path / "in.npy", Z[0, 0])
    code, out, _ = cli("segment", tmp_path / "in.npy", "-o", tmp_path / "o.png", "--binary")
    assert code == 0 and "in.npy: 2 classes, 30 × 40 pixels, float32" in out


def test_folders_of_pairs(cli, tmp_path):
    for name, held in (("p", P), ("z", Z), ("t", TRUTH)):
        (tmp_path / name).mkdir()
        for i, each in enumerate(held):
            np.save(tmp_path / name / f"{i}.npy", each)
    for command in ("calibrate", "tune"):
        found = {}
        for name, how in (("z", ()), ("p", ("--input", "probabilities"))):
            out = tmp_path / f"{command}-{name}.json"
            code, _, _ = cli(command, tmp_path / name, tmp_path / "t", "-o", out, *how)
            assert code == 0
            found[name] = json.loads(out.read_text())
        np.testing.assert_allclose(found["p"]["temperature"], found["z"]["temperature"], rtol=1e-4)
        code, _, err = cli(command, tmp_path / "p", tmp_path / "t", "-o", tmp_path / "no.json")
        assert code == 2
        assert "0.npy: its numbers look like probabilities" in err


def test_an_unknown_kind_is_refused(cli, tmp_path):
    code, _, err = cli("segment", "in.npy", "-o", tmp_path / "o.npy", "--input", "softmax")
    assert code == 2
    assert "log-probabilities" in err
