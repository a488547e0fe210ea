"""Export: a trained network as a file that other programs run, and a contract that is checked on real images.

The modules that read and run a file (`description`, `engines`, `exported`) need numpy, Pillow and the engine of the
file, not torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.exports.description import Description
    from convatlas.exports.exported import ExportedModel, open_exported
else:
    __getattr__ = resolver(__name__)

__all__ = ["Description", "ExportedModel", "open_exported"]
