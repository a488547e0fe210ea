"""Figures that lectures get wrong: what is often said, what the layers give, and the derivation, worked out by convatlas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from docs.builder.atlas import summary_of, words
from docs.builder.page import Page, html_table

from convatlas import units
from convatlas.arithmetic import explain, formulas
from convatlas.arithmetic.comparisons import stacks
from convatlas.i18n import translated
from convatlas.models.figures import all_figures
from convatlas.models.registry import entry


@dataclass(frozen=True)
class Figure:
    """One figure: what is said, what is right, and the derivation, which is worked out when the page is made."""

    said: tuple[str, str]
    right: tuple[str, str]
    derivation: Callable[[], str]


def layer(network: str, name: str, *quantities: str) -> Callable[[], str]:
    """The derivation of a layer as ``convatlas explain`` prints it; of some quantities only where they are named."""

    def derivation() -> str:
        found = explain(summary_of(network), name)
        steps = tuple(step for step in found.steps if not quantities or str(step.quantity) in quantities)
        return f"$ convatlas explain {network} {name}\n{replace(found, steps=steps)}"

    return derivation


def totals(*names: str) -> Callable[[], str]:
    """Parameters and multiply-adds of networks, beside each other."""

    def derivation() -> str:
        column = max(map(len, names))
        lines = [f"{name:<{column}}  params {entry(name).params:>13,}  macs {entry(name).macs:>14,}" for name in names]
        return "\n".join(lines)

    return derivation


def _two_stacks() -> str:
    compared = stacks(64, 56)
    lines = ["$ convatlas explain --comparison stacks --input 64x56x56"]
    for each in compared.alternatives:
        field = " x ".join(map(str, each.receptive_field))
        lines.append(f"{each.name:<10} {each.params:>9,} weights  field {field}")
    return "\n".join(lines)


def _size_that_does_not_fit() -> str:
    return f"(224 - 11 + 2*0)/4 + 1 = 54.25\n(227 - 11 + 2*0)/4 + 1 = {formulas.output_size(227, 11, 4)}"


def _without_biases() -> str:
    weights = formulas.conv_params(3, 96, (11, 11), bias=False)
    return f"11*11*3*96      = {weights:,}\n11*11*3*96 + 96 = {weights + 96:,}"


def _without_groups() -> str:
    grouped, full = (formulas.conv_params(96, 256, (5, 5), groups=groups) for groups in (2, 1))
    return f"two groups  5*5*48*256 + 256 = {grouped:,}\none group   5*5*96*256 + 256 = {full:,}"


def _share_of_fc() -> str:
    summary = summary_of("vgg16")
    fc = sum(row.params for row in summary.rows if row.kind == "fc")
    macs = sum(row.macs or 0 for row in summary.rows if row.kind == "fc")
    return (
        f"fully connected  {fc:,} of {summary.totals.params:,} parameters = {fc / summary.totals.params:.1%}\n"
        f"fully connected  {macs:,} of {summary.totals.macs:,} MACs = {macs / summary.totals.macs:.1%}"
    )


FIGURES = (
    Figure(
        ("AlexNet's first layer has 105,750,600 connections.", "AlexNet 첫 층의 연결은 105,750,600개다."),
        ("105,705,600: two digits are exchanged in the lecture.", "105,705,600개입니다. 강의 자료에서 두 자리가 뒤바뀌었습니다."),
        layer("alexnet", "conv1", "neurons", "inputs of one neuron", "connections"),
    ),
    Figure(
        ("AlexNet's first layer has 35K parameters.", "AlexNet 첫 층의 파라미터는 35K개다."),
        ("34,848 weights, which 35K rounds, and 96 biases: 34,944.", "가중치 34,848개(반올림하면 35K)에 편향 96개를 더해 34,944개입니다."),
        _without_biases,
    ),
    Figure(
        ("AlexNet takes 224 x 224 images.", "AlexNet의 입력은 224 x 224이다."),
        ("The 55 x 55 maps that the paper prints need 227 x 227.", "논문에 적힌 55 x 55 특성 맵이 나오려면 227 x 227이어야 합니다."),
        _size_that_does_not_fit,
    ),
    Figure(
        ("AlexNet's first layer has 253,440 neurons.", "AlexNet 첫 층의 뉴런은 253,440개다."),
        ("290,400 = 55 x 55 x 96; 253,440 / 96 is not a square. The figure is the paper's own.",
         "290,400 = 55 x 55 x 96개입니다. 253,440 / 96은 제곱수가 아닙니다. 논문에 그렇게 적혀 있습니다."),
        layer("alexnet", "conv1", "output", "neurons"),
    ),
    Figure(
        ("AlexNet's second layer has 614,656 parameters.", "AlexNet 둘째 층의 파라미터는 614,656개다."),
        ("Its two towers exchange nothing there: 307,456.", "두 갈래가 그 층에서 서로 연결되지 않으므로 307,456개입니다."),
        _without_groups,
    ),
    Figure(
        ("Two 3x3 convolutions see what a 7x7 sees.", "3x3 합성곱 두 개는 7x7과 같은 영역을 본다."),
        ("Two see 5 x 5, three see 7 x 7.", "두 개는 5 x 5, 세 개가 7 x 7입니다."),
        _two_stacks,
    ),
    Figure(
        ("GoogLeNet has 4 million parameters (or 5 million).", "GoogLeNet의 파라미터는 400만 개(또는 500만 개)다."),
        ("6,998,552; the paper's own Table 1 adds up to 6.8 million. AlexNet has 8.7 times as many, not 12 times.",
         "6,998,552개입니다. 논문의 표 1을 더해도 680만 개입니다. AlexNet은 그 12배가 아니라 8.7배입니다."),
        totals("googlenet", "alexnet"),
    ),
    Figure(
        ("LeNet-5 has 61,706 parameters.", "LeNet-5의 파라미터는 61,706개다."),
        ("That is the usual copy, `lenet5@modern`. The network of 1998 has 60,000: C3 sees only some maps of S2, subsampling "
         "has weights, and the output's codes are fixed.",
         "그것은 흔히 쓰는 변형 `lenet5@modern`입니다. 1998년의 신경망은 60,000개입니다. C3는 S2의 일부 맵만 보고, 서브샘플링에 "
         "가중치가 있으며, 출력의 코드는 고정되어 있습니다."),
        totals("lenet5", "lenet5@modern"),
    ),
    Figure(
        ("C3 of LeNet-5 has 16*(5*5*6 + 1) = 2,416 parameters.", "LeNet-5의 C3는 파라미터가 16*(5*5*6 + 1) = 2,416개다."),
        ("1,516: its Table I connects each map with 3, 4 or 6 maps of S2.", "1,516개입니다. 표 I에 따라 각 맵이 S2의 맵 3개, 4개 또는 6개와 연결됩니다."),
        layer("lenet5", "C3"),
    ),
    Figure(
        ("Pooling has no parameters, so S2 of LeNet-5 has none.", "풀링에는 파라미터가 없으므로 LeNet-5의 S2에도 없다."),
        ("Its subsampling has one weight and one bias for each of 6 maps: 12.", "이 서브샘플링은 맵 6개마다 가중치와 편향이 하나씩 있어 12개입니다."),
        layer("lenet5", "S2"),
    ),
    Figure(
        ("VGG-16 needs 15.5 GFLOPs, ResNet-50 3.8 GFLOPs.", "VGG-16은 15.5 GFLOPs, ResNet-50은 3.8 GFLOPs가 필요하다."),
        ("These are multiply-adds. Floating-point operations are twice as many.", "이것은 곱셈-누산 횟수입니다. 부동소수점 연산은 그 두 배입니다."),
        totals("vgg16", "resnet50"),
    ),
    Figure(
        ("ResNet-50 is the network of that name in every library.", "ResNet-50은 어느 라이브러리에서나 같은 신경망이다."),
        ("torchvision and timm move the stride from the first 1x1 to the 3x3 convolution: as many parameters, 6 % more "
         "multiply-adds.",
         "torchvision과 timm은 보폭을 첫 1x1 합성곱에서 3x3 합성곱으로 옮겼습니다. 파라미터 수는 같고 곱셈-누산은 6 % 많습니다."),
        totals("resnet50", "resnet50@torchvision"),
    ),
    Figure(
        ("Convolutions hold most parameters of VGG-16.", "VGG-16의 파라미터는 대부분 합성곱에 있다."),
        ("Nine tenths are in the three fully connected layers, which do less than a hundredth of the multiply-adds.",
         "열에 아홉은 완전 연결 층 세 개에 있습니다. 이 층의 곱셈-누산은 100분의 1도 되지 않습니다."),
        _share_of_fc,
    ),
)  # fmt: skip

TITLES = {
    "en": ("Figures that lectures get wrong",
           "What lectures, slides and copies of slides say, beside what the layers give. Each derivation is worked out when "
           "this page is made.", "Derived",
           "Printed figures that the layers do not give",
           "These figures are printed in a paper or by its authors, and the layers that the same source describes give "
           "another number."),
    "ko": ("강의에서 자주 틀리는 값",
           "강의와 강의 자료에서 흔히 말하는 값과, 층에서 계산한 값입니다. 유도 과정은 이 쪽을 만들 때 계산합니다.",
           "계산값", "논문에 적혀 있으나 층에서 나오지 않는 값",
           "논문이나 저자가 적은 값인데, 같은 원문이 설명하는 층에서는 다른 값이 나옵니다."),
}  # fmt: skip


def page(language: str) -> Page:
    title, intro, derived, printed, below = TITLES[language]
    korean = language == "ko"
    lines = [f"# {title}", "", intro, ""]
    for each in FIGURES:
        lines += [f"## {each.said[korean].rstrip('.')}", "", f"{derived}: {each.right[korean]}", ""]
        lines += ["```text", each.derivation(), "```", ""]
    w = words(language)
    rows = [
        [
            each.network,
            each.quantity,
            each.printed.text,
            units.exact(each.derived or 0),
            translated(each.explanation),
            each.source,
        ]
        for each in all_figures()
        if each.verdict == "explained"
    ]
    headings = [w[key] for key in ("network", "quantity", "printed", "derived_short", "verdict", "source")]
    lines += [f"## {printed}", "", below, "", html_table(headings, rows, numbers=(2, 3)), ""]
    return Page("lectures.md", "\n".join(lines), "evidence")
