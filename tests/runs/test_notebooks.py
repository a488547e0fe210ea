"""What a notebook shows: objects as HTML, briefly as text, and the progress of a training on one line."""

from __future__ import annotations

import pytest

import convatlas as ca
from convatlas.runs.notebook import NotebookListener, in_notebook, updating_line


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return ca.compare(["mlp", "lenet5@modern"], data="digits", epochs=1, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, lines):
    listener = NotebookListener(lines.append)
    return ca.train("mlp", data="digits", epochs=2, out=tmp_path_factory.mktemp("runs"), listener=listener)


@pytest.fixture(scope="module")
def shown(run, comparison):
    return {
        "summary": ca.summarize("lenet5"),
        "card": ca.card("alexnet"),
        "run": run,
        "evaluation": ca.evaluate(run),
        "comparison": comparison,
    }


@pytest.mark.parametrize("name", ["summary", "card", "run", "evaluation", "comparison"])
def test_an_object_is_a_table_in_a_notebook_and_a_line_in_a_terminal(shown, name):
    each = shown[name]
    markup = each._repr_html_()
    assert markup.count("<table>") == markup.count("</table>") == 1
    assert markup.count("<tr>") == markup.count("</tr>") > 2
    assert "\n" not in repr(each)
    assert len(repr(each)) < 300


def test_the_tables_hold_the_figures(shown):
    assert "60,000" in shown["summary"]._repr_html_()
    assert "params=60000" in repr(shown["summary"])
    assert "lenet5@modern" in str(shown["comparison"])
    assert "lenet5@modern" in shown["comparison"]._repr_html_()
    assert str(shown["evaluation"]).startswith("top-1 ")
    assert "recall" in str(shown["evaluation"])
    assert shown["run"].result["test_n"] == 359


def test_names_are_escaped(shown):
    from dataclasses import replace

    evaluation = replace(shown["evaluation"], classes=("<b>", *shown["evaluation"].classes[1:]))
    assert "&lt;b&gt;" in evaluation._repr_html_()
    assert "<b>" not in evaluation._repr_html_()


def test_the_progress_of_a_training_is_one_line_that_is_replaced(run, lines):
    assert len(lines) >= 2
    assert all("\n" not in line for line in lines)
    assert lines[-1].startswith("epoch 2/2  loss ")
    assert "validation top-1" in lines[-1]


def test_without_a_notebook_the_line_is_text(capsys):
    assert not in_notebook()
    write = updating_line()
    write("one")
    write("two")
    assert capsys.readouterr().err == "\rone\rtwo"
