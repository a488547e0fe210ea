"""Runs a command line of a `Case` in this process, as a terminal of a given width shows it."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cases import Case

import convatlas.comparison
import convatlas.comparison.speed
from convatlas import i18n
from convatlas.cli import main
from convatlas.cli._app import COMMANDS

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# the measurements that are made once and printed in every language and width: where the command finds each
RECORDED = {"compare": (convatlas.comparison, "compare"), "bench": (convatlas.comparison.speed, "measure_speed")}

# fields of what is measured, and a value that is printed in place of what this machine gave
FIXED: Mapping[str, Any] = {
    "samples_s": (0.02871, 0.03214, 0.04025),
    "peak_bytes": 12_345_678,
    "train_s": 83.21,
    "processor": "A Processor 9000",
    "sides": {"fp32": 2048, "bf16": 2048},
    "top1": 0.9136,
    "ci95": (0.8799, 0.9385),
    "by_seed": (0.9136,),
}


class Screen(io.TextIOWrapper):
    """Standard output as a terminal, or as a pipe."""

    def __init__(self, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def text(self) -> str:
        return ANSI.sub("", self.buffer.getvalue().decode())  # type: ignore[attr-defined]


def fixed(value: Any) -> Any:
    """The same record, every field of `FIXED` in it, at any depth, replaced."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value) if each.init}
        return dataclasses.replace(value, **_fixed_items(fields))
    if isinstance(value, dict):
        return _fixed_items(value)
    return tuple(map(fixed, value)) if type(value) is tuple else value


def _fixed_items(items: Mapping[str, Any]) -> dict[str, Any]:
    return {name: FIXED.get(name) if name in FIXED else fixed(value) for name, value in items.items()}


class Recorder:
    """Makes each measurement of `RECORDED` once, by the real function, and then gives the same result again."""

    def __init__(self) -> None:
        self._results: dict[str, Any] = {}

    @contextmanager
    def recording(self, name: str | None) -> Iterator[None]:
        if name is None:
            yield
            return
        room, function = RECORDED[name]
        real: Callable[..., Any] = getattr(room, function)

        def once(*arguments: Any, **options: Any) -> Any:
            if name not in self._results:
                self._results[name] = fixed(real(*arguments, **options))
            return self._results[name]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room, function, once)
            yield


def rendered(case: Case, language: str, width: int | None, recorder: Recorder) -> str:
    """What the case prints, masked: the command, stdout, then stderr and the exit code where they say something."""
    out, err = Screen(terminal=width is not None), Screen(terminal=False)
    with pytest.MonkeyPatch.context() as patch, recorder.recording(case.record), _same_torch():
        for variable in [each for each in os.environ if each.startswith("CONVATLAS_")]:
            patch.delenv(variable)
        patch.delenv("OMP_NUM_THREADS", raising=False)
        for variable, value in {
            "CONVATLAS_LANG": language,
            "LANGUAGE": language,
            "COLUMNS": str(width or 80),
            "LINES": "50",
            "TERM": "xterm-256color",
        }.items():
            patch.setenv(variable, value)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        _forget_help_options()
        with pytest.raises(SystemExit) as left:
            main(list(case.arguments))
    i18n.set_language(None)
    parts = [f"$ convatlas {' '.join(case.arguments)}\n", case.mask(without_trailing_blanks(out.text()))]
    if case.stderr and err.text():
        parts += ["-- stderr --\n", case.mask(without_trailing_blanks(err.text()))]
    if left.value.code:
        parts.append(f"-- exit code {left.value.code} --\n")
    return "".join(part if part.endswith("\n") or not part else part + "\n" for part in parts)


def _forget_help_options() -> None:
    """Let click make the help options again: it keeps those of a command's first call, which may lack its group."""
    for name in COMMANDS:
        module = sys.modules.get(f"convatlas.cli.{name.replace('-', '_')}")
        if module is not None:
            module.command._help_option = None


def without_trailing_blanks(text: str) -> str:
    """Tables are padded with blanks to their width; nobody sees them, and editors remove them from files."""
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


@contextmanager
def _same_torch() -> Iterator[None]:
    """Threads and random state as before: one case does not change what the next one computes."""
    import torch

    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.manual_seed(0)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)


def files(case: Case, texts: Mapping[tuple[str, int | None], str]) -> dict[str, str]:
    """File name -> text: NAME.LANG.WIDTH.txt, without the width or the language where it makes no difference."""
    if len(set(texts.values())) == 1:
        return {f"{case.name}.txt": next(iter(texts.values()))}
    found: dict[str, str] = {}
    for language in case.languages:
        of_language = {width: text for (spoken, width), text in texts.items() if spoken == language}
        if len(set(of_language.values())) == 1:
            found[f"{case.name}.{language}.txt"] = next(iter(of_language.values()))
        else:
            found |= {f"{case.name}.{language}.{width}.txt": text for width, text in of_language.items()}
    return found


def expected_of(case: Case, folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in folder.glob(f"{case.name}.*")}
