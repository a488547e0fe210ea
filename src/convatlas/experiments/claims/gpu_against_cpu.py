"""Raina, Madhavan and Ng 2009: a GPU trains networks up to 70 times as fast as a CPU."""

from __future__ import annotations

import math
import time
from functools import partial

import torch
from torch import nn

from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Printed, Scale, Text, Trial
from convatlas.models import create_model


def run(trial: Trial, device: str) -> Outcome:
    """Images per second over updates with random images, after three updates that do not count; its log10."""
    torch.manual_seed(trial.seed)
    batch, side, updates = trial.setting("batch"), trial.setting("side"), trial.setting("updates")
    net = create_model(trial.setting("network"), num_classes=10).to(device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch, 3, side, side, device=device)
    labels = torch.randint(10, (batch,), device=device)
    for update in range(updates + 3):
        if update == 3:
            wait(device)
            began = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    wait(device)
    rate = batch * updates / (time.perf_counter() - began)
    return Outcome({"speed": math.log10(rate), "images_per_second": rate})


def wait(device: str) -> None:
    """Until the device has computed everything."""
    if device == "cuda":
        torch.cuda.synchronize()


EXPERIMENT = Experiment(
    name="gpu-against-cpu",
    claim=Text(
        "A GPU trains a convolutional network at least ten times as fast as the CPU beside it.",
        "GPU는 같은 컴퓨터의 CPU보다 합성곱 네트워크를 10배 이상 빠르게 학습합니다.",
    ),
    source="Raina, Madhavan and Ng, Large-scale deep unsupervised learning using graphics processors, ICML 2009",
    printed=(
        Printed(
            Text("up to 70 times faster (deep belief networks)", "최대 70배 빠름(심층 신뢰망)"),
            "Raina et al. 2009, abstract",
            difference=1.85,
            verified=False,
        ),
    ),
    arms=(
        Arm("gpu", Text("GPU", "GPU"), partial(run, device="cuda")),
        Arm("cpu", Text("CPU", "CPU"), partial(run, device="cpu")),
    ),
    constant=Text(
        "Network, batch, image size and fp32. The CPU uses one thread per core, as PyTorch sets it.",
        "네트워크, 배치, 이미지 크기, fp32가 같습니다. CPU는 PyTorch의 기본값대로 코어마다 스레드 하나를 씁니다.",
    ),
    metrics=(
        Metric("speed", Text("training speed", "학습 속도"), "orders of magnitude"),
        Metric("images_per_second", Text("images per second", "초당 이미지"), "images/s"),
    ),
    contrasts=(Contrast("speed", higher="gpu", lower="cpu", smallest=1.0),),
    criterion=Text(
        "The speed of the GPU is higher by at least one order of magnitude.",
        "GPU의 속도가 10배 이상입니다.",
    ),
    contradiction=Text("An interval below 1 order of magnitude.", "신뢰 구간이 10배보다 작은 경우입니다."),
    limits=Text(
        "One network on one pair of devices; images are made in the device's memory, so that reading and decoding do "
        "not count. Runs only where PyTorch finds a CUDA device.",
        "한 컴퓨터에서 네트워크 하나로 쟀습니다. 이미지는 장치 메모리에서 만들므로 읽기와 디코딩은 세지 않습니다. "
        "PyTorch가 CUDA 장치를 찾을 때만 실행됩니다.",
    ),
    scales={
        "quick": Scale(
            1, (0, 1, 2), "none", settings={"network": "resnet20_cifar", "side": 32, "batch": 128, "updates": 5}
        ),
        "standard": Scale(
            3, (0, 1, 2, 3, 4), "none", settings={"network": "resnet18", "side": 224, "batch": 32, "updates": 10}
        ),
        "full": Scale(
            10, (0, 1, 2, 3, 4), "none", settings={"network": "resnet50", "side": 224, "batch": 64, "updates": 20}
        ),
    },
    sequential=True,
    needs="cuda",
)
