"""The atlas as pages: a list of all networks, and a page per network from its card, its counts and its layers."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from docs.builder.page import Page, html_table, table

from convatlas import units
from convatlas.arithmetic import Summary, layer_table
from convatlas.figures import VERDICTS
from convatlas.i18n import translated
from convatlas.models.figures import compare_figures
from convatlas.models.ledger import measured_text
from convatlas.models.registry import Entry, entry, list_models
from convatlas.models.weights.published import table as published
from convatlas.recipes.page import describe_settings
from convatlas.recipes.registry import own_recipes
from convatlas.runs.summarize import summarize
from convatlas.visualization.diagram import block_diagram

MOST_ROWS = 200  # of a layer table on a page; of a longer one the page names the command
MOST_BOXES = 45  # of a diagram

WORDS = {
    "atlas": ("The atlas", "아틀라스"),
    "intro": (
        "{own} networks and {variants} variants. Parameters and multiply-adds (MACs) are derived from the layers, for one "
        "image of the size in the table; errors are printed. `NAME@VARIANT` is a network that others deploy under the same "
        "name, or a version that differs in one respect. Networks are in the order of publication.",
        "신경망 {own}개와 변형 {variants}개입니다. 파라미터와 곱셈-누산(MAC)은 표에 적힌 크기의 이미지 한 장에 대해 층에서 "
        "계산한 값이고, 오류율은 논문에 적힌 값입니다. `NAME@VARIANT`는 같은 이름으로 배포되는 다른 신경망이거나 한 가지만 바꾼 "
        "것입니다. 순서는 발표 순이며, 카드의 설명은 논문을 인용하므로 영어입니다.",
    ),
    "network": ("network", "신경망"),
    "paper": ("paper", "논문"),
    "input": ("input", "입력"),
    "params": ("parameters", "파라미터"),
    "macs": ("MACs", "곱셈-누산(MAC)"),
    "error": ("printed error", "논문의 오류율"),
    "read": ("Read for the model file", "모델 파일이 따른 원문"),
    "derived": ("Derived from the layers", "층에서 계산한 값"),
    "connections": ("connections", "연결"),
    "neurons": ("neurons", "뉴런"),
    "layers": ("layers with weights", "가중치가 있는 층"),
    "smallest": ("smallest square image", "가장 작은 정사각형 이미지"),
    "memory": ("activations, one image, float32", "활성값, 이미지 한 장, float32"),
    "weights_size": ("weights, float32", "가중치, float32"),
    "diagram": ("Diagram", "구조"),
    "diagram_of": ("Block diagram of {name}: its modules from input to output", "{name}의 구조: 입력에서 출력까지의 모듈"),
    "no_diagram": ("{n} modules are too many for a page:", "모듈이 {n}개라서 이 쪽에 그리지 않습니다."),
    "figures": ("Printed beside derived and measured", "논문의 값과 계산값, 측정값"),
    "quantity": ("quantity", "항목"),
    "printed": ("printed", "논문"),
    "derived_short": ("derived", "계산"),
    "measured": ("measured", "측정"),
    "verdict": ("verdict", "판정"),
    "protocol": ("protocol", "평가 방식"),
    "source": ("source", "출처"),
    "departures": ("Departures from the paper", "논문과 다른 점"),
    "departure": (
        "**{topic}.** Paper: {paper}. Here: {here}. Why: {why}.",
        "**{topic}.** 논문: {paper}. 여기: {here}. 이유: {why}.",
    ),
    "initial": ("Initial weights", "초기 가중치"),
    "unstated": ("What the paper leaves open, and what is assumed", "논문에 없어 가정한 것"),
    "recipes": ("Recipes", "레시피"),
    "paper_recipe": (
        "`--recipe paper` is [`{name}`](../reference/recipes.md): {settings}.",
        "`--recipe paper`는 [`{name}`](../reference/recipes.md)입니다: {settings}.",
    ),
    "no_recipe": (
        "The paper prints no training; `--recipe modern` is the default.",
        "논문에 학습 방법이 없습니다. 기본은 `--recipe modern`입니다.",
    ),
    "others": ("What others deploy under this name", "같은 이름으로 배포되는 것"),
    "differs": ("what it is", "설명"),
    "variant_of": ("A variant of [{name}]({name}.md).", "[{name}]({name}.md)의 변형입니다."),
    "published": ("Published weights that can be loaded", "불러올 수 있는 공개 가중치"),
    "layer_table": ("Layers", "층"),
    "too_long": ("The layer table has {n} rows:", "층 표는 {n}행입니다."),
    "try": ("On the command line", "명령"),
}  # fmt: skip


def pages(language: str) -> Iterator[Page]:
    """The list, then a page per network; texts are in the language in use, which is ``language``."""
    yield index(language)
    for name in list_models():
        yield network_page(entry(name), language)


def words(language: str) -> dict[str, str]:
    return {key: pair[language == "ko"] for key, pair in WORDS.items()}


@functools.cache
def summary_of(name: str) -> Summary:
    return summarize(name)


def index(language: str) -> Page:
    w = words(language)
    names, own = list_models(), list_models(variants=False)
    lines = [f"# {w['atlas']}", "", w["intro"].format(own=len(own), variants=len(names) - len(own)), ""]
    families: dict[str, list[Entry]] = {}
    for name in names:
        families.setdefault(entry(name).family, []).append(entry(name))
    for family, members in families.items():
        rows = [
            [
                f"[{each.full_name}]({each.full_name}.md)",
                each.card.paper.citation,
                "x".join(map(str, each.input)),
                units.short(each.params),
                units.short(each.macs),
                printed_error(each),
            ]
            for each in members
        ]
        headings = [w[key] for key in ("network", "paper", "input", "params", "macs", "error")]
        lines += [f"## {family}", "", table(headings, rows, numbers=(3, 4, 5)), ""]
    return Page("atlas/index.md", "\n".join(lines), "atlas")


def printed_error(record: Entry) -> str:
    """The first top-1 error of the card, else its first error; empty where there is none."""
    for quantity in ("top1_error", "error", "top5_error"):
        for figure in record.card.figures:
            if figure.quantity == quantity:
                return f"{figure.text} (top-5)" if quantity == "top5_error" else figure.text
    return ""


def network_page(record: Entry, language: str) -> Page:
    w, card, name = words(language), record.card, record.full_name
    summary = summary_of(name)
    arxiv = f" [arXiv:{card.paper.arxiv}](https://arxiv.org/abs/{card.paper.arxiv})." if card.paper.arxiv else ""
    lines = [f"# {name}", "", f"{card.summary[:1].upper()}{card.summary[1:]}.", ""]
    if record.variant:
        lines += [w["variant_of"].format(name=record.name), ""]
    lines += [f"{', '.join(card.paper.authors)}. *{card.paper.title}*. {card.paper.venue}.{arxiv}", ""]
    if card.paper.read:
        lines += [f"{w['read']}: {card.paper.read}.", ""]
    lines += [f"## {w['derived']}", "", derived(record, summary, w), ""]
    drawn, files = diagram(name, summary, w)
    lines += [f"## {w['diagram']}", "", *drawn, ""]
    lines += figures(record, w)
    if card.departures:
        lines += [f"## {w['departures']}", ""]
        lines += ["- " + w["departure"].format(**each.to_dict()) for each in card.departures] + [""]
    lines += [f"## {w['initial']}", "", f"{card.initialisation}.", ""]
    if card.unstated:
        lines += [f"## {w['unstated']}", "", *(f"- {each}." for each in card.unstated), ""]
    lines += recipes(record, w)
    lines += deployed(record, w)
    lines += [f"## {w['layer_table']}", "", *layers(name, summary, w), ""]
    lines += [f"## {w['try']}", "", "```sh", *commands(record, summary), "```", ""]
    return Page(f"atlas/{name}.md", "\n".join(lines), "atlas", listed=False, files=files)


def derived(record: Entry, summary: Summary, w: dict[str, str]) -> str:
    rows = [
        [w["input"], "x".join(map(str, record.input))],
        [w["params"], units.exact(record.params)],
        [w["weights_size"], units.bytes_(4 * record.params)],
        [w["macs"], units.exact(record.macs)],
        [w["connections"], units.exact(record.connections)],
        [w["neurons"], units.exact(record.neurons)],
        [w["memory"], units.bytes_(summary.totals.activation_bytes)],
        [w["layers"], str(record.weight_layers)],
        [w["smallest"], f"{record.smallest_size} x {record.smallest_size}"],
    ]
    return table([w["quantity"], w["derived_short"]], rows, numbers=(1,))


def diagram(name: str, summary: Summary, w: dict[str, str]) -> tuple[list[str], tuple[tuple[str, bytes], ...]]:
    drawing = block_diagram(summary)
    boxes = drawing.count("<rect")
    if boxes > MOST_BOXES:
        return [w["no_diagram"].format(n=boxes) + f" `convatlas show {name} --diagram {name}.svg`"], ()
    file = f"{name}.svg"
    alt = w["diagram_of"].format(name=name)
    return [f'<div class="diagram" tabindex="0" markdown>\n\n![{alt}]({file})\n\n</div>'], (
        (f"atlas/{file}", drawing.encode()),
    )


def figures(record: Entry, w: dict[str, str]) -> list[str]:
    compared = compare_figures(record)
    if not compared:
        return []
    rows = [
        [
            figure.quantity.replace("_", " "),
            figure.printed.text,
            figure.derived_text,
            measured_text(figure),
            translated(VERDICTS[figure.verdict]) + (f": {figure.explanation}" if figure.explanation else ""),
            figure.printed.protocol,
            figure.source,
        ]
        for figure in compared
    ]
    headings = [w[key] for key in ("quantity", "printed", "derived_short", "measured", "verdict", "protocol", "source")]
    return [f"## {w['figures']}", "", html_table(headings, rows), ""]


def recipes(record: Entry, w: dict[str, str]) -> list[str]:
    own = own_recipes(record)
    paper = own.get("paper")
    text = w["no_recipe"] if paper is None else w["paper_recipe"].format(
        name=paper.name, settings=describe_settings(paper)
    )  # fmt: skip
    return [f"## {w['recipes']}", "", text, "", ", ".join(f"`{name}`" for name in own), ""]


def deployed(record: Entry, w: dict[str, str]) -> list[str]:
    """The variants of a network, and the published weights that fit it."""
    variants = [entry(name) for name in list_models(f"{record.name}@*")]
    lines: list[str] = []
    if variants and not record.variant:
        rows = [
            [f"[{v.full_name}]({v.full_name}.md)", v.card.summary, units.exact(v.params), units.exact(v.macs)]
            for v in variants
        ]
        headings = [w["network"], w["differs"], w["params"], w["macs"]]
        lines += [f"## {w['others']}", "", table(headings, rows, numbers=(2, 3)), ""]
    weights = [line.full_name for line in published() if line.network == record.full_name]
    if weights:
        lines += [f"## {w['published']}", "", ", ".join(f"`{each}`" for each in weights), ""]
    return lines


def layers(name: str, summary: Summary, w: dict[str, str]) -> list[str]:
    if len(summary.rows) > MOST_ROWS:
        return [w["too_long"].format(n=len(summary.rows)) + f" `convatlas show {name}`"]
    headings = [column.heading for column in layer_table.columns()]
    rows = [list(layer_table.cells(row)) for row in summary.rows]
    return [f"<div data-search-exclude>{html_table(headings, rows, numbers=(5, 6, 7, 8, 9, 10))}</div>"]


def commands(record: Entry, summary: Summary) -> list[str]:
    name = record.full_name
    first = next((row.name for row in summary.rows if row.params), summary.rows[0].name)
    lines = [f"convatlas show {name}", f"convatlas explain {name} {first}"]
    return lines if record.reconstructs else [*lines, f"convatlas train {name} --data photos/"]
