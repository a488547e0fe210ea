"""`CNNClassifier` as a classifier of scikit-learn: what it takes, where it is used, how it is kept."""

from __future__ import annotations

import io
import pickle
import pickletools
import shutil
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from torch import nn

import convatlas as ca
from convatlas import CNNClassifier
from convatlas.errors import BadImageError, CheckpointError, UnknownNameError, UsageError


def quick(**changes):
    return CNNClassifier(**{"epochs": 2, "batch_size": 64, "random_state": 0, **changes})


@pytest.fixture(scope="module")
def fitted(digits):
    X, _, y, _ = digits
    return quick(epochs=6).fit(X, y)


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """A folder per class of the first 120 digits, and a table of their paths."""
    X, _, y, _ = digits
    root, rows = tmp_path_factory.mktemp("photos"), []
    for index, (row, label) in enumerate(zip(X[:120], y[:120], strict=True)):
        path = root / f"digit {label}" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((row.reshape(8, 8) * 255 / 16).astype(np.uint8)).save(path)
        rows.append((str(path), f"digit {label}"))
    return root, pd.DataFrame(rows, columns=["file", "label"])


# ------------------------------------------------------------------ learning


def test_it_learns_the_digits(fitted, digits):
    _, X, _, y = digits
    assert fitted.score(X, y) > 0.8
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (200, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(fitted.classes_[probabilities.argmax(axis=1)], fitted.predict(X))
    assert fitted.n_epochs_ == len(fitted.history_) == 6
    assert fitted.validation_score_ == max(line["val_top1"] for line in fitted.history_)
    assert fitted.image_shape_ == (8, 8, 1)
    assert fitted.n_features_in_ == 64


def test_the_same_random_state_gives_the_same_bits(digits):
    X, X_test, y, _ = digits
    first, second, other = (
        quick(random_state=seed).fit(X[:200], y[:200]).predict_proba(X_test[:20]) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_fit_leaves_torchs_generator_and_threads_as_they_were(digits):
    import torch

    X, _, y, _ = digits
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    quick(epochs=1, settings={"threads": 1}).fit(X[:100], y[:100])
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_it_is_quiet_unless_it_is_asked(digits, capsys):
    X, _, y, _ = digits
    quick().fit(X[:100], y[:100])
    assert capsys.readouterr() == ("", "")
    quick(verbose=1).fit(X[:100], y[:100])
    out, err = capsys.readouterr()
    assert out.startswith("epoch 1: training loss ")
    assert out.count("\n") == 2
    assert err == ""


def test_settings_of_the_recipe_and_of_the_machine(digits):
    X, _, y, _ = digits
    net = quick(settings={"label_smoothing": 0.1, "optimizer": "sgd", "threads": 1}, lr=0.01, image_size=28).fit(
        X[:80], y[:80]
    )
    assert net.preprocessing_.size == (28, 28)
    with pytest.raises(UnknownNameError, match="Did you mean dropout"):
        quick(settings={"dropuot": 0.5}).fit(X[:80], y[:80])
    with pytest.raises(UnknownNameError, match="Did you mean lenet5"):
        CNNClassifier("lenet").fit(X[:80], y[:80])


def test_a_module_of_ones_own_is_copied_and_trained(digits):
    X, X_test, y, y_test = digits
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    before = net[1].weight.clone()
    classifier = quick(network=net, epochs=8, lr=0.02).fit(X, y)
    assert (net[1].weight == before).all()
    assert classifier.score(X_test, y_test) > 0.8


# ------------------------------------------------------------------ what it takes


def test_rows_and_images_are_the_same(digits):
    X, X_test, y, _ = digits
    rows = quick().fit(X[:200], y[:200])
    images = quick().fit(X[:200].reshape(-1, 8, 8), y[:200])
    channels = quick().fit(X[:200].reshape(-1, 8, 8, 1), y[:200])
    shaped = quick(image_shape=(8, 8)).fit(X[:200], y[:200])
    expected = rows.predict_proba(X_test)
    for other, given in ((images, X_test.reshape(-1, 8, 8)), (channels, X_test.reshape(-1, 8, 8, 1)), (shaped, X_test)):
        np.testing.assert_array_equal(other.predict_proba(given), expected)
    assert not hasattr(images, "n_features_in_")


def test_colour_images(digits):
    X, _, y, _ = digits
    colour = np.repeat(X[:100].reshape(-1, 8, 8, 1), 3, axis=3)
    assert quick().fit(colour, y[:100]).preprocessing_.channels == 3


def test_paths_tables_and_folders_are_the_same_images(folder):
    root, table = folder
    by_list = quick().fit(list(table["file"]), table["label"])
    expected = by_list.predict_proba(list(table["file"]))
    for X in (table["file"], table[["file"]], table["file"].to_numpy()):
        np.testing.assert_array_equal(quick().fit(X, table["label"]).predict_proba(X), expected)
    by_folder = quick().fit(root)
    assert list(by_folder.classes_) == sorted(set(table["label"]))
    data = ca.open_data(root)
    assert by_folder.score(root) == pytest.approx(
        by_folder.score([root / name for name in data.names], [data.classes[k] for k in data.labels])
    )
    assert by_folder.predict(str(root)).shape == (120,)


def test_the_test_images_of_a_folder_are_not_trained_on(folder, tmp_path):
    root, table = folder
    for part, rows in (("train", table[:90]), ("test", table[90:])):
        for file, label in rows.itertuples(index=False):
            target = tmp_path / part / label / file.rpartition("/")[2]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    classifier = quick(validation_fraction=0).fit(tmp_path)
    assert len(classifier.predict(tmp_path)) == 30
    assert 0 <= classifier.score(tmp_path) <= 1
    with pytest.raises(UsageError, match="leave y out"):
        quick().fit(root, table["label"])


def test_labels_of_any_type(digits):
    X, _, y, _ = digits
    X, y = X[y < 2][:60], y[y < 2][:60]
    for labels in (y == 1, np.array(["no", "yes"])[y], np.array(["no", "yes"], dtype=object)[y], y - 7, y * 2.0):
        classifier = quick(epochs=1).fit(X, labels)
        assert set(classifier.predict(X)) <= set(labels)
        assert classifier.predict(X).dtype == np.asarray(labels).dtype


def test_what_it_refuses(digits, folder, tmp_path):
    X, _, y, _ = digits
    for shape, message in (
        ((10, 3, 8, 8), "The channels come last"),
        ((10, 8, 8, 5), "images have 1 or 3 channels"),
        ((10, 2, 2, 2, 2), "images are an array"),
    ):
        with pytest.raises(ValueError, match=message):
            quick().fit(np.zeros(shape), np.arange(10) % 2)
    with pytest.raises(ValueError, match="holds 56 numbers, and a row of X has 64"):
        quick(image_shape=(7, 8)).fit(X, y)
    with pytest.raises(ValueError, match="at least two classes"):
        quick().fit(X[:10], np.zeros(10))
    with pytest.raises(ValueError, match="requires y"):
        quick().fit([str(tmp_path / "a.png")])
    with pytest.raises(BadImageError, match=r"none\.png"):
        quick().fit([str(tmp_path / "none.png")] * 2, [0, 1])
    with pytest.raises(UsageError, match="several columns of text"):
        quick().fit(folder[1], folder[1]["label"])
    with pytest.raises(NotFittedError):
        quick().predict(X)
    with pytest.raises(ValueError, match="NaN"):
        quick().fit(np.full((4, 8, 8), np.nan), [0, 1, 0, 1])


# ------------------------------------------------------------------ where it is used


def test_in_a_pipeline_with_cross_validation_and_a_search(digits):
    X, _, y, _ = digits
    X, y = X[:240], y[:240]
    pipeline = make_pipeline(MinMaxScaler(), quick())
    assert cross_val_score(pipeline, X, y, cv=2).shape == (2,)
    search = GridSearchCV(pipeline, {"cnnclassifier__lr": [1e-5, 3e-3], "cnnclassifier__epochs": [3]}, cv=2)
    search.fit(X, y)
    assert search.best_params_["cnnclassifier__lr"] == 3e-3
    assert clone(search.best_estimator_[-1]).get_params()["lr"] == 3e-3


@pytest.mark.slow
def test_in_other_processes(digits):
    X, _, y, _ = digits
    one, two = (cross_val_score(quick(), X[:120], y[:120], cv=2, n_jobs=jobs) for jobs in (None, 2))
    np.testing.assert_array_equal(one, two)


def test_calibrated(digits):
    X, X_test, y, _ = digits
    calibrated = CalibratedClassifierCV(quick(epochs=3), cv=2).fit(X[:300], y[:300])
    np.testing.assert_allclose(calibrated.predict_proba(X_test).sum(axis=1), 1)


def test_paths_are_cross_validated(folder):
    _, table = folder
    assert cross_val_score(quick(epochs=1), table["file"], table["label"], cv=2).shape == (2,)
    assert cross_val_score(quick(epochs=1), list(table["file"]), table["label"], cv=2).shape == (2,)


# ------------------------------------------------------------------ images in parts


def test_images_that_come_in_parts(digits):
    X, X_test, y, y_test = digits
    classifier = quick(lr=3e-3)
    with pytest.raises(ValueError, match="classes must be passed"):
        classifier.partial_fit(X[:100], y[:100])
    for _ in range(4):
        for start in range(0, 600, 150):
            classifier.partial_fit(X[start : start + 150], y[start : start + 150], classes=range(10))
    assert classifier.score(X_test, y_test) > 0.7
    assert classifier.n_epochs_ == 16
    with pytest.raises(ValueError, match="differs from the classes"):
        classifier.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="not in classes"):
        classifier.partial_fit(X[:2], [0, 11])


def test_a_fitted_network_is_trained_further(digits):
    X, X_test, y, _ = digits
    classifier = quick(lr=1e-3).fit(X[:300], y[:300])
    before = classifier.predict_proba(X_test)
    preprocessing = classifier.preprocessing_
    pickle.loads(pickle.dumps(classifier)).partial_fit(X[300:], y[300:])
    np.testing.assert_array_equal(classifier.predict_proba(X_test), before)
    classifier.partial_fit(X[300:], y[300:])
    assert not np.array_equal(classifier.predict_proba(X_test), before)
    assert classifier.preprocessing_ == preprocessing
    assert classifier.fit(X[:300], y[:300]).n_epochs_ == 2


# ------------------------------------------------------------------ how it is kept


def test_save_and_load(fitted, digits, tmp_path):
    _, X, _, _ = digits
    file = fitted.save(tmp_path / "digits.safetensors")
    loaded = CNNClassifier.load(file)
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.classes_.dtype == fitted.classes_.dtype
    assert loaded.history_ == fitted.history_
    assert b"pickle" not in file.read_bytes()


def test_text_labels_and_shapes_are_saved(digits, tmp_path):
    X, _, y, _ = digits
    names = np.array(["고양이", "개", "새"])
    chosen = y < 3
    classifier = quick(image_shape=(8, 8), settings={"pad": 0}).fit(X[chosen][:90], names[y[chosen]][:90])
    loaded = CNNClassifier.load(classifier.save(tmp_path / "a.safetensors"))
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))
    assert loaded.get_params() == classifier.get_params()


def test_a_damaged_or_foreign_file_is_refused(fitted, tmp_path):
    file = fitted.save(tmp_path / "a.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        CNNClassifier.load(file)
    file.write_bytes(pickle.dumps(fitted))
    with pytest.raises(CheckpointError):
        CNNClassifier.load(file)


def test_no_file_of_ones_own_is_imported_unless_it_is_named(digits, tmp_path):
    X, _, y, _ = digits
    module = tmp_path / "mine.py"
    module.write_text(
        "import torch\n\nclass Net(torch.nn.Sequential):\n"
        "    def __init__(self, num_classes=10):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, num_classes))\n"
    )
    classifier = quick(network=f"{module}:Net").fit(X[:100], y[:100])
    file = classifier.save(tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match="not in the atlas"):
        CNNClassifier.load(file)
    loaded = CNNClassifier.load(file, network=f"{module}:Net")
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_pickle_and_joblib_hold_safetensors_bytes(fitted, digits, tmp_path):
    _, X, _, _ = digits
    expected = fitted.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), expected)
    joblib.dump(fitted, tmp_path / "a.joblib", compress=3)
    np.testing.assert_array_equal(joblib.load(tmp_path / "a.joblib").predict_proba(X), expected)
    opcodes = io.StringIO()
    pickletools.dis(pickle.dumps(fitted), opcodes)
    assert "convatlas.estimators.classifier" in opcodes.getvalue()
    assert "'torch" not in opcodes.getvalue()  # no class or function of torch is called to read it


def test_importing_convatlas_imports_neither_torch_nor_scikit_learn():
    code = "import sys, convatlas as ca; ca.list_models(); assert not {'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
