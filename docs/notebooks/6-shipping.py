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
# # Shipping
#
# A trained network as a file of `torch.export`, with its preparation and class names, checked against the run. ONNX and OpenVINO need the extra `[export]`.

# %% [markdown] lang="ko"
# # 배포하기
#
# 학습한 신경망을 이미지 전처리, 클래스 이름과 함께 `torch.export` 파일로 내보내고 실행과 비교해 확인합니다. ONNX와 OpenVINO에는 추가 패키지 `[export]`가 필요합니다.

# %%
import convatlas as ca

run = ca.train("mlp", data="digits", epochs=3, out="runs")
exported = ca.export(run, "torch")
print(sorted(path.name for path in exported.file.parent.iterdir()))

# %% [markdown] lang="en"
# The contract says what was checked, and on how many images.

# %% [markdown] lang="ko"
# 계약에는 무엇을 이미지 몇 장으로 검사했는지 적혀 있습니다.

# %%
for check in exported.contract.checks:
    print(check.name, check.state)

# %% [markdown] lang="en"
# The file opens without the atlas: it needs only the engine.

# %% [markdown] lang="ko"
# 파일은 아틀라스 없이 엔진만 있으면 열립니다.

# %%
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from convatlas.exports import open_exported

Image.fromarray((load_digits().images[3] * 15.9).astype(np.uint8)).save("three.png")
model = open_exported(exported.file)
(probabilities,) = model.predict(["three.png"])
print(model.classes[probabilities.argmax()], f"{probabilities.max():.1%}")

# %% [markdown] lang="en"
# **Try it.** Export with `precision="bf16"`. What does the contract allow then?

# %% [markdown] lang="ko"
# **해 보기.** `precision="bf16"`으로 내보내 보십시오. 그때 계약은 무엇을 허용합니까?
