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
# # Comparing and choosing
#
# Two networks, the same split, the same number of epochs, the same test images.

# %% [markdown] lang="ko"
# # 비교하고 고르기
#
# 신경망 두 개를 같은 분할, 같은 에포크 수, 같은 테스트 이미지로 비교합니다.

# %%
import convatlas as ca

comparison = ca.compare(["mlp", "lenet5@modern"], data="digits", epochs=4, out="runs")
for row in comparison.rows:
    print(f"{row.model:<14} {row.accuracy.top1:.1%}  {row.params:,} parameters")

# %% [markdown] lang="en"
# The recommendation is a sentence, with the test behind it.

# %% [markdown] lang="ko"
# 추천은 문장으로, 검정 결과와 함께 나옵니다.

# %%
print(comparison.recommendation.answer)
for reason in comparison.recommendation.reasons:
    print(reason)

# %% [markdown] lang="en"
# How wide is an interval? It depends on the number of test images more than on anything else.

# %% [markdown] lang="ko"
# 신뢰 구간의 폭은 무엇보다 테스트 이미지 수에 달려 있습니다.

# %%
from convatlas.evaluation import wilson

for images in (100, 359, 10_000):
    low, high = wilson(round(0.98 * images), images)
    print(f"{images:>6} images: {low:.1%} to {high:.1%}")

# %% [markdown] lang="en"
# **Try it.** Give a budget: `budget="params<=100K"`.

# %% [markdown] lang="ko"
# **해 보기.** 예산을 정해 보십시오: `budget="params<=100K"`.
