"""A card reads as a page: what is printed where, what differs here and why."""

from __future__ import annotations

import convatlas as ca


def test_a_card_is_printed_as_it_is_read():
    page = str(ca.card("alexnet"))
    assert '"ImageNet Classification with Deep Convolutional Neural Networks". Krizhevsky et al., NIPS 2012' in page
    assert "params       60 million  (abstract)" in page
    assert "253,440 / 96 = 2,640 is not a square" in page


def test_a_recalled_figure_says_so():
    assert "recalled, not checked against the text" in str(ca.card("speednet_cifar"))
