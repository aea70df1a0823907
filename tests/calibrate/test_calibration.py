"""The object that a fit gives: its file, what is refused of it, and every place that takes it."""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softmax2d as s2d
from softmax2d import _whole_file
from softmax2d._records import saved
from softmax2d.calibrate import Calibration
from softmax2d.stream import evaluate_files, predict, segment_file, softmax2d_file

SCALE, BIAS = [0.5, 1.5, 2.0], [0.25, -0.5, 0.25]
ONE = Calibration(1.7, None, "temperature", (5, 6, 7))
EACH = Calibration(
    np.array(SCALE), np.array(BIAS), "vector", (5, 6, 7), class_names=("a", "b", "c")
)
BOTH = pytest.mark.parametrize("calibration", [ONE, EACH], ids=["one", "each"])
EXTRA = np.array([0.0, -np.inf, 1.0])


def mapped(calibration: Calibration, bias: Any = None) -> dict[str, Any]:
    """Its numbers, as everything took them before."""
    own = 0.0 if calibration.bias is None else calibration.bias
    added = own + (0.0 if bias is None else bias)
    return {"temperature": calibration.temperature} | (
        {} if np.ndim(added) == 0 else {"bias": np.asarray(added)}
    )


def scene() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 2, (2, 3, 7, 9)).astype(np.float32), rng.integers(0, 3, (2, 7, 9))


# ----------------------------------------------------------------------------- its file


@BOTH
def test_a_file_gives_it_back(calibration: Calibration, tmp_path: Path) -> None:
    calibration.save(tmp_path / "c.json")
    found = Calibration.load(tmp_path / "c.json")
    assert found == calibration == Calibration.from_dict(calibration.to_dict())
    assert pickle.loads(pickle.dumps(calibration)) == calibration
    assert found.classes == 3 and os.listdir(tmp_path) == ["c.json"]
    if calibration is EACH:
        with pytest.raises(ValueError, match="read-only"):
            found.bias[0] = 1
    with pytest.raises(AttributeError):
        found.method = "bias"  # type: ignore[misc]


def test_saving_replaces_the_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.json"
    ONE.save(path)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    EACH.save(link)
    assert link.is_symlink() and Calibration.load(path) == EACH

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_whole_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        ONE.save(path)
    assert Calibration.load(path) == EACH
    assert sorted(os.listdir(tmp_path)) == ["c.json", "link.json"]


def altered(**change: Any) -> str:
    return json.dumps({**EACH.to_dict(), **change})


YOUNGER = ("nll_validated", "folds", "warnings")
HOSTILE = {
    "empty": ("", "is no JSON"),
    "binary": (b"\x80\x04\x95\xff", "is no JSON"),
    "cut": (altered()[:200], "is no JSON"),
    "deep": ("[" * 100_000, "is no JSON"),
    "list": ("[]", 'expected an object whose "format"'),
    "other": ('{"format": "else"}', 'expected an object whose "format"'),
    "version": (altered(format_version=2), "format_version must be 1"),
    "true version": (altered(format_version=True), "format_version must be 1"),
    "twice": ('{"format": 1, "format": 2}', "a key occurs twice"),
    "nan": (altered().replace("0.5", "NaN", 1), "NaN is no JSON"),
    "infinite": (altered().replace("0.5", "1e999", 1), "temperature must be"),
    "huge": (altered().replace("0.5", "1" + "0" * 400, 1), "temperature must be"),
    "digits": (altered().replace("0.5", "1" + "0" * 5000, 1), "is no JSON"),
    "zero": (altered(temperature=0), "temperature must be positive"),
    "negative": (altered(temperature=[1, -1, 1]), "temperature must be positive"),
    "string": (altered(temperature="1"), "temperature must be a number"),
    "bool": (altered(temperature=True), "temperature must be a number"),
    "nested": (altered(bias=[[1, 2, 3]]), "bias must be null, or a number for each class"),
    "short": (altered(bias=[1, 2]), "bias must be 3 finite numbers"),
    "names": (altered(class_names=["a"]), "class_names must be one for each of 3 classes"),
    "no names": (altered(class_names=[1, 2, 3]), "class_names must be null, or a string"),
    "counts": (altered(pixels=[1, 2, -3]), "pixels must be a count for each class"),
    "no counts": (altered(pixels=[]), "pixels must be a count for each class"),
    "method": (altered(method="platt"), "method must be temperature, vector, bias"),
    "unknown": (altered(extra=1), "'extra' is not a known field"),
    "control": (altered(note=1, **{"a\nb": 1}), r"'a\nb' is not a known field"),
    "bounds": (altered(bounds=[1]), "bounds must be two numbers"),
    "folds": (altered(folds=-1), "folds must be a count"),
    "validated": (altered(nll_validated="x"), "nll_validated must be null or a finite number"),
    "warnings": (altered(warnings=[1]), "warnings must be strings"),
    "flag": (altered(converged=1), "converged must be true or false"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_what_is_no_calibration_is_refused(name: str, tmp_path: Path) -> None:
    given, told = HOSTILE[name]
    path = tmp_path / "c.json"
    path.write_bytes(given if isinstance(given, bytes) else given.encode())
    with pytest.raises(ValueError, match="c.json") as caught:
        Calibration.load(path)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_missing_fields_and_large_files(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    for name in [name for name in EACH.to_dict() if name not in YOUNGER]:
        plain = EACH.to_dict()
        del plain[name]
        path.write_text(json.dumps(plain))
        with pytest.raises(ValueError, match="missing|expected|must be 1"):
            Calibration.load(path)
    path.write_bytes(b" " * (saved.MOST_BYTES + 1))
    with pytest.raises(ValueError, match="larger than 64 MiB"):
        Calibration.load(path)
    for error in (FileNotFoundError, ValueError):
        with pytest.raises(error, match=r"none.json: no such file\.$"):
            Calibration.load(tmp_path / "none.json")
    os.mkfifo(tmp_path / "fifo.json")  # would block for ever
    for path, cause in ((tmp_path / "fifo.json", "is a FIFO"), (tmp_path, "is a directory")):
        with pytest.raises(ValueError, match=cause):
            Calibration.load(path)


def test_files_from_before_a_field_was_there(tmp_path: Path) -> None:
    path, plain = tmp_path / "c.json", EACH.to_dict()
    path.write_text(json.dumps({name: v for name, v in plain.items() if name not in YOUNGER}))
    found = Calibration.load(path)
    assert found == EACH
    assert (found.nll_validated, found.folds, found.warnings) == (None, 0, ())


def test_wrong_numbers_are_refused_at_once() -> None:
    for change in ({"temperature": -1.0}, {"bias": np.array([0.0, np.nan, 0])}, {"images": -1}):
        with pytest.raises(ValueError, match="Calibration: "):
            Calibration(
                **{"temperature": 1.0, "bias": None, "method": "bias", "pixels": (1, 2, 3)} | change
            )


# ----------------------------------------------------------------------------- where it is taken

LOSSES = (
    "cross_entropy2d",
    "dice_loss2d",
    "jaccard_loss2d",
    "tversky_loss2d",
    "lovasz_softmax_loss2d",
)


def flat(arrays: tuple[Any, ...]) -> Any:
    return np.concatenate([np.ravel(array) for array in arrays])


@BOTH
def test_numpy_functions_take_it(calibration: Calibration) -> None:
    z, t = scene()
    for bias in (None, EXTRA):
        plain = mapped(calibration, bias)
        given: dict[str, Any] = {"temperature": calibration, "bias": bias}
        for function in (s2d.softmax2d, s2d.log_softmax2d):
            assert np.array_equal(function(z, **given), function(z, **plain))
        assert np.array_equal(
            s2d.segment(z, **given).confidence, s2d.segment(z, **plain).confidence
        )
    plain = mapped(calibration)
    assert s2d.evaluate(z, t, temperature=calibration) == s2d.evaluate(z, t, **plain)
    for name in LOSSES:
        for function in (getattr(s2d, name), getattr(s2d, f"{name}_with_grad")):
            found, want = (function(z, t, **how) for how in ({"temperature": calibration}, plain))
            found, want = (flat(r if isinstance(r, tuple) else (r,)) for r in (found, want))
            assert np.array_equal(found, want), name


@BOTH
def test_other_numbers_of_classes_are_refused(calibration: Calibration, tmp_path: Path) -> None:
    z, t = np.zeros((4, 5, 6), np.float32), np.zeros((5, 6), int)
    told = "temperature is a calibration of 3 classes; the logits have 4"
    calls = [
        lambda: s2d.softmax2d(z, temperature=calibration),
        lambda: s2d.segment(z, temperature=calibration),
        lambda: s2d.evaluate(z, t, temperature=calibration),
        lambda: s2d.cross_entropy2d(z, t, temperature=calibration),
        lambda: segment_file(z, tmp_path / "l.npy", temperature=calibration),
        lambda: evaluate_files(z, t, temperature=calibration),
        lambda: predict(
            lambda x: np.zeros((len(x), 4, *x.shape[2:]), np.float32), np.zeros((9, 9)),
            np.zeros((9, 9), np.uint8), window=4, temperature=calibration,
        ),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match=told):
            call()


@BOTH
def test_torch_takes_it(calibration: Calibration) -> None:
    torch = pytest.importorskip("torch")
    import softmax2d.torch as s2t

    z, t = scene()
    tensor, target = torch.from_numpy(z), torch.from_numpy(t)
    for bias in (None, EXTRA):
        given = {"temperature": calibration, "bias": bias if bias is None else torch.tensor(bias)}
        plain = mapped(calibration, bias)
        found = s2t.softmax2d(tensor, **given).numpy()
        assert np.array_equal(found, s2d.softmax2d(z, **plain))
        assert np.array_equal(
            s2t.segment(tensor, **given).confidence, s2d.segment(z, **plain).confidence
        )
    loss = s2t.CrossEntropy2d(temperature=calibration)(tensor, target).item()
    assert loss == s2d.cross_entropy2d(z, t, **mapped(calibration))
    module = s2t.Softmax2d(temperature=calibration)
    assert np.array_equal(module(tensor).numpy(), s2d.softmax2d(z, **mapped(calibration)))
    repr(module)
    linear = s2t.linear_cross_entropy2d(
        torch.ones(1, 8, 2, 2), torch.ones(3, 8), None, torch.zeros(1, 2, 2, dtype=torch.int64),
        temperature=calibration,
    )  # fmt: skip
    assert torch.isfinite(linear)
    with pytest.raises(ValueError, match="calibration of 3 classes; the logits have 7"):
        s2t.softmax2d(tensor, dim=2, temperature=calibration)


@BOTH
def test_compiled_modules_take_it(calibration: Calibration) -> None:
    torch = pytest.importorskip("torch")
    import softmax2d.torch as s2t

    z, t = (torch.from_numpy(a) for a in scene())
    module = s2t.CrossEntropy2d(temperature=calibration)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    assert compiled(z, t).item() == module(z, t).item()


@BOTH
def test_dask_takes_it(calibration: Calibration) -> None:
    da = pytest.importorskip("dask.array")
    import softmax2d.dask as s2k

    z, t = scene()
    lazy = da.from_array(z, chunks=(1, 3, 4, 9))
    found = s2k.segment(lazy, temperature=calibration).confidence.compute()
    assert np.array_equal(found, s2d.segment(z, **mapped(calibration)).confidence)
    counts = s2k.evaluate(lazy, da.from_array(t, chunks=(1, 4, 9)), temperature=calibration)
    assert counts.compute().nll == s2d.evaluate(z, t, **mapped(calibration)).nll


@BOTH
def test_streams_take_it_and_journals_compare_its_numbers(
    calibration: Calibration, tmp_path: Path
) -> None:
    z, t = scene()
    np.save(tmp_path / "z.npy", z)
    plain = mapped(calibration)
    segment_file(tmp_path / "z.npy", tmp_path / "l.npy", temperature=calibration)
    assert np.array_equal(np.load(tmp_path / "l.npy"), s2d.segment(z, **plain).labels)
    softmax2d_file(tmp_path / "z.npy", tmp_path / "p.npy", temperature=calibration, bias=EXTRA)
    want = s2d.softmax2d(z, **mapped(calibration, EXTRA))
    assert np.array_equal(np.load(tmp_path / "p.npy"), want)
    assert evaluate_files(z, t, temperature=calibration) == s2d.evaluate(z, t, **plain)
    from softmax2d.stream._segment import plan_run
    from softmax2d.stream.plan.results import Style

    defaults = {n: p.default for n, p in inspect.signature(segment_file).parameters.items()}

    heads = []
    for given in ({"temperature": calibration}, plain):
        asked: Any = {**defaults, **given, "overwrite": True}
        places = tmp_path / "z.npy", tmp_path / "q.npy"
        with plan_run(*places, ("labels",), Style(), None, asked) as run:
            heads.append(run.work.header["parameters"] if hasattr(run.work, "header") else None)
            assert np.array_equal(
                run.operation.affine[0], 1 / np.broadcast_to(plain["temperature"], 3)
            )
    assert heads[0] == heads[1]


@BOTH
@pytest.mark.parametrize("blend", ["logits", "probabilities"])
def test_predict_takes_it(calibration: Calibration, blend: Any) -> None:
    def model(batch: Any) -> Any:
        return np.concatenate([batch - 0.5, 0.3 - batch, 0.1 * batch], axis=1).astype(np.float32)

    image = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    results = []
    for given in ({"temperature": calibration}, mapped(calibration)):
        out = {"labels": np.zeros((9, 9), np.uint8), "confidence": np.zeros((9, 9), np.float32)}
        outputs = ("labels", "confidence")
        predict(model, image, out, window=4, outputs=outputs, blend=blend, **given)
        results.append(out)
    assert all(np.array_equal(results[0][n], results[1][n]) for n in results[0])


def test_importing_softmax2d_brings_neither_json_nor_scipy() -> None:
    code = (
        "import sys, softmax2d; print('softmax2d.calibrate' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


def test_copies_stay_read_only() -> None:
    for copied in (pickle.loads(pickle.dumps(EACH)), copy.deepcopy(EACH)):
        assert copied == EACH
        assert not copied.bias.flags.writeable and not copied.temperature.flags.writeable
