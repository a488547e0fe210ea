"""Every command and option that a message or a help names exists on the command that prints it.

Which commands can print a message follows from the file that it is in: a file of the command line belongs to its
command, and `PRINTED_BY` names the commands that lead to the other files. A message may also name the command itself,
as in ``convatlas train --resume RUN``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from convatlas.cli._app import COMMANDS, imported
from convatlas.cli._help import help_messages
from convatlas.cli._messages import PACKAGE, error_names, literals
from convatlas.recipes.recipe import SETTINGS
from convatlas.runs.options import OPTIONS

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
COMMAND = re.compile(r"convatlas ([a-z]+)(?: ([a-z]+))?")
OF_TORCHRUN = {"--nproc-per-node", "--rdzv-id"}

READS_DATA = ("train", "compare", "evaluate", "data")
LOADS = ("evaluate", "predict")  # a network with weights
# file or folder, the longest that fits -> the commands that print its messages
PRINTED_BY: dict[str, tuple[str, ...]] = {
    "arithmetic/": ("layer",),
    "arithmetic/memory.py": ("show",),
    "arithmetic/comparisons.py": ("explain",),
    "cli/_app.py": (),
    "cli/_by_value.py": ("layer",),
    "cli/_common.py": READS_DATA,
    "cli/_loaded_network.py": LOADS,
    "cli/_help.py": (),
    "comparison/": ("compare",),
    "comparison/of_runs.py": ("train",),  # its advice is about trainings
    "comparison/speed.py": ("bench",),
    "runs/pretrained.py": ("export",),
    "data/": READS_DATA,
    "data/augment.py": ("train",),
    "data/hub.py": (),
    "errors.py": READS_DATA,
    "evaluation/": ("evaluate",),
    "http/": ("serve",),
    "models/": LOADS,
    "recipes/": ("train",),
    "recipes/recipe.py": ("train",),
    "recipes/registry.py": ("train",),
    "runs/": ("train", "compare"),
    "runs/directory.py": ("train",),
    "runs/evaluate.py": ("evaluate",),
    "runs/header.py": ("train",),
    "runs/loaded_network.py": LOADS,
    "runs/mistakes.py": ("evaluate",),
    "runs/options.py": ("train",),
    "runs/places.py": ("runs",),
    "runs/predict.py": ("predict",),
    "runs/resumption.py": ("train",),
    "runs/configuration.py": ("train",),
    "runs/summarize.py": ("show", "explain"),
    "serve/": ("serve",),
    "runs/lr_range.py": ("train",),
    "training/": ("train", "compare"),
}
# a part of a message -> why an option in it need not be on every command that PRINTED_BY names
EXCEPTIONS: dict[str, str] = {
    "train and compare see the whole image with --fit": "it names the commands that have the option",
    "(for the recipe of a network's paper pass --model)": "data --recipe prints it; train knows its network",
    "or fewer parts with --accumulate": "compare has one process, and no recipe has parts",
    "or pass --compile off": "only --compile on raises it; compare leaves compile at auto",
}


def command_of(name: str) -> click.Command:
    return imported(name)


def options_of(command: click.Command) -> set[str]:
    """The options of a command and of the commands below it."""
    found = {"--help"}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            found |= {*parameter.opts, *parameter.secondary_opts}
    for below in getattr(command, "commands", {}).values():
        found |= options_of(below)
    return found


ON = {name: options_of(command_of(name)) for name in COMMANDS}
EVERYWHERE = set.intersection(*ON.values())


def advice(text: str) -> Iterator[tuple[str | None, str]]:
    """(command or None, option) for each option in a text; None where the text names no command before it."""
    for sentence in re.split(r"(?<=[.;:,])\s(?=[A-Z])|(?<=\s\s)(?=names|trains|lists|proposes)", text):
        commands = list(COMMAND.finditer(sentence))
        for option in OPTION.finditer(sentence):
            before = [
                found[1]
                for found in commands
                if found.start() < option.start() and ")" not in sentence[found.end() : option.start()]
            ]
            yield (before[-1] if before else None), option[0]


def printed_by(file: str) -> tuple[str, ...]:
    name = re.fullmatch(r"cli/([a-z]+)\.py", file)
    if name and name[1] in COMMANDS:
        return (name[1],)
    fitting = [prefix for prefix in PRINTED_BY if file.startswith(prefix)]
    return PRINTED_BY[max(fitting, key=len)] if fitting else ()


def messages() -> list[tuple[str, str]]:
    """(file, text) for each message of the program."""
    told = {"_", "Message", "__init__"} | error_names()
    return [
        (file.relative_to(PACKAGE).as_posix(), text)
        for file in sorted(PACKAGE.rglob("*.py"))
        for text in literals(file, told)
    ]


def wrong_advice(file: str, text: str) -> list[str]:
    found = []
    for command, option in advice(text):
        commands = (command,) if command in COMMANDS else printed_by(file)
        if option in OF_TORCHRUN:
            continue
        missing = [name for name in commands if option not in ON[name]]
        if not commands and not any(option in options for options in ON.values()):
            missing = ["any command"]
        if missing and not any(part in text for part in EXCEPTIONS):
            found.append(f"{file}: {option} is not an option of {', '.join(missing)}: {text}")
    return found


def test_every_option_named_by_a_message_is_one_of_the_command_that_prints_it():
    assert [each for file, text in messages() for each in wrong_advice(file, text)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_named_by_a_help_is_one_of_its_command(name):
    texts = list(help_messages(command_of(name)))
    if name == "train":
        texts += [each.help for each in (*SETTINGS.values(), *OPTIONS.values())]
    wrong = [
        f"{option}: {text}"
        for text in texts
        for command, option in advice(text)
        if option not in ON[command if command in COMMANDS else name]
    ]
    assert wrong == []


def test_every_command_named_by_a_message_or_a_help_exists():
    texts = [text for _, text in messages()]
    texts += [text for name in COMMANDS for text in help_messages(command_of(name))]
    named = [(found, text) for text in texts for found in COMMAND.finditer(text)]
    assert len(named) > 20
    words = {"and", "command", "needs", "reads", "wrote", "is", "has", "version", "counts", "lists", "or", "cannot"}
    assert [text for found, text in named if found[1] not in COMMANDS and found[1] not in words] == []
    for found, text in named:
        below = getattr(command_of(found[1]), "commands", {}) if found[1] in COMMANDS else {}
        if below and found[2]:
            assert found[2] in below, text


def test_the_exceptions_and_the_files_are_still_there():
    texts = [text for _, text in messages()]
    assert all(any(part in text for text in texts) for part in EXCEPTIONS)
    assert [prefix for prefix in PRINTED_BY if not (PACKAGE / prefix).exists()] == []


def test_the_check_can_fail():
    assert wrong_advice("data/split.py", "Pass --no-such-option.")
    assert wrong_advice("cli/predict.py", "Pass --rare keep-in-training.")
    assert wrong_advice("cli/predict.py", "Start anew:  convatlas train mlp --no-such-option") != []
    assert wrong_advice("cli/predict.py", "Start anew:  convatlas train mlp --rare leave-out") == []
