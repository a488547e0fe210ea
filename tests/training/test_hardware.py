"""The settings of the machine: what `choose` decides, that it changes nothing, and what `apply` sets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from convatlas.errors import UsageError
from convatlas.training import hardware


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"device": "cuda:7"}, "CUDA"),
        ({"device": "7"}, "'cuda:7'"),
        ({"device": "abacus"}, "not known to torch"),
        ({"threads": 0}, "at least 1"),
        ({"precision": "fp8"}, "auto, bf16 or fp32"),
    ],
)
def test_a_setting_the_machine_does_not_support_is_refused(setting, words):
    if setting.get("device", "")[-1:] == "7" and torch.cuda.device_count() > 7:
        pytest.skip("this machine has the device that should be missing")
    with pytest.raises(UsageError, match=words):
        hardware.choose(**setting)


def test_precision_follows_the_instruction_set():
    chosen = hardware.choose("cpu", allocator=False)
    native = bool(hardware.cpu_flags() & {"amx_bf16", "avx512_bf16"})
    assert chosen.precision == ("bf16" if native else "fp32")
    with chosen.autocast():
        product = torch.ones(4, 4) @ torch.ones(4, 4)
    assert product.dtype == (torch.bfloat16 if native else torch.float32)
    assert hardware.choose("cpu", precision="fp32", allocator=False).autocast().__class__.__name__ == "nullcontext"


def test_choosing_does_not_change_the_process_and_applying_does():
    """In a process of its own: the allocator cannot be set back."""
    script = (
        "import torch; from convatlas.training import hardware as h\n"
        "torch.set_num_threads(2)\n"
        "chosen = h.choose('cpu', threads=1)\n"
        "assert (chosen.threads, torch.get_num_threads()) == (1, 2)\n"
        "assert h.keep_freed_memory.cache_info().currsize == 0 == h.use_huge_pages.cache_info().currsize\n"
        "applied = h.apply(chosen)\n"
        "assert torch.get_num_threads() == 1\n"
        "assert applied.keeps_freed_memory == h.keep_freed_memory() >= applied.huge_pages\n"
        "assert h.apply(h.choose('cpu', allocator=False)).allocator == 'system default'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_threads_are_those_asked_for_or_one_for_each_core(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert hardware.choose("cpu").threads == min(torch.get_num_threads(), hardware.physical_cores())
    assert hardware.choose("cpu", threads=3).threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert hardware.choose("cpu").threads == torch.get_num_threads()  # torch has read the variable at its start


def test_the_document_has_the_allocator_in_words_and_as_fields():
    chosen = hardware.Hardware("cpu", 1, "fp32", True, "because", keeps_freed_memory=True)
    assert chosen.to_dict()["allocator"] == "keeps freed memory"
    assert (chosen.to_dict()["keeps_freed_memory"], chosen.to_dict()["huge_pages"]) == (True, False)


def test_physical_cores_are_no_more_than_the_process_may_use():
    assert 1 <= hardware.physical_cores() <= len(os.sched_getaffinity(0))
