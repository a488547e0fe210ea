"""Chollet 2016: an autoencoder is hardly ever a better picture compressor than JPEG."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from convatlas.experiments.arms import flat_pixels, pixels_of, split_of
from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Scale, Text, Trial
from convatlas.experiments.networks import DenseAutoencoder, train_autoencoder


def with_jpeg(trial: Trial) -> Outcome:
    """Each test image at the highest quality whose entropy-coded data is no longer than the code."""
    budget = trial.setting("code")
    found = [jpeg_within(image, budget) for image in pixels_of(trial.data, test_images(trial))]
    return Outcome({
        "psnr": float(np.mean([psnr for _, psnr in found])),
        "bytes": float(np.mean([size for size, _ in found])),
        "val_top1": 0.0,
    })  # fmt: skip


def jpeg_within(image: np.ndarray, budget: int) -> tuple[int, float]:
    """Bytes and PSNR at the highest quality within the budget; at quality 1 where none is."""
    low, high = 1, 95
    while low < high:  # the size hardly ever falls as the quality rises
        middle = (low + high + 1) // 2
        low, high = (middle, high) if jpeg(image, middle)[0] <= budget else (low, middle - 1)
    return jpeg(image, low)


def jpeg(image: np.ndarray, quality: int) -> tuple[int, float]:
    """Bytes of the entropy-coded data and PSNR, dB. The header with its tables is the same for all images."""
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "JPEG", quality=quality)
    data = file.getvalue()
    scan = data.index(b"\xff\xda")
    length = len(data) - (scan + 2 + int.from_bytes(data[scan + 2 : scan + 4])) - 2  # without the end marker
    decoded = np.asarray(Image.open(file)).reshape(image.shape)
    return length, psnr(image, decoded)


def psnr(image: np.ndarray, decoded: np.ndarray) -> float:
    """Peak signal-to-noise ratio of 8-bit images, dB; at most that of an error of half a level."""
    error = float(np.mean((image.astype(np.float64) - decoded) ** 2))
    return float(10 * np.log10(255**2 / max(error, 0.25)))


def with_autoencoder(trial: Trial) -> Outcome:
    """A code of one byte per number, in steps between the 0.1 and the 99.9 percentile over the training images."""
    split = split_of(trial.data, trial)
    train = torch.from_numpy(flat_pixels(trial.data, split.train))
    torch.manual_seed(trial.seed)
    net = DenseAutoencoder((train.shape[1], *trial.setting("hidden"), trial.setting("code")))
    losses = train_autoencoder(net, train, trial.setting("epochs"), trial.lr, trial.seed)
    with torch.no_grad():
        low, high = np.percentile(net.encoder(train).numpy(), (0.1, 99.9), axis=0)
        scores = {}
        for name, part in (("val", split.val), ("test", test_images(trial))):
            code = net.encoder(torch.from_numpy(flat_pixels(trial.data, part))).numpy()
            steps = np.round(np.clip((code - low) / np.maximum(high - low, 1e-9), 0, 1) * 255)
            restored = torch.from_numpy((low + steps / 255 * (high - low)).astype(np.float32))
            decoded = np.clip(net.decoder(restored).numpy(), 0, 1) * 255
            images = pixels_of(trial.data, part)
            pairs = zip(images, np.round(decoded).reshape(images.shape), strict=True)
            scores[name] = float(np.mean([psnr(image, other) for image, other in pairs]))
    # the sweep takes the learning rate with the highest val_top1
    metrics = {"psnr": scores["test"], "bytes": float(trial.setting("code")), "val_top1": scores["val"]}
    return Outcome(metrics, {"train_loss": losses})


def test_images(trial: Trial) -> np.ndarray:
    """At most 1,000 test images."""
    return split_of(trial.data, trial).test[:1000]


EXPERIMENT = Experiment(
    name="autoencoder-as-compressor",
    claim=Text(
        "At equal bytes an image decoded from JPEG is nearer to the original than one decoded by an autoencoder.",
        "바이트 수가 같으면 JPEG으로 압축한 이미지가 오토인코더로 압축한 이미지보다 원본에 가깝습니다.",
    ),
    source="Chollet, Building autoencoders in Keras, The Keras blog, 2016",
    printed=(),
    arms=(
        Arm("jpeg", Text("JPEG", "JPEG"), with_jpeg, lrs=(1.0,)),
        Arm("autoencoder", Text("autoencoder", "오토인코더"), with_autoencoder, lrs=(0.001, 0.003)),
    ),
    constant=Text(
        "Test images and bytes of an image. Neither JPEG's header nor the autoencoder's weights are counted, since "
        "they are the same for all images.",
        "테스트 이미지와 이미지당 바이트 수가 같습니다. 모든 이미지에 공통인 JPEG 헤더와 오토인코더의 가중치는 세지 "
        "않았습니다.",
    ),
    metrics=(
        Metric("psnr", Text("peak signal-to-noise ratio", "최대 신호 대 잡음비(PSNR)"), "dB"),
        Metric("bytes", Text("bytes of an image", "이미지당 바이트"), "bytes"),
    ),
    contrasts=(Contrast("psnr", higher="jpeg", lower="autoencoder", smallest=0.5),),
    criterion=Text(
        "The peak signal-to-noise ratio of JPEG is higher by at least 0.5 dB.",
        "JPEG의 PSNR이 0.5 dB 이상 높습니다.",
    ),
    contradiction=Text("An interval below 0.5 dB.", "신뢰 구간이 0.5 dB보다 작은 경우입니다."),
    limits=Text(
        "Images of 32 pixels at a 24th of their size. Where JPEG's lowest quality needs more bytes than the code, it "
        "is given them; the mean is in the record. The autoencoder knows images of this data set only.",
        "32픽셀 이미지를 24분의 1로 줄였습니다. JPEG의 가장 낮은 품질이 코드보다 길면 그 길이를 허용했으며 평균은 "
        "기록에 있습니다. 오토인코더는 이 데이터 세트의 이미지만 압축할 수 있습니다.",
    ),
    scales={
        "quick": Scale(1, (0, 1, 2), settings={"epochs": 60, "hidden": (64,), "code": 12}),
        "standard": Scale(
            30, (0, 1, 2, 3, 4), "cifar-10", (1000, 1001),
            {"epochs": 20, "hidden": (512,), "code": 128, "train_images": 10_000},
        ),
        "full": Scale(
            300, (0, 1, 2, 3, 4), "cifar-10", (1000, 1001), {"epochs": 60, "hidden": (1024, 512), "code": 128}
        ),
    },
)  # fmt: skip
