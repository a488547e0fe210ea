"""Answers are those of `ExportedModel` and of `predict`, whatever requests and batches the images come in."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from serving import picture

import convatlas as ca
from convatlas.data import Preprocessing
from convatlas.exports import open_exported
from convatlas.runs.loaded_network import load_network
from convatlas.serve import ServeOptions


def pairs(answer) -> list[list[tuple[str, float]]]:
    assert answer.status_code == 200, answer.text
    return [[tuple(pair) for pair in each["top"]] for each in answer.json()["predictions"]]


@pytest.fixture(scope="module")
def wanted(served, model) -> list[list[tuple[str, float]]]:
    """All classes of each image with the probabilities of the file, one image at a time."""
    found = []
    for path in served.paths:
        (row,) = model.predict([path])
        found.append([(model.classes[k], float(row[k])) for k in np.argsort(-row, kind="stable")])
    return found


def test_a_request_of_one_image(client, served, model, wanted):
    answer = client.predict(served.images[3])
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["schema"] == 1
    assert document["model"] == {
        "network": "lenet5@modern",
        "precision": "fp32",
        "engine": "onnxruntime",
        "sha256": model.sidecar.sha256,
    }
    assert document["predictions"] == [{"file": "image", "top": [list(pair) for pair in wanted[3][:5]]}]


def test_several_images_in_one_request_keep_their_order_and_names(client, served, wanted):
    answer = client.predict_all(list(served.images[:7]))
    assert pairs(answer) == [each[:5] for each in wanted[:7]]
    assert [each["file"] for each in answer.json()["predictions"]] == [f"{k}.png" for k in range(7)]


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("deadline_ms", [0.0, 5.0])
def test_the_answer_does_not_depend_on_who_else_asks(client_of, served, wanted, batch, deadline_ms):
    """Twelve clients at once, each with other images: the bits of each image alone."""
    client = client_of(ServeOptions(batch=batch, deadline_ms=deadline_ms))
    wrong: list[object] = []

    def ask(first: int) -> None:
        for number in range(first, first + 12):
            k = number % len(served.images)
            if pairs(client.predict(served.images[k], top=10)) != [wanted[k]]:
                wrong.append(k)

    threads = [threading.Thread(target=ask, args=(2 * number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert client.metric("convatlas_batch_images_sum") == 144
    if batch == 1:
        assert client.metric("convatlas_batch_images_count") == 144
    else:
        assert client.metric("convatlas_batch_images_count") < 144, "images of different requests share a batch"


def test_the_labels_are_those_of_predict(client, served):
    by_run = list(ca.predict(served.run, served.paths))
    answer = pairs(client.predict_all(list(served.images)))
    for ours, theirs in zip(answer, by_run, strict=True):
        assert [label for label, _ in ours] == [label for label, _ in theirs.top]
        np.testing.assert_allclose([p for _, p in ours], [p for _, p in theirs.top], atol=1e-6)


def test_the_labels_in_openvino_are_the_same(client_of, served, wanted):
    pytest.importorskip("openvino")
    client = client_of(model=open_exported(served.file, "openvino", threads=1))
    for ours, theirs in zip(pairs(client.predict_all(list(served.images))), wanted, strict=True):
        assert ours[0][0] == theirs[0][0]
        np.testing.assert_allclose([p for _, p in ours], [p for _, p in theirs[:5]], atol=1e-6)


def test_a_file_that_resizes_takes_photos_of_any_size(client_of, served, tmp_path):
    network = load_network(served.run)
    preparation = network.preprocessing.to_dict() | {"resize": "shorter-crop", "why": ""}
    file = ca.export(
        network.net,
        input="photo",
        classes=network.labels.names,
        preprocessing=Preprocessing.from_dict(preparation),
        out=tmp_path,
    ).file
    model = open_exported(file, threads=1)
    photos = [picture(40, 90), picture(200, 61, "JPEG"), picture(32, 32, mode="L"), picture(50, 50, mode="RGBA")]
    paths = [tmp_path / f"{k}.image" for k in range(len(photos))]
    for path, content in zip(paths, photos, strict=True):
        path.write_bytes(content)
    answer = pairs(client_of(model=model).predict_all(photos))
    for row, found in zip(model.predict(paths), answer, strict=True):
        assert [(label, p) for label, p in found] == [
            (model.classes[k], float(row[k])) for k in np.argsort(-row, kind="stable")[:5]
        ]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_colour_photos_of_each_format(client, model, tmp_path, kind):
    content = picture(64, 48, kind)
    path = tmp_path / "photo"
    path.write_bytes(content)
    (row,) = model.predict([path])
    assert pairs(client.predict(content))[0][0] == (model.classes[int(row.argmax())], float(row.max()))


def test_the_number_of_classes_is_chosen(client, served, wanted):
    assert pairs(client.predict(served.images[0], top=1)) == [wanted[0][:1]]
    assert pairs(client.predict(served.images[0], top=10)) == [wanted[0]]
    for wrong in (0, 11, -1, "x", "1e1", "٣", "9" * 30):
        text = client.refused(client.predict(served.images[0], top=wrong), 400)
        assert "expected a whole number from 1 to 10" in text


def test_an_image_that_cannot_be_read_does_not_spoil_the_others(client, served, wanted):
    answer = client.predict_all([served.images[0], b"no image", served.images[1]])
    first, second, third = answer.json()["predictions"]
    assert answer.status_code == 200
    assert second["file"] == "1.png"
    assert "it is not an image" in second["error"]
    assert [tuple(pair) for pair in first["top"]] == wanted[0][:5]
    assert [tuple(pair) for pair in third["top"]] == wanted[1][:5]
    assert client.metric('convatlas_images_total{result="unreadable"}') == 1


def test_without_a_readable_image_the_request_is_refused(client, served):
    assert "the file is empty" in client.refused(client.predict(b""), 422)
    cut = client.refused(client.predict(served.images[0][: len(served.images[0]) // 2]), 422)
    assert "it cannot be read" in cut
    assert client.predict_all([b"x", b"y"]).status_code == 422
