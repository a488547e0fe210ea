"""Help in sections: the options of a command first, then the settings of a recipe by what they concern."""

from __future__ import annotations

import click

from convatlas.i18n import _


class GroupedCommand(click.Command):
    """A command whose many settings are listed under the groups that their declarations give them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from convatlas.recipes.recipe import SETTINGS
        from convatlas.runs.options import OPTIONS

        options = _("Options")
        sections: dict[str, list[tuple[str, str]]] = {options: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                name, heading = parameter.name or "", options
                if name in SETTINGS:
                    heading = _("Recipe, {group}", group=_(SETTINGS[name].group))
                elif name in OPTIONS:
                    heading = _("Run, {group}", group=_(OPTIONS[name].group))
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
