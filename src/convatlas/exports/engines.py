"""The engines that run an exported file: uint8 images in, logits and probabilities out.

    engine        file            package
    onnxruntime   .onnx           onnxruntime
    openvino      .onnx, .xml     openvino
    torch         .pt2            torch

Each is imported when it is used. Threads are set explicitly: ONNX Runtime ignores ``OMP_NUM_THREADS`` and the limits of
a container. OpenVINO computes in bf16 by default on processors with AMX; here it computes in the precision of the file.
Neither sends anything: the telemetry of OpenVINO is not imported.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convatlas.errors import CheckpointError, MissingDependencyError, UsageError
from convatlas.exports.description import INPUT, LOGITS, METADATA_KEY, PROBABILITIES
from convatlas.message import Message

ENGINES = ("onnxruntime", "openvino", "torch")
OF_SUFFIX = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",), ".pt2": ("torch",)}

Arrays = Mapping[str, NDArray[Any]]


class Engine(Protocol):
    """A file, loaded into an engine."""

    name: str
    metadata: str | None  # the description inside the file

    def run(self, images: NDArray[np.uint8]) -> Arrays:
        """Compute the outputs of uint8 (N, H, W, C): ``logits``, ``probabilities`` and any further ones asked for."""


def load_engine(
    file: Path,
    engine: str | None = None,
    threads: int | None = None,
    hint: str = "f32",
    inner: Sequence[str] = (),
    content: bytes | None = None,
) -> Engine:
    """Load a file.

    Args:
        engine: a name of ``ENGINES``; by default the first that reads this kind of file.
        threads: by default the processors that this process may use.
        hint: the precision in which OpenVINO computes: "f32" or "bf16".
        inner: values inside an ONNX file to return as well.
        content: an ONNX model to load instead of the file's.

    Raises:
        CheckpointError: the file is no model, is damaged, or is of an opset that the engine does not know.
        MissingDependencyError: the engine is not installed.
        UsageError: the engine does not read this kind of file.
    """
    known = OF_SUFFIX.get(file.suffix)
    if known is None:
        raise CheckpointError(
            "{file} is not an exported model: expected a file that ends in {suffixes}.",
            file=file,
            suffixes=", ".join(OF_SUFFIX),
        )
    engine = engine or known[0]
    if engine not in known:
        raise UsageError(
            "{engine} does not read {file}. Engines for such files: {known}.",
            engine=engine,
            file=file,
            known=", ".join(known),
        )
    threads = threads or available_threads()
    if engine == "onnxruntime":
        return OnnxRuntime(file, threads, inner, content)
    if engine == "openvino":
        return OpenVino(file, threads, hint, inner, content)
    return TorchExport(file)


def available_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, file: Path, threads: int, inner: Sequence[str] = (), content: bytes | None = None) -> None:
        runtime = imported("onnxruntime", Message("running an ONNX file"))
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors
        model: str | bytes = content or (_with_outputs(file, inner) if inner else str(file))
        try:
            self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has one class of exception for each of its status codes
            raise _not_loaded(file, "ONNX Runtime", error) from error
        self.metadata: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self._outputs = [each.name for each in self._session.get_outputs()]

    def run(self, images: NDArray[np.uint8]) -> Arrays:
        return dict(zip(self._outputs, self._session.run(self._outputs, {INPUT: images}), strict=True))


class OpenVino:
    name = "openvino"

    def __init__(
        self, file: Path, threads: int, hint: str, inner: Sequence[str] = (), content: bytes | None = None
    ) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        try:
            source = content or (_with_outputs(file, inner) if inner and file.suffix == ".onnx" else file)
            model = core.read_model(source)
            self.metadata = _openvino_metadata(model)
            settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
            self._compiled = core.compile_model(model, "CPU", {**settings, "PERFORMANCE_HINT": "LATENCY"})
        except RuntimeError as error:
            raise _not_loaded(file, "OpenVINO", error) from error

    def run(self, images: NDArray[np.uint8]) -> Arrays:
        results = self._compiled({INPUT: images})
        return {output.any_name: np.array(values) for output, values in results.items()}


class TorchExport:
    name = "torch"

    def __init__(self, file: Path) -> None:
        self._torch = imported("torch", Message("running a .pt2 file"))
        extra = {f"{METADATA_KEY}.json": ""}
        try:
            program = self._torch.export.load(file, extra_files=extra)
            self._module = program.module()
        except Exception as error:  # a damaged archive raises many kinds of exceptions
            raise _not_loaded(file, "torch.export", error) from error
        self.metadata = extra[f"{METADATA_KEY}.json"] or None

    def run(self, images: NDArray[np.uint8]) -> Arrays:
        with self._torch.inference_mode():
            # copied only where it is read-only or not contiguous, which PyTorch does not take
            given = self._torch.from_numpy(np.require(images, requirements=("C", "W")))
            logits, probabilities = self._module(given)
        return {LOGITS: logits.numpy(), PROBABILITIES: probabilities.numpy()}


def imported(package: str, why: Message) -> Any:
    """Import an optional package.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingDependencyError(package, "export", why) from error


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which otherwise sends usage data unasked.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes importing it fail
    return imported("openvino", Message("running a file with OpenVINO"))


def _openvino_metadata(model: Any) -> str | None:
    for place in ([METADATA_KEY], ["framework", METADATA_KEY]):
        if model.has_rt_info(place):
            return str(model.get_rt_info(place).value)
    return None


def _with_outputs(file: Path, names: Sequence[str]) -> bytes:
    """The ONNX file with values inside it as further outputs, where it has them."""
    onnx = imported("onnx", Message("reading the values inside a file"))
    try:
        model = onnx.load(file)
    except Exception as error:
        raise _not_loaded(file, "onnx", error) from error
    have = {name for node in model.graph.node for name in node.output}
    outputs = {each.name for each in model.graph.output}
    for name in names:
        if name in have - outputs:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    content: bytes = model.SerializeToString()
    return content


def _not_loaded(file: Path, engine: str, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())
    if "opset" in reason.lower():
        return CheckpointError(
            "{file} is of an opset that this {engine} does not know: {reason}. Install a newer one, or export again "
            "with a lower --opset.",
            file=file,
            engine=engine,
            reason=reason[:300],
        )
    return CheckpointError(
        "{file} cannot be loaded by {engine}: {reason}. It is damaged or no model; copy it again, or export again:  "
        "convatlas export RUN",
        file=file,
        engine=engine,
        reason=reason[:300],
    )


def instruction_set() -> str:
    """What this processor multiplies 8-bit integers with: without VNNI, int8 saturates and is slower."""
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines()
    except OSError:
        return platform.machine()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    known = (("amx_int8", "AMX"), ("avx512_vnni", "AVX512-VNNI"), ("avx_vnni", "AVX-VNNI"), ("avx512f", "AVX512"),
             ("avx2", "AVX2"), ("asimddp", "NEON dot product"))  # fmt: skip
    return next((name for flag, name in known if flag in flags), platform.machine())
