"""convatlas train as a user types it: exit codes, messages, the last line of --json."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from convatlas.runs.configuration import ALL_SETTINGS
from convatlas.training import checkpoint


def test_the_last_line_of_json_is_the_result(convatlas, tmp_path):
    code, out, _ = convatlas("train", "mlp", "--epochs", "1", "--threads", "1", "--out", str(tmp_path), "--json")
    first, *_, last = (json.loads(line) for line in out.splitlines())
    assert code == 0
    assert (first["event"], first["schema"]) == ("start", 1)
    assert last["event"] == "done"
    keys = {"run", "model", "epochs", "train_s", "images_per_s", "val_top1", "test_top1", "test_n", "seed"}
    assert keys <= last.keys()
    assert last["test_n"] == 359


def test_what_is_typed_wrong_exits_2_without_a_traceback(convatlas, tmp_path):
    for arguments in (
        ("train", "resnet21"),
        ("train", "mlp", "--epochs", "0"),
        ("train", "mlp", "--recipe", "papre"),
        ("train",),
        ("train", "mlp", "--schedule", "hope"),
        ("trian", "mlp"),
    ):
        code, out, err = convatlas(*arguments)
        assert (code, out) == (2, ""), arguments
        assert "Traceback" not in err


@pytest.mark.parametrize("wrong", ["/no/such/folder", "README.md"])
def test_data_that_are_not_there_exit_3(convatlas, wrong):
    code, out, err = convatlas("train", "mlp", "--data", wrong)
    assert (code, out) == (3, "")
    assert wrong in err


def test_debug_shows_the_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "convatlas", "train", "resnet21", "--debug"], capture_output=True, text=True, check=False
    )
    assert "Traceback" in done.stderr
    assert "UnknownNameError" in done.stderr


def test_print_config_says_where_each_value_came_from(convatlas, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVATLAS_MOMENTUM", "0.8")
    config = tmp_path / "mine.toml"
    config.write_text("weight_decay = 0.001\n")
    code, out, _ = convatlas("train", "resnet20_cifar", "--lr", "0.3", "--config", str(config), "--print-config")
    assert code == 0
    where = {line.split()[0]: line.rsplit("# ", 1)[1] for line in out.splitlines()[1:] if " = " in line}
    assert (where["lr"], where["momentum"], where["weight_decay"]) == ("flag", "environment", "file")
    assert where["batch_size"] == where["device"] == "default"
    assert "# threads is not set" in out


def test_a_flag_by_its_former_name_works_with_a_notice(convatlas):
    code, out, err = convatlas("train", "mlp", "--pixels", "standard", "--print-config")
    assert code == 0
    assert 'normalization = "standard"' in out
    assert err == "pixels is now called normalization; the old name works in this version only.\n"
    assert "--pixels" not in convatlas("train", "--help")[1]


def test_every_setting_has_a_flag_in_help_under_its_group(convatlas):
    _, out, _ = convatlas("train", "--help")
    sections = out.split("\n\n")
    machine = next(section for section in sections if section.startswith("Run, machine:"))
    assert all(flag in machine for flag in ("--threads", "--precision", "--no-allocator"))
    flags = {each.flag for name, each in ALL_SETTINGS.items() if name != "schedule_settings"}
    assert all(f"{flag} " in out or f"{flag}\n" in out for flag in flags if not flag.startswith("--no-"))


def test_a_learning_rate_that_diverges_ends_the_run_and_the_last_good_checkpoint_is_kept(convatlas, tmp_path):
    """The first epoch is sound; in the second the schedule multiplies the rate by 10^30."""
    config = tmp_path / "mine.toml"
    config.write_text('schedule = "per-pass"\nschedule_settings = { factors = [1.0, 1e30] }\n')
    arguments = ("--config", str(config), "--epochs", "3", "--threads", "1", "--checkpoint-every-steps", "5")
    code, out, err = convatlas("train", "mlp", *arguments, "--out", str(tmp_path / "runs"))
    assert (code, out) == (1, "")
    assert "Pass a lower --lr" in err
    (folder,) = (tmp_path / "runs").iterdir()
    newest = checkpoint.saved(folder)[-1]
    for path in (newest, checkpoint.best(folder)):
        tensors, state = checkpoint.load(path)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values() if tensor.is_floating_point())
    assert state["epoch"] == 0
    assert not (folder / "model.safetensors").exists()


def test_a_dry_run_checks_everything_and_writes_nothing(convatlas, tmp_path):
    code, out, _ = convatlas("train", "lenet5", "--dry-run", "--out", str(tmp_path / "runs"))
    assert code == 0
    assert "60,000 parameters" in out
    assert not (tmp_path / "runs").exists()


def test_help_and_models_do_not_wait_for_torch():
    script = (
        "import sys\n"
        "from convatlas.cli import main\n"
        "for arguments in (['--help'], ['models'], ['train', '--help'], ['compare', '--help']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit as ended: assert not ended.code, arguments\n"
        "print('torch' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("False")
