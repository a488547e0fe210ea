"""``convatlas bench``: what it prints. How large the figures are is the machine's affair, and nothing here asks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from convatlas.comparison.speed import MachineSpeed, NetworkSpeed, Times, take_turns

QUICK = ("--time", "0.05", "--batch-size", "4", "--threads", "1")


def test_the_document_holds_networks_machine_and_choices(convatlas):
    threads = torch.get_num_threads()
    code, out, _ = convatlas("bench", "mlp", "autoencoder", *QUICK, "--precision", "fp32", "--lang", "en", "--json")
    document = json.loads(out)
    assert (code, document["schema"]) == (0, 1)
    assert [(each["model"], each["batch_size"]) for each in document["networks"]] == [("mlp", 4), ("autoencoder", 4)]
    machine = document["machine"]
    figures = [each[key] for each in document["networks"]
               for key in ("training_images_per_s", "inference_images_per_s", "latency_ms")]  # fmt: skip
    for figure in (*figures, *machine["matmul_flops_per_s"].values(), machine["copy_bytes_per_s"]):
        assert 0 < figure["low"] <= figure["median"] <= figure["high"]
        assert figure["calls"] >= 3
    assert set(machine["matmul_flops_per_s"]) == {"fp32", "bf16"}
    for each in document["networks"]:
        peak = machine["matmul_flops_per_s"]["fp32"]["median"]
        assert each["share_of_matmul"] == pytest.approx(
            6 * each["macs"] * each["training_images_per_s"]["median"] / peak
        )
    chosen = {line["what"]: (line["value"], line["why"]) for line in document["chosen"]}
    assert chosen["precision"] == ("fp32", "precision as set")
    assert chosen["threads"] == ("1", "set by an option")
    assert set(chosen) == {"precision", "memory format", "threads", "allocator", "huge pages"}
    assert torch.get_num_threads() == threads, "the process has its threads back"


def test_the_share_of_the_peak_by_hand():
    # 10 images of 5 multiply-adds in 2 s are 6 * 5 * 10 / 2 = 150 operations/s; 10 x 10 matrices in 4 s 2 * 1000 / 4
    machine = MachineSpeed({"fp32": Times((4.0,))}, {"fp32": 10}, Times((1.0,)))
    network = NetworkSpeed(
        "net", (1, 2, 2), 10, 5, training=Times((2.0,)), inference=Times((1.0,)), single=Times((1.0,))
    )
    assert network.share(machine, "fp32") == 150 / 500


def test_everything_gets_three_turns_however_little_time():
    made = []
    times = take_turns({"a": lambda: made.append("a"), "b": lambda: made.append("b")}, 0.0, torch.device("cpu"))
    assert made == ["a", "a", "b", "b", *"ababab"]  # two calls each to warm up
    assert [len(each.samples_s) for each in times.values()] == [3, 3]


def test_the_tables_say_what_is_measured_and_what_derived(convatlas):
    code, out, _ = convatlas("bench", "lenet5", *QUICK, "--lang", "en")
    assert code == 0
    assert "1x32x32" in out
    for part in ("matrix product, bf16", "derived, 6 * MACs", "huge pages", "A wide range means"):
        assert part in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet5O"], "unknown network 'resnet5O'. Did you mean"),
        (["mlp", "--time", "0"], "seconds above 0"),
        (["resnet18", "--image-size", "8"], "too deep for 8 x 8"),
        (["mlp", "--device", "abacus"], "not known to torch"),
    ],
)
def test_a_mistake_is_said_with_exit_code_2(convatlas, arguments, said):
    code, out, err = convatlas("bench", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_help_does_not_wait_for_torch():
    script = (
        "import sys; from convatlas.cli import main\n"
        "try: main(['bench', '--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    assert (
        "--image-size"
        in subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout.decode()
    )
