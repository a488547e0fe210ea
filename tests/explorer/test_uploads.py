"""Images given to the page: what is read, what is refused and with which words, and what is kept."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from convatlas.data.decode import UnreadableImage, decode
from convatlas.explorer.images import MAX_BYTES, Pictures


def picture_file(width: int, height: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 30)).save(file, kind)
    return file.getvalue()


def put(page, content: bytes, name: str = "mine.png", **parameters: str):
    return page.client.put("api/image", params={"name": name, **parameters}, content=content)


def decoded(content: bytes) -> tuple[tuple[int, ...] | None, str]:
    """Height and width of an image, or None and the reason why it cannot be read."""
    try:
        return decode(content).shape[:2], ""
    except UnreadableImage as error:
        return None, str(error)


def test_an_image_is_kept_for_the_session(page):
    answer = put(page, picture_file(30, 20))
    assert answer.status_code == 200
    made = answer.json()
    assert (made["name"], made["width"], made["height"]) == ("mine.png", 30, 20)
    assert made["id"] in [each["id"] for each in page.get("session")["images"]]
    assert put(page, picture_file(30, 20), "again.png").json()["id"] == made["id"], "the same content, the same image"
    assert page.get("maps", subject="lenet5", image=made["id"], layer="C1")["shape"][0] == 6


def test_every_odd_image_is_read_or_refused_with_the_decoder_s_words(page, shared):
    """The page says of a file what every other command says of it."""
    files = sorted(shared("data/odd-images").iterdir())
    assert len(files) > 90
    read = 0
    for file in files:
        content = file.read_bytes()
        for language in ("en", "ko"):
            answer = put(page, content, file.name, lang=language)
            size, reason = decoded(content)
            if size is None:
                assert answer.status_code == 422, file.name
                assert file.name in answer.json()["error"]
                assert (reason if language == "en" else "읽을 수 없습니다") in answer.json()["error"]
            else:
                assert answer.status_code == 200, (file.name, answer.text)
                assert (answer.json()["height"], answer.json()["width"]) == size
                read += 1
    assert read > 100


def test_a_file_that_is_too_large_is_refused_before_it_is_read_whole(page):
    answer = put(page, b"x" * (MAX_BYTES + 1))
    assert answer.status_code == 413
    assert "32 MiB" in answer.json()["error"]


def test_a_stream_without_a_length_is_cut_at_the_limit(page):
    chunks = (b"x" * (1 << 20) for _ in range(MAX_BYTES // (1 << 20) + 1))
    answer = page.client.put("api/image", content=chunks)
    assert answer.status_code == 413


def test_an_image_of_too_many_pixels_is_refused(page):
    answer = put(page, picture_file(10_000, 6_000))
    assert answer.status_code == 422
    assert "more than the limit of 50,000,000" in answer.json()["error"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\Users\\me\\photo.png", "a\x00b\n.png", "", "가" * 300])
def test_a_name_is_only_for_display(page, name):
    shown = put(page, picture_file(3, 3), name).json()["name"]
    assert "/" not in shown
    assert "\\" not in shown
    assert shown.isprintable()
    assert 0 < len(shown) <= 80


def test_the_oldest_images_make_room(tmp_path):
    pictures = Pictures(kept_bytes=3 * len(picture_file(400, 400)))
    made = [pictures.add(picture_file(400, 400 + number), f"{number}.png") for number in range(5)]
    kept = {each.id for each in pictures.all()}
    assert made[-1].id in kept
    assert made[0].id not in kept
    assert len(kept & {each.id for each in made}) < 5


def test_the_images_of_a_data_set_are_offered(page_of, shared):
    page = page_of("resnet18", data=str(shared("data/photos")))
    session = page.get("session")
    assert session["data"] == "photos"
    assert len(session["images"]) == 24
    assert len({each["name"].partition(":")[0] for each in session["images"]}) == 24, "of as many classes"


def test_two_photos_and_four_digits_are_built_in(page):
    session = page.get("session")
    assert session["data"] is None
    assert [each["name"] for each in session["images"]][:6] == [
        "china.jpg", "flower.jpg", "digit 0", "digit 1", "digit 2", "digit 3"
    ]  # fmt: skip
    assert page.get("session", lang="ko")["images"][2]["name"] == "숫자 0"
