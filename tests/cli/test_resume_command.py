"""``train --resume`` beside other options."""

from __future__ import annotations

import pytest

from convatlas.runs.run import Run


@pytest.fixture
def diverged(convatlas, tmp_path):
    """A run that diverged at once."""
    line = ("train", "mlp", "--epochs", "3", "--lr", "1e20", "--threads", "1", "--out", str(tmp_path))
    assert convatlas(*line)[0] == 1
    return next(tmp_path.iterdir())


def test_settings_beside_resume_are_refused_or_honoured(convatlas, diverged):
    resume = ("train", "--resume", str(diverged), "--lr", "0.001", "--epochs", "2")
    code, _, err = convatlas(*resume, "--batch-size", "4", "--data", "/nowhere")
    assert code == 2
    assert "batch_size = 4" in err
    code, _, err = convatlas(*resume, "--data", "/nowhere")
    assert code == 3
    assert "/nowhere" in err
    assert not Run(diverged).finished
    assert convatlas(*resume)[0] == 0
    assert (Run(diverged).recipe.epochs, Run(diverged).recipe.lr) == (2, 0.001)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--seed", "0"), "--seed"),
        (("--dry-run",), "--dry-run"),
        (("--recipe", "modern", "--time", "3"), "--recipe, --time"),
        (("--on-bad", "skip"), "--on-bad"),
        (("--optimizer", "muon"), "optimizer = 'muon'"),
    ],
)
def test_options_of_a_new_run_are_refused_by_name(convatlas, diverged, options, named):
    code, _, err = convatlas("train", "--resume", str(diverged), *options)
    assert code == 2
    assert named in err


def test_settings_of_a_file_and_of_the_environment_count_too(convatlas, diverged, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVATLAS_MIXUP", "0.5")
    code, _, err = convatlas("train", "--resume", str(diverged), "--lr", "0.001")
    assert code == 2
    assert "mixup is from CONVATLAS_MIXUP" in err
    monkeypatch.delenv("CONVATLAS_MIXUP")
    (tmp_path / "mine.toml").write_text("lr = 0.001\nepochs = 1\n")
    assert convatlas("train", "--resume", str(diverged), "--config", str(tmp_path / "mine.toml"))[0] == 0
    assert Run(diverged).result["epochs"] == 1
