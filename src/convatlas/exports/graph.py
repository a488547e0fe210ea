"""`GraphBuilder`: ONNX nodes written as calls, for the parts of a file that do not come from the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class GraphBuilder:
    """Collects nodes and constants. Their names begin with ``prefix`` and are numbered, so they are always the same."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.nodes, self.constants = (
            prefix,
            list[onnx.NodeProto](),
            dict[tuple[str, str], onnx.TensorProto](),
        )

    def op(self, kind: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: Any) -> Any:
        """Add a node; return the name of its output, or a list of names for several ``outputs``."""
        label = f"{self.prefix}/{len(self.nodes)}_{kind}"
        names = [name or label] if outputs == 1 else [f"{label}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=label, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, kind: Any = np.float64) -> str:
        """The name of a constant of this type; equal constants are stored once."""
        array = np.asarray(value, dtype=kind)
        key = (f"{array.dtype}{array.shape}", array.tobytes().hex())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"{self.prefix}/constant_{len(self.constants)}")
        return self.constants[key].name

    def cast(self, value: str, to: int) -> str:
        name: str = self.op("Cast", value, to=to)
        return name

    @property
    def initializers(self) -> list[onnx.TensorProto]:
        return list(self.constants.values())
