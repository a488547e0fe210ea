"""The Python reference: every public name with its signature, and its docstring's shapes, units, errors and source."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from docs.builder.page import Page, table

# the packages with public names, in the order of the reference
PACKAGES = (
    "convatlas", "convatlas.models", "convatlas.arithmetic", "convatlas.data", "convatlas.evaluation",
    "convatlas.inspection", "convatlas.exports", "convatlas.comparison", "convatlas.experiments", "convatlas.training",
    "convatlas.baselines", "convatlas.visualization",
)  # fmt: skip
# the headings of a docstring's sections -> their titles
SECTIONS = {
    "Args": ("Parameters", "매개변수"),
    "Attributes": ("Attributes", "속성"),
    "Returns": ("Returns", "반환값"),
    "Yields": ("Yields", "차례로 내놓는 값"),
    "Raises": ("Raises", "오류"),
    "Source": ("Source", "출처"),
    "Example": ("Example", "예"),
    "Examples": ("Examples", "예"),
    "Note": ("Note", "참고"),
}
WORDS = {
    "en": ("Python reference", "Made from the docstrings. `import convatlas as ca` imports no torch; torch is imported with "
           "the first name that needs it.", "Errors", "Every error of the library is one of these. A program that catches "
           "`ConvAtlasError` catches them all. Each has the exit code of the command line.", "name", "meaning", "exit code"),
    "ko": ("파이썬 레퍼런스", "docstring에서 만든 쪽이며, 설명은 영어 원문 그대로입니다. `import convatlas as ca`는 torch를 불러오지 않고, "
           "torch가 필요한 이름을 처음 쓸 때 불러옵니다.", "오류", "라이브러리의 오류는 모두 이 가운데 하나이고, `ConvAtlasError`를 잡으면 모두 "
           "잡습니다. 명령의 종료 코드가 함께 적혀 있습니다.", "이름", "뜻", "종료 코드"),
}  # fmt: skip
HEADING = re.compile(rf"^({'|'.join(SECTIONS)}):(?: (.*))?$")
ITEM = re.compile(r"^([*\w.,` |]+?)(?: \(([^)]*)\))?: +(.*)$")


def pages(language: str) -> Iterator[Page]:
    """A page per package, the errors, and the list of them."""
    title, intro, *_ = WORDS[language]
    lines = [f"# {title}", "", intro, ""]
    made = []
    for package in PACKAGES:
        page = package_page(package, language)
        made.append(page)
        summary = (importlib.import_module(package).__doc__ or "").partition("\n")[0]
        lines += [f"## [{package}]({page.path.rpartition('/')[2]})", "", summary, ""]
        lines += [", ".join(f"[`{name}`]({package}.md#{anchor(name)})" for name in public(package)), ""]
    errors = errors_page(language)
    lines += [f"## [{errors.title}](errors.md)", ""]
    yield Page("reference/python/index.md", "\n".join(lines), "reference", title)
    yield from made
    yield errors


def public(package: str) -> list[str]:
    return [name for name in importlib.import_module(package).__all__ if not name.startswith("__")]


def anchor(name: str) -> str:
    return name.lower()


def package_page(package: str, language: str) -> Page:
    module = importlib.import_module(package)
    lines = [f"# {package}", "", *prose(inspect.getdoc(module) or ""), ""]
    for name in public(package):
        lines += member(name, getattr(module, name), language)
    return Page(f"reference/python/{package}.md", "\n".join(lines), "reference", WORDS[language][0])


def member(name: str, value: Any, language: str) -> list[str]:
    """A function, a class with its methods, or a constant."""
    lines = [f"## `{name}` {{: #{anchor(name)} }}", ""]
    if inspect.isclass(value):
        lines += ["```python", f"class {signature(name, value)}", "```", "", *docstring(value, language)]
        for each, method in own_methods(value):
            lines += [f"### `{name}.{each}` {{: #{anchor(name)}-{each.lower()} }}", ""]
            if not isinstance(method, property):
                lines += ["```python", signature(each, method), "```", ""]
            lines += docstring(method, language)
    elif callable(value):
        lines += ["```python", signature(name, value), "```", "", *docstring(value, language)]
    else:
        kept = ", ".join(map(str, value)) if isinstance(value, tuple | list | dict | set | frozenset) else repr(value)
        lines += ["```text", kept, "```", ""]
    return lines


def own_methods(value: type) -> list[tuple[str, Any]]:
    """The public methods and properties that a class defines itself and documents."""
    found = []
    for name, method in vars(value).items():
        method = method.__func__ if isinstance(method, classmethod | staticmethod) else method
        if not name.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)) and method.__doc__:
            found.append((name, method))
    return found


def signature(name: str, value: Any) -> str:
    """``train(model: str | Module, ...)``, a parameter a line where it is long."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    parts = [re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", _parameter(each)) for each in _with_marks(found)]
    result = "" if found.return_annotation is inspect.Signature.empty else f" -> {_annotation(found.return_annotation)}"
    if inspect.isclass(value):
        result = ""
    line = f"{name}({', '.join(parts)}){result}"
    if len(line) <= 88:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"


def _with_marks(found: inspect.Signature) -> Iterator[inspect.Parameter | str]:
    starred = False
    for each in found.parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and not starred:
            yield "*"
        starred = starred or each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        yield each


def _parameter(each: inspect.Parameter | str) -> str:
    if isinstance(each, str):
        return each
    mark = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
    annotation = "" if each.annotation is each.empty else f": {_annotation(each.annotation)}"
    if each.default is each.empty:
        return f"{mark}{each.name}{annotation}"
    default = "..." if _is_long(each.default) else repr(each.default)
    return f"{mark}{each.name}{annotation} = {default}"


def _is_long(value: object) -> bool:
    return dataclasses.is_dataclass(value) or "<" in repr(value) or len(repr(value)) > 40


def _annotation(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", str(value))


def docstring(value: Any, language: str) -> list[str]:
    """A docstring as Markdown: its text, then its sections as lists."""
    text = inspect.getdoc(value) or ""
    if inspect.isclass(value) and text.startswith(f"{value.__name__}("):  # what dataclasses write
        text = ""
    lines: list[str] = []
    section, body = "", []
    for line in [*text.splitlines(), "End:"]:
        found = HEADING.match(line)
        if found or line == "End:":
            lines += prose("\n".join(body)) if not section else items(section, body, language)
            section, body = (found[1] if found else ""), ([found[2]] if found and found[2] else [])
        else:
            body.append(line)
    return [*lines, ""]


def items(section: str, body: list[str], language: str) -> list[str]:
    """One section: a list of names with their meaning, or a text."""
    title = SECTIONS[section][language == "ko"]
    text = inspect.cleandoc("\n" + "\n".join(body))
    entries: list[str] = []
    for line in text.splitlines():
        found = None if line.startswith(" ") else ITEM.match(line)
        if found and section in ("Args", "Attributes", "Raises"):
            entries.append(f"- **{found[1].strip('`')}**: {found[3]}")
        elif entries:
            entries[-1] += " " + line.strip()
        elif line.strip():
            entries.append(line.strip())
    if section in ("Args", "Attributes", "Raises") and entries and entries[0].startswith("- "):
        return [f"**{title}**", "", *entries, ""]
    return [f"**{title}**: " + " ".join(text.split()), ""]


def prose(text: str) -> list[str]:
    """Paragraphs; an indented block is shown as it stands, as a table of a docstring is."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        rows = paragraph.splitlines()
        laid_out = [row.startswith("    ") or bool(re.search(r"\S {3,}\S", row)) for row in rows]
        if any(laid_out):
            first = laid_out.index(True)
            if rows[:first]:
                lines += [" ".join(" ".join(rows[:first]).split()), ""]
            lines += ["```text", *inspect.cleandoc("\n" + "\n".join(rows[first:])).splitlines(), "```", ""]
        elif rows:
            # lists keep their lines
            lines += [*(rows if any(row.startswith(("- ", "* ")) for row in rows) else [" ".join(rows)]), ""]
    return lines


def errors_page(language: str) -> Page:
    *_, title, intro, name, meaning, code = WORDS[language]
    module = importlib.import_module("convatlas.errors")
    rows = [
        [f"`{each.__name__}`", " ".join((inspect.getdoc(each) or "").split("\n\n")[0].split()), str(each.exit_code)]
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, module.ConvAtlasError)
    ]
    text = f"# {title}\n\n{intro}\n\n" + table([name, meaning, code], rows, numbers=(2,)) + "\n"
    return Page("reference/python/errors.md", text, "reference", WORDS[language][0])
