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
# # A training loop of your own
#
# The networks are plain modules. This is PyTorch's usual loop, on the digits, with nothing of convatlas but the network.

# %% [markdown] lang="ko"
# # 직접 쓰는 학습 루프
#
# 신경망은 보통의 모듈입니다. 신경망만 convatlas에서 가져와 PyTorch의 익숙한 루프로 숫자를 학습합니다.

# %%
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional as F

import convatlas as ca

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
labels = torch.tensor(digits.target)
train_rows, test_rows = train_test_split(range(len(labels)), test_size=359, stratify=labels, random_state=0)

# %%
torch.manual_seed(0)
net = ca.create_model("mlp", num_classes=10, in_channels=1, image_size=8)
optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
for epoch in range(8):
    net.train()
    for rows in torch.tensor(train_rows)[torch.randperm(len(train_rows))].split(64):
        loss = F.cross_entropy(net(images[rows]), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    print(epoch + 1, f"{loss.item():.3f} nats")

# %% [markdown] lang="en"
# How often is it right on images that it never saw? `wilson` gives the interval.

# %% [markdown] lang="ko"
# 처음 보는 이미지를 얼마나 맞힐까요? 신뢰 구간은 `wilson`이 구합니다.

# %%
from convatlas.evaluation import wilson

net.eval()
with torch.no_grad():
    right = int((net(images[test_rows]).argmax(1) == labels[test_rows]).sum())
low, high = wilson(right, len(test_rows))
print(f"{right / len(test_rows):.1%}, 95 % interval {low:.1%} to {high:.1%}")
assert right / len(test_rows) > 0.9

# %% [markdown] lang="en"
# Its layers are counted like those of any module.

# %% [markdown] lang="ko"
# 층은 여느 모듈처럼 셉니다.

# %%
print(ca.summarize(net, (1, 8, 8)))

# %% [markdown] lang="en"
# **Try it.** Replace the network by `lenet5@modern` with `image_size=32`, and enlarge the images with `F.interpolate`.

# %% [markdown] lang="ko"
# **해 보기.** 신경망을 `image_size=32`인 `lenet5@modern`으로 바꾸고 이미지를 `F.interpolate`로 키워 보십시오.
