"""MMSegmentation's labels and losses, against its own (real: mmsegmentation, mmengine, mmcv-lite).

mmcv-lite is mmcv without compiled operators, which nothing here uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from softmax2d.adapters import mmsegmentation as adapter
from tests import cases, peers

OPTIONS: dict[str, dict[str, Any]] = {
    "mean": {},
    "mean of valid": {"avg_non_ignore": True, "loss_weight": 0.4},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "classes": {"class_weight": [1.0, 2.0, 0.5, 3.0, 1.5]},
}


@pytest.fixture(scope="module", autouse=True)
def models() -> Any:
    return peers.real_mmseg("mmseg.models")


def logits_of(*shape: int) -> torch.Tensor:
    rng = np.random.default_rng([cases.SEED, *shape])
    return torch.from_numpy(rng.normal(0, 3, shape).astype(np.float32))


def labels_of(*shape: int, ignored: bool = True) -> torch.Tensor:
    rng = np.random.default_rng([cases.SEED, *shape])
    found = torch.from_numpy(rng.integers(0, 5, shape))
    if ignored:
        found[..., :2, :] = 255
    return found


def samples(metas: list[dict[str, Any]], labels: torch.Tensor | None = None) -> list[Any]:
    made = [peers.real("mmseg.structures").SegDataSample(metainfo=meta) for meta in metas]
    pixels = peers.real("mmengine.structures").PixelData
    for sample, one in zip(made, [] if labels is None else labels, strict=labels is not None):
        sample.gt_sem_seg = pixels(data=one[None])
    return made


def segmentor(models: Any, corners: bool = False, mode: str = "whole") -> Any:
    """A small EncoderDecoder with MMSegmentation's own head."""
    norm = {"type": "BN", "requires_grad": True}
    head = {
        "type": "FCNHead", "in_channels": 4, "channels": 4, "num_convs": 1, "num_classes": 5,
        "norm_cfg": norm, "align_corners": corners, "concat_input": False,
        "loss_decode": {"type": "CrossEntropyLoss", "avg_non_ignore": True},
    }  # fmt: skip

    class Backbone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = torch.nn.Conv2d(3, 4, 3, stride=4, padding=1)

        def forward(self, picture: torch.Tensor) -> list[torch.Tensor]:
            return [self.step(picture)]

    registry = peers.real("mmseg.registry").MODELS
    registry.register_module("TestBackbone", force=True, module=Backbone)
    peers.real("mmengine.registry").init_default_scope("mmseg")
    cfg = {"mode": mode, "crop_size": (16, 16), "stride": (8, 8)}
    config = peers.real("mmengine.config").ConfigDict(cfg)
    torch.manual_seed(0)
    with peers.quiet():
        model = models.EncoderDecoder(
            backbone={"type": "TestBackbone"}, decode_head=head, test_cfg=config
        )
    return model.eval()


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("flip", [None, "horizontal", "vertical"])
def test_labels_are_mmsegmentations(models: Any, corners: bool, flip: str | None) -> None:
    model = segmentor(models, corners)
    logits = logits_of(2, 5, 24, 32)
    metas: list[dict[str, Any]] = [
        {"ori_shape": (41, 50), "padding_size": [0, 4, 0, 8], "pad_shape": (24, 32)},
        {"ori_shape": (16, 30), "img_padding_size": (1, 0, 2, 3)},
    ]
    for meta in metas if flip else []:
        meta.update(flip=True, flip_direction=flip)
    wanted = model.postprocess_result(logits.double(), samples(metas))
    adapter.install(model, scores=("confidence", "margin"))
    found = model.postprocess_result(logits, samples(metas))
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours.pred_sem_seg.data, theirs.pred_sem_seg.data)
        assert ours.pred_sem_seg.data.dtype == theirs.pred_sem_seg.data.dtype
        probs = theirs.seg_logits.data.softmax(0).amax(0, keepdim=True)
        torch.testing.assert_close(ours.confidence.data, probs.float(), rtol=1e-5, atol=0)
        assert ours.margin.data.shape == probs.shape and "seg_logits" not in ours
    del model.postprocess_result
    assert "seg_logits" in model.postprocess_result(logits, samples(metas))[0]


def test_labels_without_samples(models: Any) -> None:
    logits = logits_of(2, 5, 6, 7)
    wanted = segmentor(models).postprocess_result(logits)
    found = adapter.postprocess_result(logits)
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours.pred_sem_seg.data, theirs.pred_sem_seg.data)


@pytest.mark.parametrize("grid", ["input", "head"])
def test_a_whole_prediction(models: Any, grid: Any) -> None:
    model = segmentor(models)
    picture = logits_of(1, 3, 24, 32)
    meta = {"ori_shape": (24, 32), "img_shape": (24, 32), "pad_shape": (24, 32)}
    wanted = model.predict(picture, samples([meta]))
    adapter.install(model, grid=grid)
    found = model.predict(picture, samples([meta]))
    assert torch.equal(found[0].pred_sem_seg.data, wanted[0].pred_sem_seg.data)


def test_refusals_of_labels(models: Any) -> None:
    with pytest.raises(ValueError, match=r'needs test_cfg\.mode="whole"; got .slide.'):
        adapter.install(segmentor(models, mode="slide"), grid="head")
    meta = {"ori_shape": (24, 32), "padding_size": [0, 4, 0, 8], "pad_shape": (24, 32)}
    with pytest.raises(ValueError, match=r"must be of its size, \(24, 32\); got \(6, 8\)"):
        adapter.postprocess_result(logits_of(1, 5, 6, 8), samples([meta]))
    with pytest.raises(ValueError, match="flip_direction must be .* got 'diagonal'"):
        turned = {"ori_shape": (6, 8), "flip": True, "flip_direction": "diagonal"}
        adapter.postprocess_result(logits_of(1, 5, 6, 8), samples([turned]))
    with pytest.raises(ValueError, match=r"at least two classes, .* got \(1, 1, 6, 8\)"):
        adapter.postprocess_result(logits_of(1, 1, 6, 8))


def loss_pair(models: Any, name: str) -> tuple[Any, Any]:
    theirs = models.losses.CrossEntropyLoss
    with (
        pytest.warns(UserWarning, match="avg_non_ignore")
        if name in ("mean", "classes")
        else peers.quiet()
    ):
        return theirs(**OPTIONS[name]), adapter.CrossEntropyLoss(**OPTIONS[name])


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("extra", ["", "weight", "avg_factor", "override"])
def test_loss_and_gradient_are_mmsegmentations(models: Any, name: str, extra: str) -> None:
    theirs, ours = loss_pair(models, name)
    labels = labels_of(2, 6, 7, ignored=name != "classes")
    how: dict[str, Any] = {"ignore_index": 255}
    if extra == "weight":
        how["weight"] = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(0))
    if extra == "avg_factor":
        how["avg_factor"] = 17.0
    if extra == "override":
        how["reduction_override"] = "sum"
    found = []
    for loss in (theirs, ours):
        logits = logits_of(2, 5, 6, 7)
        logits = (logits.double() if loss is theirs else logits).requires_grad_()
        if extra == "avg_factor" and name == "sum":
            with pytest.raises(ValueError, match="avg_factor"):
                loss(logits, labels, **how)
            continue
        value = loss(logits, labels, **how)
        found.append((value, torch.autograd.grad(value.sum(), logits)[0]))
        assert loss.loss_name == "loss_ce"
    if found:
        exact = [one.float() for one in found[0]]
        torch.testing.assert_close(found[1][0], exact[0], rtol=2e-6, atol=0)
        torch.testing.assert_close(found[1][1], exact[1], rtol=2e-6, atol=0)


@pytest.mark.parametrize("ignored", [0, 3, -1])
@pytest.mark.parametrize("name", ["classes", "classes, valid"])
def test_ignored_pixels_in_a_divisor_of_weights(models: Any, name: str, ignored: int) -> None:
    options = OPTIONS["classes"] | {"avg_non_ignore": name != "classes"}
    labels = labels_of(2, 6, 7, ignored=False)
    labels[0, :2] = ignored
    found = []
    for kind in (models.losses.CrossEntropyLoss, adapter.CrossEntropyLoss):
        with peers.quiet():
            loss = kind(**options)
        logits = logits_of(2, 5, 6, 7).double().requires_grad_()
        value = loss(logits, labels, ignore_index=ignored)
        found.append((value, torch.autograd.grad(value, logits)[0]))
    torch.testing.assert_close(found[1], found[0], rtol=2e-6, atol=0)


def test_no_valid_pixel_is_a_loss_of_nothing() -> None:
    labels = torch.full((1, 6, 7), 255)
    loss = adapter.CrossEntropyLoss(avg_non_ignore=True)
    assert loss(logits_of(1, 5, 6, 7), labels, ignore_index=255).item() == 0


def test_a_head_learns_from_its_own_logits(models: Any) -> None:
    head = segmentor(models).decode_head
    labels = labels_of(2, 24, 32)
    batch = samples([{}, {}], labels)
    wanted_logits = logits_of(2, 5, 6, 8).requires_grad_()
    wanted = head.loss_by_feat(wanted_logits, batch)
    adapter.register()
    registry = peers.real("mmseg.registry").MODELS
    head.loss_decode = registry.build({"type": "Softmax2dCrossEntropyLoss", "avg_non_ignore": True})
    logits = wanted_logits.detach().clone().requires_grad_()
    found = adapter.loss_by_feat(head, logits, batch)
    assert found.keys() == wanted.keys() == {"loss_ce", "acc_seg"}
    torch.testing.assert_close(found["loss_ce"], wanted["loss_ce"], rtol=1e-5, atol=0)
    torch.testing.assert_close(found["acc_seg"], wanted["acc_seg"])
    grads = [
        torch.autograd.grad(one["loss_ce"], z)[0]
        for one, z in ((found, logits), (wanted, wanted_logits))
    ]
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-8)
    inside = head.loss_by_feat(logits, batch)["loss_ce"]  # MMSegmentation interpolates, we do not
    torch.testing.assert_close(inside, wanted["loss_ce"], rtol=1e-5, atol=0)


def test_several_losses_add_up_by_name(models: Any) -> None:
    head = segmentor(models).decode_head
    batch = samples([{}], labels_of(1, 24, 32))
    one = {"avg_non_ignore": True}
    head.loss_decode = torch.nn.ModuleList(
        [
            adapter.CrossEntropyLoss(**one),
            adapter.CrossEntropyLoss(**one, loss_weight=0.5),
            adapter.CrossEntropyLoss(top_k=0.25, loss_name="loss_hard"),
        ]
    )
    found = adapter.loss_by_feat(head, logits_of(1, 5, 6, 8), batch)
    assert list(found) == ["loss_ce", "loss_hard", "acc_seg"]
    head.loss_decode = adapter.CrossEntropyLoss(**one, loss_weight=1.5)
    whole = adapter.loss_by_feat(head, logits_of(1, 5, 6, 8), batch)
    torch.testing.assert_close(found["loss_ce"], whole["loss_ce"])
    assert found["loss_hard"] > whole["loss_ce"] / 1.5


@pytest.mark.parametrize("thresh", [0.7, 0.15, None])
@pytest.mark.parametrize("weight", [None, [1.0, 0.1, 3.0, 0.5, 0.0]])
def test_a_threshold_in_the_place_of_a_sampler(models: Any, thresh: Any, weight: Any) -> None:
    """The pixels of OHEMPixelSampler; its mean is over all of them, ours over the chosen."""
    sampler_of = peers.real("mmseg.structures.sampler").OHEMPixelSampler
    loss_of = peers.real("mmseg.models.losses").CrossEntropyLoss
    head = segmentor(models).decode_head
    labels, z = labels_of(2, 6, 8).long(), logits_of(2, 5, 6, 8).double()
    head.loss_decode = loss_of(class_weight=weight, avg_non_ignore=True)
    sampler = sampler_of(head, thresh=thresh, min_kept=10)
    chosen = sampler.sample(z, labels[:, None])
    how: Any = {"ignore_index": head.ignore_index}
    each = head.loss_decode(z, labels, weight=chosen, reduction_override="none", **how)
    found = adapter.CrossEntropyLoss(class_weight=weight, threshold=thresh, top_k=2 * 10)
    torch.testing.assert_close(found(z, labels, **how), each.sum() / chosen.sum())


def test_refusals_of_losses(models: Any) -> None:
    head = segmentor(models).decode_head
    batch = samples([{}], labels_of(1, 24, 32))
    with pytest.raises(ValueError, match=r"FCNHead has losses of its own \(CrossEntropyLoss\)"):
        adapter.loss_by_feat(head, logits_of(1, 5, 6, 8), batch)
    head.loss_decode, head.sampler = adapter.CrossEntropyLoss(), object()
    with pytest.raises(ValueError, match="FCNHead has a sampler of pixels"):
        adapter.loss_by_feat(head, logits_of(1, 5, 6, 8), batch)
    with pytest.raises(ValueError, match="use_sigmoid and use_mask must be False"):
        adapter.CrossEntropyLoss(use_sigmoid=True)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'temprature'"):
        adapter.CrossEntropyLoss(temprature=2.0)
    with pytest.raises(ValueError, match="CrossEntropyLoss: focal_gamma must be finite"):
        adapter.CrossEntropyLoss(focal_gamma=-1.0)
    with pytest.raises(ValueError, match="CrossEntropyLoss: class_weight has no gradient"):
        adapter.CrossEntropyLoss(class_weight=torch.ones(3, requires_grad=True))


def test_a_temperature_is_learned_with_the_head() -> None:
    temperature = torch.nn.Parameter(torch.tensor(1.5))
    criterion = adapter.CrossEntropyLoss(temperature=temperature, class_weight=[1.0] * 5)
    assert [*criterion.parameters()] == [temperature]
    criterion(logits_of(1, 5, 6, 8), labels_of(1, 24, 32), ignore_index=255).backward()
    assert temperature.grad.item() != 0
