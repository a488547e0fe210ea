"""The command reference: every command with its description, its options and its examples, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click
from docs.builder.page import Page, table

from convatlas.cli._app import COMMANDS, app
from convatlas.cli._help import Context, flat, paragraphs, speak, told_help
from convatlas.i18n import _

WORDS = {
    "en": ("Commands", "Made from the commands; `convatlas COMMAND --help` prints the same. The result goes to stdout, "
           "progress to stderr. Exit codes: 0 done, 1 failed while running, 2 wrong usage, 3 bad or missing data, 4 a missing "
           "optional package, 5 a stated limit not met, 130 interrupted and 143 terminated, both with a checkpoint written.",
           "Arguments and options", "option", "meaning", "Examples", "command"),
    "ko": ("명령", "명령에서 만든 쪽이며 `convatlas 명령 --help`가 같은 내용을 출력합니다. 결과는 stdout에, 진행 상황은 stderr에 출력합니다. 종료 "
           "코드는 0 완료, 1 실행 중 실패, 2 잘못된 사용, 3 데이터 문제, 4 선택 패키지 없음, 5 제한 조건 미달, 130 중단, 143 종료(둘 다 체크포인트 "
           "저장)입니다.", "인자와 옵션", "옵션", "뜻", "예", "명령"),
}  # fmt: skip
ALIKE = ("--help",)  # of every command


def pages(language: str) -> Iterator[Page]:
    """The list, then a page per command, in the language in use."""
    speak(["--lang", language])  # click's own words, such as "default"
    title, intro, *_rest, command_word = WORDS[language]
    group = Context(app, info_name="convatlas")
    rows = [[f"[`{name}`]({name}.md)", _(text)] for name, text in COMMANDS.items()]
    text = f"# {title}\n\n{intro}\n\n" + table([command_word, WORDS[language][4]], rows) + "\n"
    yield Page("reference/commands/index.md", text, "reference", title)
    for name in COMMANDS:
        command = app.get_command(group, name)
        assert command is not None
        lines = [f"# convatlas {name}", "", *described(command, name, group, language)]
        yield Page(f"reference/commands/{name}.md", "\n".join(lines), "reference", title)


def described(command: click.Command, name: str, above: click.Context, language: str) -> list[str]:
    """Usage, description, options and examples; then the commands below it."""
    options, option, meaning, examples = WORDS[language][2:6]
    context = Context(command, info_name=name, parent=above)
    lines = ["```text", f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}", "```", ""]
    shown = []
    for paragraph in paragraphs(command.help or ""):
        if paragraph.startswith("\b"):
            shown += paragraph.splitlines()[1:]
        else:
            lines += [escaped(_(flat(paragraph))), ""]
    if shown:
        lines += [f"**{examples}**", "", "```text", *(line.strip() for line in shown), "```", ""]
    rows = [
        [f"`{term}`", escaped(" ".join(told_help(text).split()))]
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None
        for term, text in [record]
        if text and not term.endswith(ALIKE)
    ]
    if rows:
        lines += [f"**{options}**", "", table([option, meaning], rows), ""]
    for below, each in getattr(command, "commands", {}).items():
        lines += [f"## {context.command_path} {below}", "", *described(each, below, context, language)]
    return lines


def escaped(text: str) -> str:
    """A help text for Markdown, in which it has no marks."""
    for sign in "\\`*_<[":
        text = text.replace(sign, "&lt;" if sign == "<" else f"\\{sign}")
    return text
