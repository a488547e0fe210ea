"""He et al., "Identity mappings in deep residual networks", 2016, equation 4: x_L = x_l + the sum of all residuals."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from convatlas.experiments.form import Arm, Contrast, Experiment, Metric, Outcome, Scale, Text, Trial

DEPTH, WIDTH = 12, 8


def body() -> nn.ModuleList:
    """Residual branches F with an identity shortcut and nothing after the sum (pre-activation)."""
    return nn.ModuleList(
        nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)) for _ in range(DEPTH)
    )


def run(trial: Trial, left_out: int) -> Outcome:
    """The largest difference of x_L and x_0 + the sum of the residuals, of which the last ``left_out`` are left out."""
    torch.manual_seed(trial.seed)
    branches = body().double()
    x = start = torch.randn(4, WIDTH, 8, 8, dtype=torch.float64)
    residuals = []
    with torch.no_grad():
        for branch in branches:
            residuals.append(branch(x))
            x = x + residuals[-1]
        unrolled = start + torch.stack(residuals[: DEPTH - left_out]).sum(dim=0)
        error = float((x - unrolled).abs().max() / x.abs().max())
    return Outcome({"error": error})


EXPERIMENT = Experiment(
    name="residual-unrolled",
    claim=Text(
        "With identity shortcuts, the output of a residual network is its input plus the sum of all residuals.",
        "항등 지름길을 쓰면 잔차 네트워크의 출력은 입력에 모든 잔차를 더한 것입니다.",
    ),
    source="He, Zhang, Ren and Sun, ECCV 2016, equation 4",
    printed=(),
    arms=(
        Arm("one_missing", Text("one residual left out", "잔차 하나를 뺌"), partial(run, left_out=1)),
        Arm("all", Text("all residuals", "모든 잔차"), partial(run, left_out=0)),
    ),
    constant=Text(
        "The network, its weights and its input; only the sum differs.",
        "네트워크, 가중치, 입력이 같고 더하는 잔차만 다릅니다.",
    ),
    metrics=(Metric("error", Text("relative error of the unrolled sum", "펼친 합의 상대 오차"), "ratio"),),
    contrasts=(Contrast("error", higher="one_missing", lower="all", smallest=1e-3),),
    criterion=Text(
        "The error with one residual left out is larger by at least 0.001. The error of the full sum is in the record.",
        "잔차 하나를 뺐을 때의 오차가 0.001 이상 큽니다. 전체 합의 오차는 기록에 있습니다.",
    ),
    contradiction=Text("An interval below 0.001.", "신뢰 구간이 0.001보다 작은 경우입니다."),
    limits=Text(
        "An identity of arithmetic in fp64, not a statement about training.",
        "fp64 계산의 항등식이며 학습에 관한 주장은 아닙니다.",
    ),
    scales={
        "quick": Scale(0.1, (0, 1, 2), data="none"),
        "standard": Scale(0.1, (0, 1, 2, 3, 4), data="none"),
        "full": Scale(0.1, tuple(range(10)), data="none"),
    },
)
