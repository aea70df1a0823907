"""Triton's kernels of pixels in its interpreter, and what CUDA tensors dispatch to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from softmax2d.torch.gate.arguments import source_of
from softmax2d.torch.gate.options import LossOptions, LovaszOptions, RegionOptions
from softmax2d.torch.gate.source import Source
from softmax2d.torch.kernels import cpu, cuda, cuda_pixels, tables
from tests import cases, truth
from tests.ulp import assert_within

pytest.importorskip("triton")

from triton.runtime import interpreter

from tests.torch.triton_loss import converted, numbers, tensor

# NumPy, which the interpreter computes with, warns of inf - inf.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
NAMES = ("float16", "bfloat16", "float32")
OUTPUTS = ["labels", "confidence", "margin", "entropy"]
FORMS = ("plain", "channels_last", "crop")


@pytest.fixture(autouse=True)
def rounding() -> Iterator[None]:
    with mock.patch.object(interpreter, "_convert_float", converted):
        yield


def laid_out(image: torch.Tensor, form: str) -> torch.Tensor:
    """The same numbers (N, C, H, W) elsewhere in memory."""
    if form == "channels_last":
        return image.contiguous(memory_format=torch.channels_last)
    if form == "crop":
        larger = torch.zeros(*image.shape[:3], image.shape[3] + 3, dtype=image.dtype)
        larger[..., 1:-2] = image
        return larger[..., 1:-2]
    return image


def source(logits: torch.Tensor, dim: int = -3, **options: Any) -> Any:
    return source_of("test", logits, Source(dim, **{"temperature": 1.0, **options}))


def columns_of(result: torch.Tensor) -> Any:
    """(1, C, H, W) as (C, pixels)."""
    return numbers(result[0].flatten(1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(cases.FINITE))
@pytest.mark.parametrize("name", NAMES)
def test_accuracy(name: str, kind: str) -> None:
    """The contract of the CPU: 4 ulp, 8 for margin and entropy, half types rounded once."""
    bound = 0.501 if name != "float32" else 4
    for number, classes in enumerate((1, 2, 21)):
        z = cases.columns(kind, classes, 40, name)
        true = truth.Pixels(z)
        image = laid_out(tensor(z).reshape(1, classes, 5, 8), FORMS[number])
        where = f"{kind} {name} C={classes}"
        for logs, want in ((False, true.softmax()), (True, true.log_softmax())):
            found = columns_of(cuda.probs(image, logs, source(image)))
            assert_within(found, want, bound, f"{logs} {where}")
        labels, *values = cuda.segment(image, source(image), OUTPUTS, None)
        assert np.array_equal(labels.flatten(), np.asarray(z).argmax(0))
        for quantity, value in zip(OUTPUTS[1:], values, strict=True):
            most = 4 if quantity == "confidence" else 8
            want = getattr(true, quantity)()
            assert_within(value.flatten().numpy(), want, most, f"{quantity} {where}")


@pytest.mark.parametrize("classes", [150, 1000])
def test_many_classes(classes: int) -> None:
    z = cases.assorted(classes, 12, "float32")
    true, image = truth.Pixels(z), tensor(z).reshape(1, classes, 3, 4)
    for logs, want in ((False, true.softmax()), (True, true.log_softmax())):
        found = columns_of(cuda.probs(image, logs, source(image)))
        assert_within(found, want, 4, f"{logs} {classes}")
    labels, confidence, entropy = cuda.segment(
        image, source(image), ["labels", "confidence", "entropy"], None
    )
    assert labels.dtype == (torch.uint8 if classes == 150 else torch.int64)
    assert np.array_equal(labels.flatten().numpy(), z.argmax(0))
    assert_within(confidence.flatten().numpy(), true.confidence(), 4)
    assert_within(entropy.flatten().numpy(), true.entropy(), 8)


@pytest.mark.parametrize("name", NAMES)
def test_special_values(name: str) -> None:
    inf, nan = float("inf"), float("nan")
    z = torch.tensor(
        [[-inf, 1, nan, inf, -inf, 2, nan], [-inf, nan, nan, 1, 3, inf, -inf],
         [-inf, 5, 0, inf, 3, 1, 9]], dtype=torch.float32,
    ).to(getattr(torch, name)).reshape(1, 3, 1, 7)  # fmt: skip
    for logs in (False, True):
        found, want = (m.probs(z, logs, source(z)) for m in (cuda, cpu))
        assert torch.equal(found.isnan(), want.isnan())
        assert torch.equal(found.nan_to_num(), want.nan_to_num())
    found, want = (m.segment(z, source(z), OUTPUTS, None) for m in (cuda, cpu))
    for a, b in zip(found, want, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True, rtol=3e-7, atol=0)


GRIDS: dict[str, dict[str, Any]] = {
    "map": {"temperature": torch.tensor([1.0, 2.0, 0.5]), "bias": torch.tensor([0.5, -1, 0])},
    "one temperature": {"temperature": 3.0},
    "larger": {"size": (9, 13)},
    "smaller, corners": {"size": (3, 4), "align_corners": True, "temperature": 0.7},
    "nearest": {"size": (8, 8), "interpolation": ("nearest-exact", "linear")},
    "window": {"size": (9, 13), "window": (slice(1, 8, 2), slice(2, 9))},
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("grid", sorted(GRIDS))
@pytest.mark.parametrize("name", NAMES)
def test_maps_and_grids_are_those_of_the_cpu(name: str, grid: str, form: str) -> None:
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(2, 3, 5, 6, generator=generator).to(getattr(torch, name))
    z = laid_out(z, form)
    given = source(z, **GRIDS[grid])
    half = {"rtol": 2.0**-7, "atol": 1e-6}
    close = {"rtol": 4e-6, "atol": 4e-7} if name == "float32" else half
    for logs in (False, True):
        found, want = (m.probs(z, logs, given) for m in (cuda, cpu))
        assert found.stride() == want.stride()
        torch.testing.assert_close(found, want, **close)
    found, want = (m.segment(z, given, OUTPUTS, None) for m in (cuda, cpu))
    assert torch.equal(found[0], want[0])
    for a, b in zip(found[1:], want[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=4e-5, atol=4e-6)
    for output in OUTPUTS:  # alone
        (alone,) = cuda.segment(z, given, [output], None)
        assert torch.equal(alone, found[OUTPUTS.index(output)])


def test_one_temperature_never_changes_a_label() -> None:
    """Neighbouring numbers that a division rounds to one."""
    z = torch.tensor([1.0, float(np.nextafter(np.float32(1), np.float32(2)))]).reshape(1, 2, 1, 1)
    for temperature in (1.5, 3.0, 7.0):
        (label,) = cuda.segment(z, source(z, temperature=temperature), ["labels"], None)
        assert label.item() == 1


@pytest.mark.parametrize("logs", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name: str, logs: bool) -> None:
    for classes, form in ((1, "plain"), (3, "crop"), (19, "channels_last"), (40, "plain")):
        z = tensor(cases.columns("normal", classes, 12, name)).reshape(1, classes, 3, 4)
        result = laid_out(cpu.probs(z, logs, source(z)), form)
        grad = laid_out(z.flip(3), form)
        found = cuda.vjp(result, grad, logs, -3)
        assert found.stride() == torch.empty_like(result).stride()
        function = truth.log_softmax_vjp if logs else truth.softmax_vjp
        want = function(columns_of(result), columns_of(grad))
        assert_within(columns_of(found), want, 8 if name == "float32" else 0.501, f"{classes}")


@pytest.mark.parametrize("dim", [-1, -4])
def test_any_class_dimension(dim: int) -> None:
    z = torch.randn(2, 3, 2, 4, 5, generator=torch.Generator().manual_seed(1))
    given = source(z, dim)
    torch.testing.assert_close(cuda.probs(z, False, given), cpu.probs(z, False, given))
    found, want = (m.segment(z, given, OUTPUTS, None) for m in (cuda, cpu))
    assert torch.equal(found[0], want[0])


PLAIN: dict[str, dict[str, Any]] = {
    "float64": {"dtype": torch.float64},
    "volume": {"dim": -4, "size": (3, 4, 5)},
}


@pytest.mark.parametrize("case", sorted(PLAIN))
def test_what_triton_has_no_kernel_for(case: str) -> None:
    options = dict(PLAIN[case])
    dtype, dim = options.pop("dtype", torch.float32), options.pop("dim", -3)
    shape = (2, 3, 4, 5) if dim == -3 else (2, 3, 2, 3, 4)
    z = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    given = source(z, dim, **options)
    torch.testing.assert_close(cuda.probs(z, True, given), cpu.probs(z, True, given))
    for top_k in (None, 2):
        found, want = (m.segment(z, given, OUTPUTS, top_k) for m in (cuda, cpu))
        for a, b in zip(found, want, strict=True):
            assert a.dtype == b.dtype
            torch.testing.assert_close(a.float(), b.float())


LOSSES = {
    "mean": LossOptions(),
    "weighted": LossOptions(torch.tensor([1.0, 2, 0.5]).double(), 1, label_smoothing=0.1),
    "sum": LossOptions(ignore_index=None, reduction="sum"),
    "none": LossOptions(ignore_index=2, reduction="none"),
    "focal": LossOptions(focal_gamma=2.0),
    "hardest": LossOptions(top_k=7),
    "share": LossOptions(ignore_index=1, top_k=0.3),
    "threshold": LossOptions(reduction="sum", threshold=0.4),
}


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, (7, 9)])
@pytest.mark.parametrize("case", sorted(LOSSES))
def test_losses_are_those_of_the_cpu(case: str, size: Any) -> None:
    generator = torch.Generator().manual_seed(5)
    z = laid_out(torch.randn(2, 3, 4, 5, generator=generator), "channels_last")
    target = torch.randint(0, 3, (2, *(size or (4, 5))), generator=generator)
    given, options = source(z, size=size), LOSSES[case]
    results = []
    for module in (cuda, cpu):
        loss, *saved = module.cross_entropy(z, target, given, options)
        upstream = torch.linspace(0.5, 2, loss.numel()).reshape(loss.shape)
        rest = (tuple(saved), given, options)
        grad = module.cross_entropy_backward(upstream, z, target, *rest)
        both = module.cross_entropy_with_grad(z, target, given, options)
        assert grad.stride() == z.stride()
        results.append((loss, grad, *both))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-7)


def test_a_target_out_of_range_is_nan() -> None:
    z = torch.zeros(1, 3, 2, 2)
    target = torch.tensor([[[0, 1], [3, 2]]])
    options = LOSSES["none"]._replace(weight=None, ignore_index=-100)
    loss, *saved = cuda.cross_entropy(z, target, source(z), options)
    assert loss.isnan().tolist() == [[[False, False], [True, False]]]
    grad = cuda.cross_entropy_backward(
        torch.ones_like(loss), z, target, tuple(saved), source(z), options
    )
    assert grad.isnan().any(1).tolist() == loss.isnan().tolist()


@pytest.mark.parametrize("size", [None, (7, 9)])
def test_losses_of_regions(size: Any) -> None:
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(2, 3, 4, 5, generator=generator)
    target = torch.randint(0, 3, (2, *(size or (4, 5))), generator=generator)
    given, up = source(z, size=size), torch.tensor(1.5)
    results: list[list[Any]] = [[], []]
    for found, module in zip(results, (cuda, cpu), strict=True):
        options = RegionOptions(
            None, 1, (1.0, 1.0), False, "macro", True, True, "count", "test", [2.0, 0.0, 1.0, 1.0]
        )
        loss, slopes = module.region(z, target, given, options)
        found += [loss, module.region_backward(up, z, target, slopes, given, options)]
        options = LovaszOptions(None, "present", 1)
        found.append(module.lovasz(z, target, given, options))
        found.append(module.lovasz_backward(up, z, target, given, options))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("found", ["none", "3.5.1", "nightly"])
def test_an_old_triton_is_said(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the plain formulas take over."""

    def version(name: str) -> str:
        if found == "none":
            raise cuda_pixels.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(cuda_pixels, "version", version)
    cuda_pixels._has_triton.cache_clear()
    try:
        z = torch.zeros(1, 3, 2, 2)
        with pytest.warns(RuntimeWarning, match=f"triton 3.6 or newer.*found {found}"):
            probs = cuda.probs(z, False, source(z))
        assert torch.equal(probs, torch.full_like(z, 1 / 3))
        grad = cuda.vjp(probs, z + 1, False, -3)
        assert grad.abs().max() < 1e-7
    finally:
        cuda_pixels._has_triton.cache_clear()


def far_apart(path: Path, image: torch.Tensor, classes: int) -> torch.Tensor:
    """The same numbers (1, C, 1, W) with 2^28 numbers between classes, in a file of holes."""
    steps = (classes * 2**28, 2**28, image.shape[3], 1)
    memory = np.memmap(path, np.uint16, "w+", shape=((classes - 1) * 2**28 + image.shape[3],))
    view = torch.from_numpy(memory.view(np.int16)).view(image.dtype).as_strided(image.shape, steps)
    return view.copy_(image)


def test_blocks_of_classes_beyond_32_bits(tmp_path: Path) -> None:
    """40 classes of 2^28 pixels: strides fit 32 bits, eight of them do not."""
    z = tensor(cases.columns("normal", 40, 4, "float16")).reshape(1, 40, 1, 4)
    grad, target = z.flip(3).contiguous(), torch.tensor([[[0, 39, 8, 25]]])
    far, far_grad = (far_apart(tmp_path / n, t, 40) for n, t in (("z", z), ("g", grad)))
    out = far_apart(tmp_path / "out", torch.zeros_like(z), 40)
    for logs in (False, True):
        want = cuda.probs(z, logs, source(z))
        assert torch.equal(cuda.probs(far, logs, source(far), out), want)
        want = cuda.vjp(z, grad, logs, -3)
        assert torch.equal(cuda.vjp(far, far_grad, logs, -3, out), want)
    for a, b in zip(*(cuda.segment(t, source(t), OUTPUTS, None) for t in (far, z)), strict=True):
        assert torch.equal(a, b)
    options = LossOptions(label_smoothing=0.1)
    kernels = cuda_pixels.launchers("cross_entropy")
    names: Any = {"weight": None, "ignore_index": None, "smoothing": 0.1, "temperature": None}
    names |= {"bias": None, "rows": None, "columns": None}
    found, want = (cuda._losses(t, target, source(t), options) for t in (far, z))
    assert torch.equal(found[0], want[0]) and torch.equal(found[1], want[1])
    kept, ours = want[1].reshape(2, 1, 1, 4), torch.empty_like(z)
    for logits, to in ((z, ours), (far, out)):
        kernels.backward(logits, target, kept, torch.ones(1), to, **names)
    assert torch.equal(out, ours)


def test_a_plane_beyond_32_bits_has_no_kernel() -> None:
    for shape, known in (((1, 2, 2**16, 2**15), False), ((1, 2, 2**15, 2**15), True)):
        z = torch.zeros(1).expand(shape)
        assert cuda_pixels.fast(z, Source(-3)) == known
    z = torch.zeros(1).expand(1, 2, 2**11, 2**10, 2**10)
    assert not cuda_pixels.fast(z, Source(-4))


@pytest.mark.parametrize("form", ["plain", "channels_last"])
def test_volumes_in_a_batch_are_not_copied(form: str) -> None:
    z = torch.randn(2, 5, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    target = torch.randint(0, 5, (2, 3, 4, 6), generator=torch.Generator().manual_seed(1))
    if form == "channels_last":
        z = z.contiguous(memory_format=torch.channels_last_3d)
    view = cuda_pixels.four(z, -4, 3)
    assert view.shape == (2, 5, 12, 6) and view.data_ptr() == z.data_ptr()
    assert cuda_pixels.four_pixels(target, 3).data_ptr() == target.data_ptr()
    given, options = source(z, -4), LossOptions(ignore_index=1)
    results = []
    for module in (cuda, cpu):
        loss, *saved = module.cross_entropy(z, target, given, options)
        one = torch.ones(())
        grad = module.cross_entropy_backward(one, z, target, tuple(saved), given, options)
        results.append((loss, grad, module.probs(z, False, given)))
        results[-1] += tuple(module.segment(z, given, OUTPUTS, None))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_lines_in_a_batch_are_resampled() -> None:
    """Each is an image of one row; a table of rows has one entry."""
    z = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    target = torch.randint(0, 4, (3, 8), generator=torch.Generator().manual_seed(1))
    given = source(z, -2, size=8)
    found, want = (m.cross_entropy(z, target, given, LossOptions()) for m in (cuda, cpu))
    torch.testing.assert_close(found[0], want[0])
    grads = [
        m.cross_entropy_backward(torch.ones(()), z, target, tuple(s), given, LossOptions())
        for m, (_, *s) in ((cuda, found), (cpu, want))
    ]
    torch.testing.assert_close(*grads)
    torch.testing.assert_close(cuda.probs(z, True, given), cpu.probs(z, True, given))


@pytest.mark.parametrize("options", [{"top_k": 5}, {"top_k": 0.5}, {"threshold": 0.5}])
@pytest.mark.parametrize("kind", ["NaN", "no class"])
def test_the_hardest_pixels_hide_nothing(kind: str, options: dict[str, Any]) -> None:
    z = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    target = torch.randint(0, 3, (1, 4, 4), generator=torch.Generator().manual_seed(1))
    if kind == "NaN":
        z[0, 1, 2, 3] = float("nan")
    else:
        target[0, 2, 3] = 7
    loss, *saved = cuda.cross_entropy(z, target, source(z), LossOptions(**options))
    assert loss.isnan()
    grad = cuda.cross_entropy_backward(
        torch.ones(()), z, target, tuple(saved), source(z), LossOptions(**options)
    )
    assert grad[0, :, 2, 3].isnan().all() and grad.isnan().sum() == 3


def test_kernels_are_launched_on_the_device_of_the_logits(monkeypatch: Any) -> None:
    """Triton launches on the current device, whatever the tensors are on."""
    entered: list[Any] = []

    class Guard:
        def __init__(self, given: torch.Tensor) -> None:
            self.given = given

        def __enter__(self) -> None:
            entered.append(self.given)

        def __exit__(self, *_: Any) -> None:
            entered.append(None)

    monkeypatch.setattr(torch.cuda, "device_of", Guard)
    z, target = torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)
    given = source(z, size=(2, 2))
    loss, *saved = cuda.cross_entropy(z, target, given, LossOptions())
    calls: list[Any] = [
        lambda: cuda.cross_entropy(z, target, given, LossOptions()),
        lambda: cuda.cross_entropy_backward(
            torch.ones_like(loss), z, target, tuple(saved), given, LossOptions()
        ),
        lambda: cuda.probs(z, False, given),
        lambda: cuda.vjp(z, z, True, -3),
        lambda: cuda.segment(z, given, OUTPUTS, None),
    ]
    for call in calls:
        entered.clear()
        call()
        first, last = entered
        assert first.data_ptr() == z.data_ptr() and last is None


def test_tables_are_made_once_and_kept_for_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_kept", {})
    monkeypatch.setattr(tables, "_in_graphs", {})
    monkeypatch.setattr(tables, "_MOST", 2)
    z = torch.randn(1, 3, 4, 5)
    window = (slice(1, 8, 2), slice(0, 9))
    ways: list[Any] = [
        {},
        {"align_corners": True},
        {"window": window},
        {"interpolation": "nearest"},
    ]
    sources = [source(z, size=(9, 9), **way) for way in ways]
    for given in sources:
        (rows, _), (again, _) = (tables.axis_tables(z.shape, given, z.device) for _ in range(2))
        assert rows[0] is again[0]
    assert len(tables._kept) == 2
    monkeypatch.setattr(tables, "_is_recorded", lambda device: True)
    found = tables.axis_tables(z.shape, sources[3], z.device)
    assert list(tables._in_graphs.values()) == [found]
    with pytest.raises(
        RuntimeError, match=r"from size \(4, 5\) to \(9, 9\) are not on cpu yet. Run"
    ):
        tables.axis_tables(z.shape, sources[0], z.device)


def test_the_oldest_triton_is_the_one_that_ci_compiles_with() -> None:
    oldest = ".".join(map(str, cuda_pixels.OLDEST_TRITON))
    root = Path(__file__).parents[2]
    assert f"triton=={oldest}.0" in (root / ".ci/run").read_text("utf-8")
    for page in ("docs/concepts/pytorch.md", "docs/concepts/pytorch.zh.md"):
        assert f"Triton {oldest} " in (root / page).read_text("utf-8")
