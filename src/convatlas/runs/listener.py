"""`RunListener`: what is called as a run goes on."""

from __future__ import annotations

from collections.abc import Mapping

from convatlas import training


class RunListener(training.TrainingListener):
    """Is called as a run goes on, from its start. The command line overrides the methods to show progress."""

    def on_start(self, header: Mapping[str, str], epochs: int, updates_per_epoch: int) -> None:
        """The first update comes next."""

    def on_note(self, text: str) -> None:
        """Something that the user should know, but that does not stop the run."""

    def on_images(self, done: int, total: int) -> None:
        """Images are being opened or decoded, before the start."""
