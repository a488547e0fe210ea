"""Options as other tools spell them: what is suggested in place of an option that a command does not have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import click

from convatlas.errors import UsageError, near_names
from convatlas.i18n import _
from convatlas.message import Message, joined
from convatlas.settings import ALIASES as SETTING_ALIASES

# several commands may have another option for the same thing
OPTION_ALIASES = (
    ("dataset", "data"), ("data-dir", "data"), ("data-path", "data"), ("output", "out"), ("output-dir", "out"),
    ("project", "out"), ("pretrained", "weights"), ("checkpoint", "weights"), ("checkpoint", "start-from"),
    ("ckpt", "weights"), ("ckpt", "start-from"), ("topk", "top"), ("limit", "budget"), ("repeats", "seeds"),
)  # fmt: skip
NETWORK_OPTIONS = ("--model", "--arch", "--network", "--net", "--backbone")
CLASS_COUNT_OPTIONS = ("--num-classes", "--nb-classes", "--nc")
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)


def long_options(command: click.Command) -> list[str]:
    """The options of a command that its help shows."""
    return [name for parameter in command.params if isinstance(parameter, click.Option)
            for name in parameter.opts if name.startswith("--") and not parameter.hidden]  # fmt: skip


def aliases_of(command: click.Command) -> dict[str, str]:
    """Spellings of other tools, and the options of the command that they stand for."""
    options = long_options(command)
    aliases = {f"--{alias}".replace("_", "-"): f"--{name.replace('_', '-')}" for alias, name in SETTING_ALIASES.items()}
    aliases |= {f"--{alias}": f"--{name}" for alias, name in OPTION_ALIASES if f"--{name}" in options}
    return {alias: name for alias, name in aliases.items() if name in options}


def with_near_options(error: click.NoSuchOption) -> click.NoSuchOption:
    """The error, with what the command has in place of the option."""
    if error.ctx is None:
        return error
    command = error.ctx.command
    named = any(parameter.name in ("model", "names", "name", "subject", "network") for parameter in command.params)
    if named and error.option_name in NETWORK_OPTIONS:
        instead = _("The network is named without an option:  convatlas {command} NAME", command=command.name)
    elif error.option_name in CLASS_COUNT_OPTIONS and "--data" in long_options(command):
        instead = _("The data state the number of classes; leave the option out.")
    else:
        if near := near_names(error.option_name, long_options(command), aliases_of(command)):
            vars(error)["possibilities"] = near  # which its constructor would leave out where the spelling differs much
        return error
    vars(error)["possibilities"] = None
    vars(error)["message"] = f"{error.message} {instead}"
    return error


def refuse_assignments(command: click.Command, arguments: Sequence[str]) -> None:
    """Refuse settings that are written ``name=value``, and write them as this command takes them.

    Raises:
        UsageError: an argument that is no value of an option is such an assignment, of an option that the command has.
    """
    before = ("", *arguments)
    assigned = [
        found
        for previous, argument in zip(before, arguments, strict=False)
        if (found := _ASSIGNMENT.fullmatch(argument)) and not (previous.startswith("--") and "=" not in previous)
    ]
    written = [*_as_options(assigned, command)]
    if written:
        raise UsageError(
            "{first!r}: settings are options here, not name=value:  convatlas {command} {written}",
            first=assigned[0][0],
            command=command.name,
            written=joined(map(Message, written), " "),
        )


def _as_options(assigned: Iterable[re.Match[str]], command: click.Command) -> list[str]:
    """The network, then an option for each assignment whose name the command knows."""
    networks, options = [], []
    known = {**aliases_of(command), **{name: name for name in long_options(command)}}
    for each in assigned:
        spelling = "--" + each["name"].replace("_", "-")
        if spelling in NETWORK_OPTIONS:
            networks.append(each["value"])
        elif spelling in known:
            options.append(f"{known[spelling]} {each['value']}")
    return [*networks, *options] if options else []
