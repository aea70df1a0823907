"""Commands over folders, and ``evaluate`` of label maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import softmax2d as s2d
from softmax2d.cli import app

RNG = np.random.default_rng(11)


def size_of(path: str) -> tuple[int, int]:
    """Width and height of a picture."""
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``softmax2d`` in this process; returns exit code, output, error output."""

    def run(*args: Any) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as stop:
            app.main([*map(str, args)])
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Three files of scores in z/, their truth in t/."""
    monkeypatch.chdir(tmp_path)
    truth = RNG.integers(0, 4, (3, 20, 30)).astype(np.uint8)
    logits = RNG.normal(size=(3, 4, 20, 30)).astype(np.float32)
    for name in ("z", "t"):
        (tmp_path / name).mkdir()
    for i in range(3):
        np.save(f"z/im{i}.npy", logits[i])
        Image.fromarray(truth[i]).save(f"t/im{i}.png")
    return logits, truth


def test_segment_then_evaluate(cli: Any, folders: Any) -> None:
    logits, truth = folders
    code, out, err = cli("segment", "z", "-o", "out", "--format", "png", "--summary", "all.json")
    assert (code, err) == (0, "")
    assert out.startswith("z/im0.npy  out/im0.png\n")
    assert "3 files, " in out
    labels = np.stack([np.asarray(Image.open(f"out/im{i}.png")) for i in range(3)])
    assert np.array_equal(labels, s2d.segment(logits).labels)
    assert [f["status"] for f in json.loads(Path("all.json").read_text())["files"]] == ["done"] * 3
    assert not list(Path("out").glob(".*"))
    code, out, err = cli("evaluate", "out", "t", "--report", "r.json")
    assert (code, err) == (0, "")
    assert out.startswith("out: 3 label maps\nt: 1800 pixels in 3 images, 4 classes; labels alone")
    plain = json.loads(Path("r.json").read_text())
    want = s2d.evaluate_labels(labels, truth)
    assert s2d.Statistics.from_dict(plain["statistics"]) == want


def test_evaluate_scores_of_a_folder(cli: Any, folders: Any) -> None:
    logits, truth = folders
    code, out, _ = cli("evaluate", "z", "t", "--report", "r.json", "--classes", "a,b,c,d")
    assert code == 0
    assert out.startswith("z: 3 files, 4 classes\nt: 1800 pixels in 3 images, 4 classes\n")
    plain = json.loads(Path("r.json").read_text())
    assert s2d.Statistics.from_dict(plain["statistics"]) == s2d.evaluate(logits, truth)
    assert plain["classes"] == ["a", "b", "c", "d"]


def test_the_format_of_results(cli: Any, folders: Any) -> None:
    assert cli("segment", "z", "-o", "same", "--quiet") == (0, "", "")
    assert sorted(p.name for p in Path("same").iterdir() if "confidence" not in p.name) == [
        "im0.npy", "im1.npy", "im2.npy",
    ]  # fmt: skip
    assert cli("probs", "z", "-o", "p", "--format", "zarr", "--quiet") == (0, "", "")
    assert Path("p/im2.zarr").is_dir()


def test_like_of_a_folder(cli: Any, folders: Any) -> None:
    Path("p").mkdir()
    for i in range(3):
        Image.fromarray(np.zeros((40 + i, 60, 3), np.uint8)).save(f"p/im{i}.jpg")
    assert cli("segment", "z", "-o", "out", "--like", "p", "--format", "png", "--quiet")[0] == 0
    assert size_of("out/im2.png") == (60, 42)


def test_a_file_that_fails_leaves_the_others(cli: Any, folders: Any) -> None:
    Path("z/im1.npy").write_bytes(b"no array")
    code, _, err = cli("segment", "z", "-o", "out")
    assert code == 3
    assert "z/im1.npy: is not a .npy file" in err
    assert "z: 1 of 3 files failed, as said above; the others are done" in err
    made = sorted(p.name for p in Path("out").iterdir() if "confidence" not in p.name)
    assert made == [".softmax2d-folder.json", "im0.npy", "im2.npy"]
    before = Path("out/im0.npy").stat().st_mtime_ns
    np.save("z/im1.npy", folders[0][1])
    code, _, err = cli("segment", "z", "-o", "out")
    assert code == 2
    assert "out/im0.npy: exists; --resume goes on with the others, --overwrite replaces it." in err
    code, _, err = cli("segment", "z", "-o", "out", "--resume", "--temperature", "2")
    assert code == 2
    assert "out: results were begun with other options" in err
    assert cli("segment", "z", "-o", "out", "--resume", "--quiet")[0] == 0
    assert Path("out/im0.npy").stat().st_mtime_ns == before
    assert not Path("out/.softmax2d-folder.json").exists()


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["segment", "z", "-o", "x.png"], 2, "x.png: names a file; LOGITS is a folder"),
        (["segment", "z", "-o", "t/im0"], 2, ""),
        (["segment", "z", "-o", "o", "--preview", "p.png"], 2, "--preview is of one file; LOGITS"),
        (["segment", "empty", "-o", "o"], 2, "empty: has no files."),
        (["segment", "z/im0.npy", "-o", "o.npy", "--format", "npy"], 2, "--format is for folders"),
        (["segment", "bad", "-o", "o"], 2, "bad: none of 1 files can be used."),
        (["evaluate", "z", "t", "--summary", "s.json"], 2, "--summary is of one pair of files"),
        (["evaluate", "z", "t/im0.png"], 2, "t/im0.png: is a file; LOGITS and TRUTH are two"),
        (["evaluate", "t/im0.png", "t/im1.png", "--temperature", "2"], 2, "--temperature is of sc"),
        (["evaluate", "z/im0.npy", "t/im1.png", "--spatial-dims", "2"], 2, "--spatial-dims is of"),
        (["evaluate", "z/im0.npy", "t/im1.png", "--classes", "9"], 2, "--classes 9: the scores"),
    ],
)
def test_refusals(cli: Any, folders: Any, args: list[str], code: int, text: str) -> None:
    Path("empty").mkdir()
    Path("bad").mkdir()
    Path("bad/a.npy").write_text("words")
    Path("t/im0").write_text("a file")
    if args[-1] != "t/im0":
        Path("t/im0").unlink()
    found, _, err = cli(*args)
    assert (found, text in err) == (code, True), err


def test_labels_of_one_pair(cli: Any, folders: Any) -> None:
    _, truth = folders
    labels = np.roll(truth[0], 1, axis=1)
    labels[:2] = 255
    np.save("labels.npy", labels)
    code, out, err = cli("evaluate", "labels.npy", "t/im0.png", "--nodata", "255", "--classes", "4")
    assert code == 0
    assert out.startswith(
        "labels.npy: a label map, 20 × 30 pixels, uint8\nt/im0.png: 540 pixels in"
    )
    assert "labels.npy: 60 pixels without a label, 255: counted nowhere." in err
    assert "calibration" not in out
    code, _, err = cli("evaluate", "labels.npy", "t/im0.png")
    assert code == 2
    assert "Give nodata=255 (--nodata 255) of a file" in err


@pytest.fixture
def pictures(cli: Any, folders: Any) -> None:
    """A network of three channels, net.onnx, and two pictures in p/."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    shape = [1, 3, "h", "w"]
    given, made = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy")
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["x"], ["y"], axis=1)], "g", [given], [made]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, "net.onnx")
    Path("p").mkdir()
    for i in range(2):
        picture = RNG.integers(0, 255, (20, 30, 3)).astype(np.uint8)
        Image.fromarray(picture).save(f"p/im{i}.png")


def test_predict_a_folder(cli: Any, pictures: Any) -> None:
    code, out, err = cli("predict", "net.onnx", "p", "-o", "out")
    assert code == 0, err
    assert "p/im0.png  out/im0.png\n" in out
    assert size_of("out/im1.png") == (30, 20)
    assert err.startswith("softmax2d: p/im0.png: net.onnx returns rows in [0, 1] that add up to 1")
    assert err.count("\n") == 1  # what is true of both is said once


def test_scores_of_a_folder_of_pictures(cli: Any, pictures: Any) -> None:
    """A .png holds none: without labels results are .tif, with them beside the .png."""
    code, _, err = cli("predict", "net.onnx", "p", "-o", "probs", "--outputs", "probs")
    assert code == 0, err
    assert sorted(path.name for path in Path("probs").iterdir()) == ["im0.tif", "im1.tif"]
    code, _, err = cli("predict", "net.onnx", "p", "-o", "both", "--outputs", "labels,probs")
    assert code == 0, err
    names = sorted(path.name for path in Path("both").iterdir())
    assert names == ["im0.png", "im0.probs.tif", "im1.png", "im1.probs.tif"]


def test_what_fails_in_a_folder_is_said_once_and_accounted(cli: Any, pictures: Any) -> None:
    Path("p/gone.png").symlink_to("nowhere.png")
    code, _, err = cli("predict", "net.onnx", "p", "-o", "out", "--summary", "all.json")
    assert code == 3
    assert "softmax2d: p/gone.png: No such file or directory." in err
    assert "softmax2d: p: 1 of 3 files failed" in err
    files = json.loads(Path("all.json").read_text())["files"]
    assert files[0] == {
        "status": "failed",
        "source": "p/gone.png",
        "error": "p/gone.png: No such file or directory.",
    }
    assert [f["status"] for f in files[1:]] == ["done"] * 2
    Path("p/gone.png").unlink()
    Path("p/im1.png").unlink()
    code, _, err = cli("predict", "net.onnx", "p", "-o", "p")
    assert code == 2
    assert "p: is the folder IMAGE itself, where results would be taken for more files of it" in err
    assert "1 file, " in cli("predict", "net.onnx", "p", "-o", "one")[1]
    code, _, err = cli("segment", "z", "-o", "new", "--classes", "a,b")
    assert err.count("2 names for 4 classes") == 1


def test_one_word_for_how_numbers_are_stored(cli: Any, folders: Any) -> None:
    for number, word in enumerate(("--as", "--confidence-as")):
        out = f"o{number}.npy"
        assert cli("segment", "z/im0.npy", "-o", out, word, "8bit", "--quiet")[0] == 0
        assert np.load(f"o{number}.confidence.npy").dtype == np.uint8
    for command in ("segment", "probs", "predict"):
        _, text, _ = cli(command, "--help")
        assert " --as [" in text
        assert "--confidence-as" not in text


def test_what_lies_beside_files_of_a_folder_is_left_out(cli: Any, folders: Any) -> None:
    before = cli("counts", "t")
    assert cli("segment", "z", "-o", "out", "--format", "tif", "--quiet") == (0, "", "")
    for name in ("t/Thumbs.db", "t/desktop.ini", "t/im0.png.aux.xml", "out/im0.qml", "out/im0.tfw"):
        Path(name).write_text("beside")
    Path("t/more").mkdir()
    assert cli("counts", "t") == before
    assert cli("counts", "out")[0] == 0
    assert cli("evaluate", "out", "t", "--quiet") == (0, "", "")


def test_resume_counts_labels_again(cli: Any, folders: Any) -> None:
    args = (
        "t/im0.png",
        "t/im0.png",
        "--classes",
        "4",
        "--summary",
        "s.json",
        "--resume",
        "--quiet",
    )
    for _ in range(2):
        assert cli("evaluate", *args) == (0, "", "")


def test_a_folder_may_have_any_name(cli: Any, folders: Any) -> None:
    Path("z").rename("scores_v1.0")
    Path("t").rename("truth.2024-05-01")
    assert cli("segment", "scores_v1.0", "-o", "labels_v1.0", "--format", "png", "--quiet")[0] == 0
    assert cli("evaluate", "labels_v1.0", "truth.2024-05-01", "--quiet") == (0, "", "")
    assert cli("evaluate", "scores_v1.0/", "truth.2024-05-01/", "--quiet") == (0, "", "")
    assert cli("counts", "truth.2024-05-01", "--quiet")[0] == 0
    assert cli("calibrate", "scores_v1.0", "truth.2024-05-01", "-o", "c.json", "--quiet")[0] == 0
    code, _, err = cli("segment", "scores_v1.0", "-o", "labels.bmp")
    assert (code, "labels.bmp: names a file" in err) == (2, True)


def test_what_other_programs_leave_is_no_file_of_a_folder(cli: Any, folders: Any) -> None:
    names = (
        *("im0.pkl", "dataset.json", "plans.json", "README", "notes.docx", "~$im0.npy", "im0.npy~"),
        *("._im0.npy", ".DS_Store", "Icon\r", "im0.npy:Zone.Identifier", "im0.lnk", "im1.npy.tmp"),
    )
    for name in names:
        Path("z", name).write_text("beside")
        Path("t", name).write_text("beside")
    assert cli("segment", "z", "-o", "out", "--quiet") == (0, "", "")
    assert len([p for p in Path("out").iterdir() if "confidence" not in p.name]) == 3
    assert cli("evaluate", "z", "t", "--quiet") == (0, "", "")
    assert cli("counts", "t", "--quiet")[0] == 0


@pytest.mark.parametrize(
    ("make", "text"),
    [
        ("z/im0.nii.gz", "z: has two files for im0: im0.nii.gz and im0.npy. Keep one kind"),
        ("z/im3.npy", "z/im3.npy: has 5 classes; im0.npy has 4. Evaluate files of other classes"),
    ],
)
def test_files_that_do_not_go_together(cli: Any, folders: Any, make: str, text: str) -> None:
    np.save("five.npy", np.zeros((5, 20, 30), np.float32) + np.arange(5)[:, None, None])
    Path("five.npy").rename(make)
    Path("t/im3.png").write_bytes(Path("t/im0.png").read_bytes())
    code, _, err = cli("evaluate", "z", "t")
    if "two files" in text:
        code, _, err = cli("segment", "z", "-o", "out")
    assert (code, text in err) == (2, True), err


def test_a_folder_without_files_says_what_it_holds(cli: Any, folders: Any) -> None:
    Path("above").mkdir()
    Path("z").rename("above/z")
    code, _, err = cli("segment", "above", "-o", "out")
    assert (code, err) == (
        2,
        "softmax2d: above: has no files of a format that is read; it holds z/.\n",
    )
    code, _, err = cli("counts", "above")
    assert (code, "it holds z/." in err) == (2, True)


def test_stores_are_no_folders(cli: Any, folders: Any) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.save_array("plain", folders[0][0])
    zarr.open_group("g.zarr", mode="w").create_array("0", data=folders[0][0])
    code, _, err = cli("segment", "plain", "-o", "out.png")
    assert (code, "plain: is a Zarr store without the suffix .zarr" in err) == (2, True)
    code, _, err = cli("segment", "g.zarr/0", "-o", "out.png")
    assert (code, "is a part of the store g.zarr; give that, and --key 0." in err) == (2, True)


def test_formats_of_folders_are_those_of_files() -> None:
    from softmax2d._files import formats
    from softmax2d.cli import _paths

    assert set(_paths._FORMATS) == set(formats._MODULES)


@pytest.mark.parametrize("out", [".", "..", "", "/"])
def test_a_folder_is_no_name_of_a_result(cli: Any, folders: Any, out: str) -> None:
    code, _, err = cli("segment", "z/im0.npy", "-o", out)
    text = "is a folder; give the name of a file, as in labels.png."
    assert (code, text in err) == (2, True), err
