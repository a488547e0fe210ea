"""Augmentation in batches, each piece against a plain loop, Pillow or numpy; and every image its own numbers."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from convatlas.data import Augmentation, Preprocessing, geometry
from convatlas.data import augment as room
from convatlas.data.keyed import Draws
from convatlas.data.threads import for_each
from convatlas.errors import RecipeError


def noise(n: int, height: int, width: int, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, height, width, channels), dtype=np.uint8))


def unit(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def loop_crop_and_flip(pixels, size, top, left, mirrored, pad, background):
    """The textbook way: one image after the other, with numpy's own padding."""
    out = []
    for image, y, x, mirror in zip(pixels.numpy(), top.tolist(), left.tolist(), mirrored.tolist(), strict=True):
        if background is None:
            padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
        else:
            planes = [np.pad(image[:, :, c], pad, constant_values=int(background[c])) for c in range(image.shape[2])]
            padded = np.stack(planes, axis=-1)
        crop = padded[y : y + size[0], x : x + size[1]]
        out.append(crop[:, ::-1] if mirror else crop)
    return np.stack(out)


@settings(deadline=None)
@given(
    n=st.integers(1, 6),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    pad=st.integers(0, 3),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_the_gather_is_the_loop(n, height, width, channels, pad, seed, data):
    size = data.draw(st.integers(1, height + 2 * pad)), data.draw(st.integers(1, width + 2 * pad))
    pixels, background = noise(n, height, width, channels), torch.tensor([5, 90, 200][:channels], dtype=torch.uint8)
    generator = torch.Generator().manual_seed(seed)
    top = torch.randint(0, height + 2 * pad - size[0] + 1, (n,), generator=generator)
    left = torch.randint(0, width + 2 * pad - size[1] + 1, (n,), generator=generator)
    mirrored = torch.rand(n, generator=generator) < 0.5
    if pad < min(height, width) and data.draw(st.booleans()):
        background = None  # mirrored at the edge
    expected = loop_crop_and_flip(pixels, size, top, left, mirrored, pad, background)
    before = pixels.clone()
    gathered = geometry.crop_and_flip(pixels, size, top, left, mirrored, pad, background)
    assert np.array_equal(gathered.numpy(), expected)
    assert torch.equal(pixels, before)  # the resident images stay as they are


def test_both_ways_of_gathering_are_one(monkeypatch):
    """The view that torch indexes on an accelerator gives what numpy gives on the CPU."""
    pixels = noise(5, 9, 9)
    top, left = torch.tensor([0, 1, 2, 3, 2]), torch.tensor([3, 0, 1, 2, 2])
    windows = pixels.unfold(1, 6, 1).unfold(2, 6, 1).permute(0, 1, 2, 4, 5, 3)
    assert torch.equal(geometry._windows(pixels, (6, 6), top, left), windows[torch.arange(5), top, left])


@pytest.mark.parametrize(
    "augment",
    [
        Augmentation(pad=2, flip="on"),
        Augmentation(pad=0, flip="alternating", cutout=3),
        Augmentation(pad=0, shift=0.1, rotate=20, scale=(0.8, 1.2), flip="on"),
        Augmentation(crop="scale-jitter", crop_scale=(9, 14), flip="on"),
        Augmentation(
            crop="random-resized",
            crop_area=(0.3, 1.0),
            brightness=0.3,
            contrast=0.3,
            saturation=0.3,
            hue=0.2,
            flip="off",
        ),
    ],
)
def test_an_image_looks_the_same_in_any_batch(augment):
    pixels, background, samples = noise(6, 10, 10), torch.zeros(3, dtype=torch.uint8), torch.tensor([9, 4, 77, 3, 8, 1])

    def look(rows: list[int]) -> torch.Tensor:
        draws = Draws(0, 5, samples[rows])
        if augment.affine:
            matrix = geometry.affine_boxes(augment, draws, (10, 10), (8, 8))
            images = geometry.sample_affine(unit(pixels[rows]), matrix, (8, 8), background.float())
        else:
            images = unit(geometry.random_crop(pixels[rows], (8, 8), augment, draws, background))
        images = room.jitter_colour(images, augment, draws)
        return room.cut_out(images, augment.cutout, draws)

    together = look([0, 1, 2, 3, 4, 5])
    apart = torch.cat([look([0]), look([1, 2]), look([3, 4, 5])])
    # the same operations on the same numbers: only the sums of a mean may be taken in another order
    assert torch.allclose(together, apart, atol=1e-6)


def test_alternating_flip_mirrors_every_image_in_every_second_epoch():
    samples = torch.arange(200)
    mirrored = [geometry.flips(Augmentation(pad=0, flip="alternating"), Draws(0, epoch, samples)) for epoch in range(4)]
    assert torch.equal(mirrored[0], ~mirrored[1])
    assert torch.equal(mirrored[0], mirrored[2])
    assert 60 < int(mirrored[0].sum()) < 140


def test_an_affine_that_only_crops_and_flips_is_the_gather():
    augment, pixels, draws = Augmentation(pad=2, flip="on"), noise(8, 12, 12), Draws(1, 2, torch.arange(8))
    background = torch.tensor([10, 20, 30], dtype=torch.uint8)
    gathered = geometry.random_crop(pixels, (12, 12), augment, draws, background)
    matrix = geometry.affine_boxes(augment, draws, (12, 12), (12, 12))
    sampled = geometry.sample_affine(pixels.permute(0, 3, 1, 2).float(), matrix, (12, 12), background.float())
    assert torch.allclose(sampled, gathered.permute(0, 3, 1, 2).float(), atol=0.05)


@pytest.mark.parametrize("degrees", [-30, 10, 90])
def test_rotation_is_pillows(degrees, monkeypatch):
    smooth = Image.fromarray(noise(1, 5, 5)[0].numpy()).resize((41, 41), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(smooth).copy())[None]
    monkeypatch.setattr(
        Draws, "symmetric", lambda self, use, limit: torch.full((1,), degrees * (use == "rotate") * 1.0)
    )
    matrix = geometry.affine_boxes(
        Augmentation(pad=0, rotate=180, flip="off"), Draws(0, 0, torch.arange(1)), (41, 41), (41, 41)
    )
    turned = geometry.sample_affine(pixels.permute(0, 3, 1, 2).float(), matrix, (41, 41), torch.zeros(3))
    expected = np.asarray(smooth.rotate(degrees, Image.Resampling.BILINEAR)).astype(np.float32)
    disc = np.hypot(*np.mgrid[-20:21, -20:21]) < 17  # away from the edge, where the two fill differently
    difference = np.abs(turned[0].permute(1, 2, 0).numpy() - expected)[disc]
    assert difference.mean() < 0.6
    assert difference.max() < 4


@pytest.mark.parametrize(("area", "count"), [((0.25, 0.25), 50), ((0.08, 1.0), 500)])
def test_random_resized_boxes_lie_inside_and_have_the_area_and_the_aspect(area, count):
    top, left, height, width = geometry.boxes(
        Augmentation(crop="random-resized", crop_area=area, flip="off"),
        Draws(0, 0, torch.arange(count)),
        (600, 500),
        (32, 32),
    )
    assert bool((top >= 0).all())
    assert bool((left >= 0).all())
    assert bool((top + height <= 600).all())
    assert bool((left + width <= 500).all())
    share, aspect = width * height / (600 * 500), width / height
    assert bool((share <= area[1] + 0.002).all())
    uncut = (width < 500) & (height < 600)
    assert bool(((share >= area[0] - 0.002) & (aspect >= 0.745) & (aspect <= 1.34))[uncut].all())
    assert len(set(top.tolist())) > 20


def test_a_random_resized_crop_is_pillows_resize_of_the_box():
    pixels, augment, draws = (
        noise(6, 40, 50),
        Augmentation(crop="random-resized", crop_area=(0.2, 1.0), flip="off"),
        Draws(0, 0, torch.arange(6)),
    )
    fitted = geometry.random_crop(pixels, (24, 20), augment, draws, torch.zeros(3, dtype=torch.uint8))
    for image, crop, *box in zip(pixels, fitted, *geometry.boxes(augment, draws, (40, 50), (24, 20)), strict=True):
        top, left, height, width = map(int, box)
        boxed = Image.fromarray(image[top : top + height, left : left + width].contiguous().numpy())
        expected = np.asarray(boxed.resize((20, 24), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(crop.numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize("threads", [1, 3])
def test_large_images_are_cut_one_at_a_time_and_are_the_gather(threads):
    pixels, draws = noise(9, 80, 75), Draws(0, 0, torch.arange(5))
    rows, background = torch.tensor([8, 0, 3, 3, 1]), torch.zeros(3, dtype=torch.uint8)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        cut = geometry.random_crop(pixels, (66, 64), Augmentation(pad=0, flip="on"), draws, background, rows)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    top, left, *_ = geometry.boxes(Augmentation(pad=0, flip="off"), draws, (80, 75), (66, 64))
    mirrored = geometry.flips(Augmentation(pad=0, flip="on"), draws)
    expected = geometry.crop_and_flip(pixels[rows], (66, 64), top, left, mirrored, 0, background)
    assert mirrored.any()
    assert not mirrored.all()
    assert torch.equal(cut, expected)


def test_in_each_thread_torch_computes_alone_and_elsewhere_as_before():
    seen, before = [], torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        # a large sum is what would make a thread take the number that is everybody's
        for_each(lambda i: seen.append((float(torch.ones(1 << 20).sum()), torch.get_num_threads())), 6)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [(float(1 << 20), 1)] * 6


def test_what_fails_in_a_thread_fails_here():
    def fail(i: int) -> None:
        if i == 2:
            raise ValueError("the third")

    with pytest.raises(ValueError, match="the third"):
        for_each(fail, 4)


def test_a_device_samples_the_boxes_that_the_cpu_resizes():
    smooth = Image.fromarray(noise(1, 4, 4)[0].numpy()).resize((40, 40), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(smooth).copy())[None].repeat(6, 1, 1, 1)
    box = geometry.boxes(
        Augmentation(crop="random-resized", crop_area=(0.1, 0.3), flip="off"),
        Draws(0, 0, torch.arange(6)),
        (40, 40),
        (30, 30),
    )
    sampled = geometry.sample_boxes(pixels, (30, 30), *box).float()
    resized = geometry.cut_each(pixels, torch.arange(6), (30, 30), box, torch.zeros(6, dtype=torch.bool)).float()
    difference = (sampled - resized).abs()
    assert float(difference[:, 2:-2, 2:-2].max()) < 1.5  # at the rim a resize stops at the box, a sampler looks beyond


@pytest.mark.parametrize(
    ("ours", "pillows"),
    [
        (room.brightness, ImageEnhance.Brightness),
        (room.contrast, ImageEnhance.Contrast),
        (room.saturation, ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("factor", [0.4, 1.0, 1.7])
def test_colour_changes_are_pillows(ours, pillows, factor):
    pixels = noise(2, 16, 16)
    changed = ours(unit(pixels), torch.full((2,), factor))
    for image, result in zip(pixels, changed, strict=True):
        expected = np.asarray(pillows(Image.fromarray(image.numpy())).enhance(factor)).astype(np.float32)
        difference = np.abs(result.permute(1, 2, 0).numpy() * 255 - expected)
        assert difference.max() < 2.1  # Pillow rounds the mean, the luma and the result


def test_hue_turns_as_colorsys_does():
    colours = noise(1, 6, 6)
    for turn in (-0.4, 0.1, 0.5):
        turned = room.turn_hue(unit(colours), torch.tensor([turn]))[0].permute(1, 2, 0).reshape(-1, 3)
        for colour, result in zip(colours.reshape(-1, 3).tolist(), turned.tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
            assert result == pytest.approx(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), abs=2e-6)


def test_grey_images_have_no_hue_and_no_saturation():
    grey = unit(noise(2, 5, 5, 1))
    assert torch.equal(room.turn_hue(grey, torch.tensor([0.3, 0.1])), grey)
    assert torch.allclose(room.saturation(grey, torch.tensor([0.3, 1.9])), grey)


def test_cutout_sets_one_square_of_the_side_to_the_mean():
    images = torch.ones(200, 3, 16, 16)
    room.cut_out(images, 5, Draws(0, 0, torch.arange(200)))
    holes = (images == 0).all(1).sum((1, 2))
    assert int(holes.max()) == 25  # whole
    assert int(holes.min()) >= 4  # at a corner only a part of it is inside: at least 2 x 2 for a side of 5
    assert len(set(images[:, 0].sum((1, 2)).tolist())) > 3


def test_erasing_fills_boxes_of_the_papers_area_and_shape_with_noise():
    n, side = 400, 40
    draws, images = Draws(0, 0, torch.arange(n)), torch.full((n, 3, side, side), -9.0)
    scale, shift = torch.tensor([4.0, 4.0, 5.0]), torch.tensor([-2.0, -2.0, -2.5])
    room.erase(images, 0.5, draws, scale, shift)
    erased = (images != -9).all(1)
    assert torch.equal(erased, (images != -9).any(1))  # all channels of a pixel or none
    top, left, height, width = room.erased_boxes(0.5, draws, (side, side))
    for mask, y, x, h, w in zip(erased, top, left, height, width, strict=True):
        assert int(mask[y : y + h, x : x + w].sum()) == int(mask.sum()) == int(h * w)
    some = height > 0
    assert 160 < int(some.sum()) < 240
    share, aspect = (height * width)[some] / side**2, (height / width)[some]
    assert bool(((share > 0.01) & (share < 0.43)).all())
    assert bool(((aspect > 0.25) & (aspect < 4)).all())
    assert float(aspect.max()) > 2 > 0.5 > float(aspect.min())
    values = images.permute(0, 2, 3, 1)[erased]
    assert torch.allclose(values.amin(0), shift, atol=0.01)
    assert torch.allclose(values.amax(0), shift + scale, atol=0.01)
    assert torch.allclose(values.mean(0), shift + scale / 2, atol=0.03)


def test_erased_boxes_and_their_noise_belong_to_the_image():
    samples = torch.arange(30)
    unit_scale, none = torch.ones(3), torch.zeros(3)

    def look(rows: torch.Tensor) -> torch.Tensor:
        return room.erase(torch.ones(len(rows), 3, 12, 9), 0.7, Draws(1, 2, samples[rows]), unit_scale, none)

    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat([look(order[:11]), look(order[11:])]), look(samples)[order])


def test_a_jittered_scale_takes_windows_of_the_image_scaled_to_s():
    """VGG: a 224 window of an image scaled to S = 256..512 is a box of 224 / S of the stored image."""
    draws = Draws(0, 0, torch.arange(400))
    top, left, height, width = geometry.boxes(
        Augmentation(crop="scale-jitter", crop_scale=(256, 512), flip="off"), draws, (384, 384), (224, 224)
    )
    assert torch.equal(height, width)
    assert int(height.min()) >= round(224 * 384 / 512)
    assert int(height.max()) <= round(224 * 384 / 256)
    assert len(height.unique()) > 100
    scale = 224 * 384 / height  # S, uniform
    assert float(scale.mean()) == pytest.approx(384, abs=12)
    assert bool((top + height <= 384).all() and (left + width <= 384).all())
    assert bool((top >= 0).all() and (left >= 0).all())


def test_mixup_mixes_pixels_and_labels_by_the_same_share():
    images, labels = torch.stack([torch.full((3, 4, 4), float(k)) for k in range(4)]), torch.arange(4)
    mixed, shares = room.mix(images, labels, Augmentation(pad=0, mixup=1.0, flip="off"), classes=4, stream=11)
    assert torch.allclose(shares.sum(1), torch.ones(4))
    assert torch.allclose(mixed[:, 0, 0, 0], shares @ torch.arange(4.0))


def test_cutmix_labels_are_the_shares_of_the_area():
    images, labels = torch.stack([torch.full((1, 8, 8), float(k)) for k in range(4)]), torch.arange(4)
    for stream in range(20):
        mixed, shares = room.mix(images, labels, Augmentation(pad=0, cutmix=1.0, flip="off"), classes=4, stream=stream)
        own = (mixed[:, 0] == labels[:, None, None]).float().mean((1, 2))
        assert torch.allclose(shares[torch.arange(4), labels], own, atol=1e-6)
    assert torch.equal(images[:, 0, 0, 0], torch.arange(4.0))  # the batch that went in stays


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pad": -1}, "pad = -1: at least 0"),
        ({"pad": "four"}, "pad = 'four': an int or auto was expected"),
        ({"flip": True}, "flip = True: a value of type str"),
        ({"hue": 0.7}, r"hue = 0\.7: at most 0\.5"),
        ({"scale": (1.2, 0.8)}, "two numbers were expected, the smaller first"),
        ({"crop": "random-resized", "crop_area": (0.0, 1.0)}, r"crop_area = 0\.0: it must be above 0"),
        ({"mixup": -1.0}, "mixup = -1.0: at least 0"),
        ({"crop": "random-resized", "crop_ratio": (0, 1)}, "crop_ratio = 0: it must be above 0"),
        ({"erasing": 1.5}, r"erasing = 1\.5: at most 1"),
        ({"crop": "scale-jitter", "crop_area": (0.1, 1)}, "only with crop = random-resized, and crop is scale-jitter"),
        ({"crop": "random-resized", "pad": 4}, "pad = 4 has an effect only with crop = pad"),
    ],
)
def test_augmentations_that_cannot_be(values, message):
    with pytest.raises(RecipeError, match=message) as refused:
        Augmentation(**values)
    assert refused.value.settings[0] in values


@pytest.mark.parametrize(
    ("channels", "given", "expected"),
    [
        (3, {}, {"pad": 2, "flip": "alternating"}),
        (1, {}, {"pad": 2, "flip": "off"}),  # a mirrored digit is no digit
        (1, {"flip": "on", "pad": 0}, {"pad": 0, "flip": "on"}),
        (3, {"flip": "off", "pad": "4"}, {"pad": 4, "flip": "off"}),
        (3, {"crop": "random-resized"}, {"pad": 0, "flip": "alternating"}),
    ],
)
def test_auto_follows_the_images_and_what_is_definite_stays(channels, given, expected):
    preprocessing = Preprocessing(size=(32, 32), channels=channels)
    resolved = Augmentation(**given).resolved_for(preprocessing)
    assert {name: getattr(resolved, name) for name in expected} == expected
    assert resolved.resolved_for(preprocessing) == resolved


def test_images_stored_larger_than_the_input_are_not_padded():
    assert Augmentation().resolved_for(Preprocessing(size=(32, 32), channels=3, margin=256 / 224)).pad == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pad_with": "reflection", "pad": 8}, "gives fewer than pad = 8; lower pad"),
        ({"pad_with": "reflection", "pad": 2, "rotate": 5}, "cannot be combined with shift, rotate or scale"),
        ({"crop": "scale-jitter", "crop_scale": (4, 9)}, "crop_scale begins at 4 pixels, and the input has 8"),
    ],
)
def test_crops_that_the_images_do_not_allow_are_refused(given, message):
    with pytest.raises(RecipeError, match=message):
        Augmentation(**given).resolved_for(Preprocessing(size=(8, 8), channels=3))
