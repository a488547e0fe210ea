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
# # Training on images
#
# Train a small network on the handwritten digits that come with scikit-learn, and read what it gets wrong. Use the path of a folder of your own instead of `"digits"`.

# %% [markdown] lang="ko"
# # 이미지로 학습하기
#
# scikit-learn에 들어 있는 손글씨 숫자로 작은 신경망을 학습하고 무엇을 틀리는지 봅니다. `"digits"` 자리에 여러분의 폴더 경로를 쓸 수 있습니다.

# %%
import convatlas as ca

run = ca.train("lenet5@modern", data="digits", epochs=5, seed=0, out="runs")
run

# %% [markdown] lang="en"
# The test set is used once, at the end. An interval says how far another set of images of this size could move the result.

# %% [markdown] lang="ko"
# 테스트 세트는 마지막에 한 번만 씁니다. 신뢰 구간은 같은 수의 다른 이미지에서 결과가 얼마나 달라질 수 있는지 나타냅니다.

# %%
found = ca.evaluate(run)
print(f"top-1 {found.top1:.1%} of {found.n} images, 95 % interval {found.ci95[0]:.1%} to {found.ci95[1]:.1%}")

# %% [markdown] lang="en"
# Which classes are confused? Rows are the true classes, columns the predicted ones.

# %% [markdown] lang="ko"
# 어떤 클래스를 혼동할까요? 행은 실제 클래스, 열은 예측한 클래스입니다.

# %%
from convatlas.evaluation import confusion_matrix

print(confusion_matrix(found.labels, found.logits.argmax(1), 10))

# %% [markdown] lang="en"
# **Try it.** Train for 15 epochs. Does the interval of the longer training exclude that of the shorter one?

# %% [markdown] lang="ko"
# **해 보기.** 15에포크 동안 학습해 보십시오. 두 학습의 신뢰 구간이 겹치지 않습니까?
