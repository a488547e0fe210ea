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
# # A network and its paper
#
# Every network of the atlas has a card: its paper, the figures that the paper prints, and where the network here departs from it.

# %% [markdown] lang="ko"
# # 신경망과 논문
#
# 아틀라스의 신경망마다 카드가 있습니다. 카드에는 논문, 논문에 적힌 값, 논문과 다른 점이 있습니다.

# %%
import convatlas as ca

card = ca.card("googlenet")
print(card.paper.citation)
for figure in card.figures:
    print(figure.text_with_source)

# %% [markdown] lang="en"
# Printed beside derived. The paper says 5 million parameters in its text; its own table gives 7 million.

# %% [markdown] lang="ko"
# 논문의 값과 계산값입니다. 논문의 본문에는 파라미터가 500만 개라고 적혀 있지만, 논문의 표대로 계산하면 700만 개입니다.

# %%
from convatlas.models.figures import compare_figures

for figure in compare_figures("googlenet"):
    if figure.derived is not None:
        print(figure.quantity, figure.printed.text, "|", figure.derived_text, "|", figure.explanation)

# %% [markdown] lang="en"
# The network itself is a plain module, and its layers have the paper's names.

# %% [markdown] lang="ko"
# 신경망은 보통의 모듈이며 층의 이름은 논문의 이름과 같습니다.

# %%
net = ca.create_model("googlenet", num_classes=10)
print([name for name, _ in net.named_children()][:8])

# %% [markdown] lang="en"
# **Try it.** Compare `resnet50` with `resnet50@torchvision`: same parameters, other multiply-adds.

# %% [markdown] lang="ko"
# **해 보기.** `resnet50`과 `resnet50@torchvision`을 비교해 보십시오. 파라미터는 같고 곱셈-누산은 다릅니다.
