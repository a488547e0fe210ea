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
# # A claim put to the test
#
# With identity shortcuts, the output of a residual network is its input plus the sum of all residuals. This claim needs no training.

# %% [markdown] lang="ko"
# # 주장을 시험하기
#
# 항등 지름길이 있으면 잔차 신경망의 출력은 입력에 모든 잔차를 더한 것입니다. 이 주장은 학습 없이 시험할 수 있습니다.

# %%
from convatlas.experiments import experiment_names, get_experiment, run_experiment

print(len(experiment_names()), "claims")
claim = get_experiment("residual-unrolled")
print(claim.claim)
print(claim.criterion)

# %% [markdown] lang="en"
# The criterion was fixed before the run. The run decides.

# %% [markdown] lang="ko"
# 기준은 실행하기 전에 정해져 있습니다. 이제 실행합니다.

# %%
record = run_experiment("residual-unrolled", out="runs/experiments")
print(record.decision)
for contrast in record.contrasts:
    print(contrast.mean, contrast.interval)

# %% [markdown] lang="en"
# **Try it.** Read the claim `dropout`: which result would contradict it?

# %% [markdown] lang="ko"
# **해 보기.** 주장 `dropout`을 읽어 보십시오. 어떤 결과가 나오면 반박됩니까?
