"""Pictures of inspections: the pixels drawn are those of the arrays."""

from __future__ import annotations

import numpy as np
import pytest

from convatlas.visualization.inspection import (
    heat_map,
    panels,
    picture,
    picture_style,
    scaled_maps,
    scaled_patterns,
    tile_columns,
    tiles,
)


def test_the_hottest_pixel_is_the_brightest():
    pixels, heat = np.full((8, 8, 3), 0.5), np.zeros((8, 8))
    heat[2, 5] = 3.0
    with picture_style():
        ax = heat_map(panels(1, 1)[0][0], pixels, heat)
    drawn = np.asarray(ax.images[0].get_array())
    assert np.unravel_index(drawn.sum(axis=2).argmax(), (8, 8)) == (2, 5)
    assert np.allclose(drawn[0, 0], drawn[7, 7])


def test_a_map_of_zeros_is_drawn_without_a_warning():
    with picture_style():
        heat_map(panels(1, 1)[0][0], np.zeros((4, 4, 1)), np.zeros((4, 4)))
    assert scaled_maps(np.zeros((2, 3, 3))).max() == 0
    assert np.allclose(scaled_patterns(np.zeros((2, 3, 3, 3))), 0.5)


def test_maps_are_scaled_from_minimum_to_maximum_and_patterns_around_grey():
    maps = scaled_maps(np.array([[[-2.0, 0.0], [2.0, 1.0]]]))
    assert maps[0].tolist() == [[0, 0.5], [1, 0.75]]
    patterns = scaled_patterns(np.array([[[[-4.0], [2.0]]]]))
    assert patterns[0, 0, :, 0].tolist() == [0, 0.75]
    assert patterns.shape == (1, 1, 2, 3)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (9, 3), (64, 8), (96, 12), (6, 3), (7, 7), (11, 4)])
def test_a_grid_leaves_no_gap_where_it_can(count, columns):
    assert tile_columns(count) == (columns if count != 7 else 3)


def test_every_tile_is_drawn_once_and_a_crossed_one_is_crossed():
    with picture_style():
        ax = tiles(panels(1, 1)[0][0], np.random.default_rng(0).random((5, 6, 4)), list("abcde"), crossed=[2])
    assert len(ax.images) == 5
    assert [text.get_text() for text in ax.texts] == list("abcde")
    assert len(ax.lines) == 2


def test_equal_pictures_have_equal_bytes():
    def drawn(file_format):
        with picture_style():
            ax = tiles(panels(1, 1)[0][0], np.random.default_rng(0).random((4, 3, 3, 3)))
            return picture(ax, file_format)

    for file_format, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        assert drawn(file_format) == drawn(file_format)
        assert drawn(file_format).startswith(start)


def test_korean_names_are_drawn_where_a_font_is_installed():
    with picture_style():
        ax = tiles(panels(1, 1)[0][0], np.zeros((1, 3, 3)), ["강아지"], title="고양이")
        assert picture(ax).startswith(b"\x89PNG")
