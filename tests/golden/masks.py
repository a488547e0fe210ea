"""What is taken out of golden output because it depends on the machine: measured values, versions.

A digit becomes ``#`` and its place in a table stays, so that a column which is cut or broken is still seen. Where the
length may differ (a duration), the whole value becomes one word. What is counted, printed or configured is never
masked. Paths need no mask: the commands run in a folder of their own and are given relative ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

DURATION = re.compile(r"\d[\d.,]* (ns|µs|ms|s|min|h)\b")
SHARE = re.compile(r"\d+\.\d+(?= %| to \d+\.\d+ %|~\d+\.\d+ %)")  # 84.26 %, both ends of 80.1 to 87.9 %
RESULT = re.compile(r"top-1|train loss|학습 손실|error \d|오차 \d")

# keys of JSON documents whose values were measured here; everything below such a key is masked
MEASURED_KEYS = frozenset(
    [
        *("measured", "measured_percent", "machine", "processor", "environment", "hardware"),
        *("train_s", "seconds", "wall_s", "images_per_s", "latency_ms", "peak_memory_bytes"),
        *("training_images_per_s", "inference_images_per_s", "share_of_matmul"),
        *("train_loss", "val_loss", "test_loss", "nll", "train_top1", "val_top1", "top1", "top5", "ci95", "top"),
        *("test_top1", "test_top5", "test_ci95", "test_top1_by_seed", "calibration_error", "per_class"),
        *("confusion", "most_confused", "differences", "why"),
    ]
)


def nothing(text: str) -> str:
    return text


def hashes(match: re.Match[str]) -> str:
    """Every digit of a match becomes #."""
    return re.sub(r"\d", "#", match[0])


def durations(text: str) -> str:
    return DURATION.sub("<duration>", text)


def shares(text: str) -> str:
    """``evaluate``: accuracies and their intervals, F1, losses, and which classes were taken for which."""
    text = re.sub(r"(?m)(?<=[ (])\d\.\d+(?= nats| 나트| bits| 비트)", hashes, SHARE.sub(hashes, text))
    text, confused = re.subn(r"(?m)^ +\d+(?: x|번)  .*\n", "", text)
    return text + "<confused classes>\n" * bool(confused)


def training(text: str) -> str:
    """``train``: losses, accuracies and durations in what it prints after the header."""
    return "".join(
        re.sub(r"(?<!lr )(?<![\d.])\d+\.\d+", hashes, durations(line)) if RESULT.search(line) else line
        for line in text.splitlines(keepends=True)
    )


def sweep(text: str) -> str:
    """``train --find-lr``: the learning rates that the losses led to; those of the recipe end their line."""
    return re.sub(r"0\.\d+(?!\d|$)", "<lr>", text, flags=re.MULTILINE)


def last_column(text: str) -> str:
    """``show --fits``: the last number of every line, the measured column."""
    return re.sub(r"[\d.,]+(?= \w+$)", hashes, text, flags=re.MULTILINE)


def measured_line(text: str) -> str:
    """``explain --effective-field``: numbers of the line that is measured."""
    return re.sub(r"\d+(?= pixels hold|개에 기울기)|\d+\.\d(?= %)", hashes, text)


def inspected(text: str) -> str:
    """``inspect``: probabilities, scores, ranges, statistics and correlations, which depend on the processor."""
    text = re.sub(r"-?\d[\d.e+-]* … -?\d[\d.e+-]*", "<range>", text)
    text = re.sub(r"(?<!arXiv:)(?<![\d.])-?\d+\.\d+(?:e[+-]\d+)?( %)?", "<number>", text)
    return re.sub(r"(?m)(?<=\.png) +\d+(?=  )", " <class>", text)


def json_inspected(text: str) -> str:
    """``inspect --json``: what depends on the processor."""
    return re.sub(r'("(?:min|max|probability|score|class|class_index|correlation)": )[^,\n]+', r"\1<measured>", text)


def labels(text: str) -> str:
    """``predict``: probabilities, and which label comes first, second ..."""
    return re.sub(r"(?<=   )\S+ +\d+\.\d %", "# ##.# %", text)


def recommendation(text: str) -> str:
    """``compare``: accuracies in the sentences below the table; those in its rows are fixed already."""
    return "".join(line if line.startswith(" ") else SHARE.sub(hashes, line) for line in text.splitlines(keepends=True))


def version(text: str) -> str:
    return re.sub(r"\d+(\.\w+)+", "<version>", text)


def json_measured(text: str) -> str:
    """Values of `MEASURED_KEYS` in one document or in lines of them, the layout of the text kept."""
    head, brace, body = text.partition("{")
    try:
        document = json.loads(brace + body)
    except json.JSONDecodeError:
        return "\n".join(_line(line) for line in text.split("\n"))
    return head + json.dumps(_masked(document), ensure_ascii=False, indent=2) + "\n"


def _line(line: str) -> str:
    return json.dumps(_masked(json.loads(line)), ensure_ascii=False) if line.startswith("{") else line


def _masked(value: Any, measured: bool = False) -> Any:
    if isinstance(value, dict):
        return {key: _masked(each, measured or key in MEASURED_KEYS) for key, each in value.items()}
    if isinstance(value, list):
        return "<measured>" if measured else [_masked(each) for each in value]
    return "<measured>" if measured and value is not None else value


Mask = Callable[[str], str]
