# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] lang="en"
# # The arithmetic of a layer
#
# How large is the output of a layer, how many parameters does it have, and how many multiply-adds does it cost? Everything here is derived; nothing is trained.

# %% [markdown] lang="ko"
# # 층의 산술
#
# 층의 출력은 얼마나 크고, 파라미터는 몇 개이며, 곱셈-누산은 몇 번일까요? 여기의 값은 모두 계산한 것이며 학습은 하지 않습니다.

# %%
import convatlas as ca

print(ca.explain("alexnet", "conv1"))

# %% [markdown] lang="en"
# The stride and the kernel decide whether the size is a whole number. 224 does not fit AlexNet's first layer, 227 does.

# %% [markdown] lang="ko"
# 출력 크기가 정수가 되는지는 보폭과 커널에 달려 있습니다. AlexNet의 첫 층에 224는 맞지 않고 227은 맞습니다.

# %%
for side in (224, 227):
    print(side, (side - 11) / 4 + 1)

# %% [markdown] lang="en"
# `summarize` counts any `torch.nn.Module`. One layer of 5x5 and two of 3x3 see the same pixels:

# %% [markdown] lang="ko"
# `summarize`는 어떤 `torch.nn.Module`이든 셉니다. 5x5 한 층과 3x3 두 층은 같은 픽셀을 봅니다.

# %%
from torch import nn

one = nn.Sequential(nn.Conv2d(64, 64, 5, padding=2, bias=False), nn.ReLU())
two = nn.Sequential(
    nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.ReLU()
)
for net in (one, two):
    summary = ca.summarize(net, (64, 56, 56))
    print(f"{summary.totals.params:,} weights, field {summary.rows[-1].receptive_field}")

# %% [markdown] lang="en"
# **Try it.** Which padding keeps 56 x 56 with a kernel of 7? Change the code above.

# %% [markdown] lang="ko"
# **해 보기.** 커널이 7일 때 56 x 56을 유지하는 패딩은 얼마일까요? 위의 코드를 바꿔 보십시오.
