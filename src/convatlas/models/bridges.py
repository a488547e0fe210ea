"""Networks of timm and torchvision, named as ``timm:NAME`` and ``tv:NAME``; both libraries are imported on use.

    timm:resnet18            the architecture, with random weights
    tv:resnet18              the same of torchvision
    timm:resnet18.a1_in1k    timm's own notation for an architecture and weights of it

Names are looked up in the list of the library, so none can lead to a file or a server. Weights are fetched by the
library, and only where the caller allows downloads: ``create_model("tv:resnet18", weights="IMAGENET1K_V1",
download=True)``. ``weights="pretrained"`` are those that the library calls its default.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from convatlas.errors import CheckpointError, ConvAtlasError, MissingDependencyError, UnknownNameError, UsageError
from convatlas.message import Message
from convatlas.models.loaded import Loaded, Preparation

if TYPE_CHECKING:
    from torch import nn

PACKAGES = {"timm": "timm", "tv": "torchvision"}
DEFAULT = "pretrained"
TV_CALL = {"googlenet": {"init_weights": True, "aux_logits": False}}
TV_CALL["inception_v3"] = TV_CALL["googlenet"]


class BrokenPackageError(MissingDependencyError):
    """A package is installed and cannot be imported, usually because it was made for another version of torch."""

    def __init__(self, package: str, reason: str) -> None:
        torch, _, build = _version("torch").partition("+")
        wanted = matching_torchvision(torch)
        ConvAtlasError.__init__(
            self,
            "{package} is installed and cannot be imported beside torch {torch}: {reason}. The torchvision made for it "
            "is {wanted}. Install it from the package index that this torch came from, or both again from one index:  "
            "pip install --force-reinstall torch torchvision",
            package=package,
            torch=_version("torch"),
            reason=reason,
            wanted=Message("{version}, the build +{build}", version=wanted, build=build) if build else wanted,
        )


@dataclass(frozen=True)
class BridgedName:
    """The parts of ``timm:NAME`` or ``tv:NAME``.

    Attributes:
        library: "timm" or "tv".
        callable: the name in that library.
    """

    library: str
    callable: str

    @property
    def full_name(self) -> str:
        return f"{self.library}:{self.callable}"

    @property
    def package(self) -> str:
        """The package on PyPI, with its version."""
        name = PACKAGES[self.library]
        return f"{name} {_version(name)}"


def is_bridged(name: object) -> bool:
    """Whether a name has the form ``timm:NAME`` or ``tv:NAME``."""
    return isinstance(name, str) and name.partition(":")[0] in PACKAGES and ":" in name


def parse(name: str) -> BridgedName:
    """Parse a name of the form ``timm:NAME`` or ``tv:NAME``, and look it up.

    Raises:
        UnknownNameError: the library has no such classifier; the message lists similar names.
        MissingDependencyError: the library is not installed, or cannot be imported.
    """
    library, _, rest = name.partition(":")
    known = names(library)
    if rest not in known:
        raise UnknownNameError(
            "network of {package}", rest, known, Message("Write it as {library}:NAME.", library=library),
            package=PACKAGES[library],
        )  # fmt: skip
    return BridgedName(library, rest)


@functools.lru_cache(maxsize=2)
def names(library: str) -> tuple[str, ...]:
    """The classifiers of a library; of timm with and without the names of their weights."""
    package = imported(library)
    if library == "tv":
        return tuple(package.models.list_models(module=package.models))
    return tuple(dict.fromkeys((*package.list_models(), *package.list_models(pretrained=True))))


def imported(library: str) -> Any:
    """The package of a library.

    Raises:
        MissingDependencyError: it is not installed, or cannot be imported.
    """
    package = PACKAGES[library]
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(package, package, f"{library}:NAME")
    try:
        return importlib.import_module(package)
    except Exception as error:  # a torchvision of another build raises RuntimeError, AttributeError or OSError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BrokenPackageError(package, reason) from error


def matching_torchvision(torch: str) -> str:
    """The minor version of torchvision that is made for a version of torch: 0.28 for 2.13.

    Source: the table of torchvision's README: torch 2.N goes with torchvision 0.(N + 15).
    """
    return f"0.{int(torch.split('.')[1]) + 15}"


def usual_input(name: str) -> tuple[int, int, int]:
    """(C, H, W) of the images that the library's weights of a network were trained with; 3 x 224 x 224 if none are."""
    bridged = parse(name)
    if bridged.library == "timm":
        channels, height, width = imported("timm").get_pretrained_cfg(bridged.callable).input_size
        return int(channels), int(height), int(width)
    return 3, (299 if bridged.callable == "inception_v3" else 224), (299 if bridged.callable == "inception_v3" else 224)


def build(
    name: str,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    weights: str | None = None,
    download: bool = False,
) -> nn.Module:
    """Build a network of timm or torchvision.

    Args:
        num_classes: outputs K; 1000 where None. With weights, a new head is drawn if K differs from theirs.
        in_channels: channels C; 3 where None. torchvision's networks get a new first convolution where it is not 3.
        image_size: side of the images; only networks whose layers depend on it use it.
        weights: "pretrained", or a name of the library's: IMAGENET1K_V2 of torchvision; of timm the tag after the dot.
            Their preprocessing is stored in ``net.loaded``; ``net.trained_on_imagenet`` says whether
            their classes are the 1000 of ImageNet.
        download: whether the library may fetch them.

    Raises:
        UnknownNameError: no such network, or no such weights.
        UsageError: weights, and downloads are not allowed; or arguments that the network does not take.
        MissingDependencyError: the library is not installed, or cannot be imported.
    """
    bridged = parse(name)
    if weights is not None and not download:
        raise UsageError(
            "the weights {weights} of {name} are fetched by {package}: pass --download (download=True in Python).",
            weights=weights,
            name=name,
            package=PACKAGES[bridged.library],
        )
    maker = _timm if bridged.library == "timm" else _torchvision
    try:
        net = maker(bridged, num_classes or 1000, in_channels or 3, image_size, weights)
    except ConvAtlasError:
        raise
    except (TypeError, ValueError, AssertionError) as error:
        raise UsageError("{name} could not be built: {error}.", name=name, error=error) from error
    except (OSError, RuntimeError) as error:
        if weights is None:
            raise UsageError("{name} could not be built: {error}.", name=name, error=error) from error
        raise CheckpointError(
            "the weights {weights} of {name} could not be fetched or loaded: {error}.",
            weights=weights,
            name=name,
            error=str(error).splitlines()[0],
        ) from error
    net.network, net.num_classes = name, num_classes or 1000  # type: ignore[assignment]
    return net


def _timm(bridged: BridgedName, classes: int, channels: int, side: int | None, weights: str | None) -> nn.Module:
    timm = imported("timm")
    name = bridged.callable
    if weights not in (None, DEFAULT):
        base = name.partition(".")[0]
        tagged = f"{base}.{weights}"
        if tagged not in names("timm"):
            tags = [each.partition(".")[2] for each in names("timm") if each.startswith(f"{base}.")]
            raise UnknownNameError("weights of {network}", str(weights), tags, network=base)
        name = tagged
    config = timm.get_pretrained_cfg(name)
    sized = {"img_size": side} if side is not None and getattr(config, "fixed_input_size", False) else {}
    net: nn.Module = timm.create_model(
        name, pretrained=weights is not None, num_classes=classes, in_chans=channels, **sized
    )
    if weights is not None:
        data = timm.data.resolve_model_data_config(net)
        side = data["input_size"][1]
        shape = Preparation(
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            resize=side if data["crop_mode"] == "squash" else int(side / data["crop_pct"]),
            crop=side,
            interpolation="bicubic" if data["interpolation"] == "bicubic" else "bilinear",
            squash=data["crop_mode"] == "squash",
        )
        _note(net, f"timm:{name}", "timm", shape, timm.data.infer_imagenet_subset(net) == "imagenet-1k")
    return net


def _torchvision(bridged: BridgedName, classes: int, channels: int, side: int | None, weights: str | None) -> nn.Module:
    models = imported("tv").models
    name = bridged.callable
    call: dict[str, Any] = dict(TV_CALL.get(name, {}))
    if name.startswith("vit_") and side is not None:
        call["image_size"] = side
    chosen: Any = None
    if weights is not None:
        known = models.get_model_weights(name)
        if weights != DEFAULT and weights not in known.__members__:
            raise UnknownNameError("weights of {network}", weights, list(known.__members__), network=name)
        chosen = known.DEFAULT if weights == DEFAULT else known[weights]
        call.pop("init_weights", None)
    net: nn.Module = models.get_model(name, weights=chosen, **call, **({} if chosen else {"num_classes": classes}))
    if chosen is not None:
        transform = chosen.transforms()
        if classes != len(chosen.meta["categories"]):
            _new_layer(net, last=True, change=lambda layer: _linear(layer, classes))
        preparation = Preparation(
            mean=tuple(transform.mean),
            std=tuple(transform.std),
            resize=transform.resize_size[0],
            crop=transform.crop_size[0],
            interpolation=transform.interpolation.value if transform.interpolation.value == "bicubic" else "bilinear",
        )
        _note(net, f"torchvision:{chosen.name}", "torchvision", preparation, len(chosen.meta["categories"]) == 1000)
    if channels != 3:
        _new_layer(net, last=False, change=lambda layer: _convolution(layer, channels))
    return net


def _note(net: nn.Module, weights: str, source: str, preparation: Preparation, is_imagenet: bool) -> None:
    net.loaded = Loaded(  # type: ignore[assignment]
        weights=weights,
        source=source,
        tensors=len(net.state_dict()),
        kept=(),
        ignored=(),
        preparation=preparation,
        preparation_from=Message("as {source} states it", source=source),
        labels=None,
    )
    net.trained_on_imagenet = is_imagenet  # type: ignore[assignment]


def _new_layer(net: nn.Module, last: bool, change: Callable[[Any], nn.Module]) -> None:
    """Replace the last fully connected layer or convolution, or the first convolution."""
    from torch import nn

    kinds = (nn.Linear, nn.Conv2d) if last else (nn.Conv2d,)
    found = [name for name, module in net.named_modules() if isinstance(module, kinds)]
    name = found[-1 if last else 0]
    owner, _, attribute = name.rpartition(".")
    parent = net.get_submodule(owner) if owner else net
    layer = change(getattr(parent, attribute))
    if attribute.isdecimal() and isinstance(parent, nn.Sequential):
        parent[int(attribute)] = layer
    else:
        setattr(parent, attribute, layer)


def _linear(layer: Any, outputs: int) -> nn.Module:
    from torch import nn

    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, outputs, bias=layer.bias is not None)
    return _like(layer, layer.in_channels, outputs)


def _convolution(layer: Any, channels: int) -> nn.Module:
    return _like(layer, channels, layer.out_channels)


def _like(layer: Any, in_channels: int, out_channels: int) -> nn.Module:
    from torch import nn

    return nn.Conv2d(
        in_channels,
        out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"
