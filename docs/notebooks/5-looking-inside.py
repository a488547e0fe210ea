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
# # Looking inside
#
# Filters, feature maps, and the pixels that a decision depends on.

# %% [markdown] lang="ko"
# # 안을 들여다보기
#
# 필터와 특성 맵, 그리고 결정이 의존하는 픽셀을 봅니다.

# %%
import convatlas as ca

run = ca.train("lenet5@modern", data="digits", epochs=4, out="runs")

# %% [markdown] lang="en"
# The first layer's feature maps of a digit:

# %% [markdown] lang="ko"
# 숫자 하나에 대한 첫 층의 특성 맵입니다.

# %%
import numpy as np
from sklearn.datasets import load_digits

digit = (load_digits().images[3] * 15.9).astype(np.uint8)
seen = ca.feature_maps(run, digit, layer="C1")
print(seen.values.shape)

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 6, figsize=(9, 1.8))
for number, each in enumerate(axes):
    each.imshow(seen.values[0, number], cmap="gray")
    each.set_title(f"channel {number}", fontsize=8)
    each.axis("off")
plt.show()

# %% [markdown] lang="en"
# Grad-CAM weights the maps of a layer by the gradient of the class score. It is a hypothesis, and `sanity=True` tests it: the map of trained weights should differ from that of random ones.

# %% [markdown] lang="ko"
# Grad-CAM은 클래스 점수의 기울기로 특성 맵에 가중치를 줍니다. 이것은 가설이며 `sanity=True`로 시험합니다. 학습한 가중치의 맵은 임의의 가중치의 맵과 달라야 합니다.

# %%
ca.attribute(run, digit, "grad_cam", layer="C3", sanity=True)

# %% [markdown] lang="en"
# **Try it.** Use `"occlusion"` instead of `"grad_cam"`, without the layer. Do the two agree?

# %% [markdown] lang="ko"
# **해 보기.** `"grad_cam"` 대신 `"occlusion"`을 층 없이 써 보십시오. 두 결과가 일치합니까?
