"""Compare parameters and multiply-adds with independent counts; writes results/arithmetic/peers.csv.

    python benchmarks/arithmetic_peers.py

For every network of the atlas and for more than sixty of torchvision and timm: parameters are compared with
``sum(p.numel())``, and multiply-adds with fvcore (its convolution, linear and matmul operators) and torch's
FlopCounterMode (half of its FLOPs). fvcore runs the network; convatlas traces the same network on the meta device.
Needs torchvision, timm and fvcore.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from convatlas.arithmetic import summarize
from convatlas.arithmetic.summary import Summary
from timing import timed

TORCHVISION = """
    alexnet vgg11 vgg13 vgg16 vgg19 vgg11_bn vgg16_bn resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d
    resnext101_32x8d wide_resnet50_2 densenet121 densenet161 densenet169 densenet201 squeezenet1_0 squeezenet1_1
    googlenet inception_v3 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet0_5 mnasnet1_0 shufflenet_v2_x0_5
    shufflenet_v2_x1_0 shufflenet_v2_x1_5 efficientnet_b0 efficientnet_b3 efficientnet_v2_s regnet_x_400mf
    regnet_y_400mf regnet_y_1_6gf convnext_tiny convnext_small
"""
TIMM = """
    resnet26 resnet50d resnetrs50 seresnet50 ecaresnet50d skresnet34 resnest50d res2net50_26w_4s resnetv2_50
    legacy_xception xception41 inception_v4 inception_resnet_v2 dpn68 dla34 hrnet_w18_small vovnet39a cspresnet50
    cspdarknet53 darknet53 repvgg_a2 mixnet_s ghostnet_100 tinynet_a efficientnet_b1 efficientnet_lite0
    mobilenetv3_large_100 mobilenetv4_conv_small fbnetc_100 rexnet_100 hardcorenas_a selecsls42b densenet121
    nfnet_f0 convnextv2_nano regnety_008 mobileone_s1 vit_tiny_patch16_224 mixer_s32_224 resmlp_12_224
"""
FVCORE_OPERATORS = ("conv", "linear", "addmm", "matmul", "mm", "bmm", "einsum")
Builder = Callable[[], nn.Module]


def networks() -> Iterator[tuple[str, str, tuple[int, int, int], Builder]]:
    """(source, name, input, builder) of every network."""
    import convatlas as ca
    from convatlas.models import entry

    for name in ca.list_models():
        yield "atlas", name, entry(name).input, lambda name=name: ca.create_model(name)
    torchvision, timm = imported_peers()
    for name in TORCHVISION.split():
        side = 299 if name == "inception_v3" else 224
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        yield "torchvision", name, (3, side, side), lambda n=name, e=extra: torchvision.models.get_model(n, **e)
    for name in TIMM.split():
        if name in timm.list_models():
            size = timm.models.get_pretrained_cfg(name).input_size
            yield "timm", name, tuple(size), lambda n=name: timm.create_model(n, pretrained=False)


def imported_peers():
    """torchvision and timm. A torchvision built for another torch needs two operators to be defined first."""
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm
    import torchvision

    return torchvision, timm


def fvcore_macs(net: nn.Module, shape: tuple[int, ...]) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(net, torch.zeros(1, *shape))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    by_operator = analysis.by_operator()
    return int(sum(by_operator[operator] for operator in FVCORE_OPERATORS))


def torch_macs(net: nn.Module, shape: tuple[int, ...]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.to("meta")(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops() // 2


def counted(count: Callable[[nn.Module, tuple[int, ...]], int], net: nn.Module, shape: tuple[int, ...]) -> int | None:
    """A peer's count, or None where the peer cannot run the network."""
    try:
        return count(net, shape)
    except Exception as error:
        print(f"  {count.__name__}: {type(error).__name__}: {str(error)[:120]}", file=sys.stderr)
        return None


def built(build: Builder, device: str) -> nn.Module:
    """The network on a device, or on the CPU if its builder reads values (torchvision's RegNet)."""
    try:
        with torch.device(device):
            return build()
    except NotImplementedError:
        return build()


def number(cell: str) -> int | None:
    return int(cell) if cell else None


def operator_macs(summary: Summary) -> int:
    """Multiply-adds that the operators run; differs from ``macs`` where a layer declares its own arithmetic."""
    return sum(row.operator_macs or 0 for row in summary.rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/arithmetic/peers.csv"))
    parser.add_argument(
        "--keep", action="store_true", help="reuse the peers' counts in --out for networks with the same parameters"
    )
    parser.add_argument("--only", default="", help="only networks whose name contains this")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    earlier_rows: dict[tuple[str, str], dict[str, str]] = {}
    if options.keep and options.out.exists():
        with options.out.open(newline="") as file:
            earlier_rows = {(row["source"], row["network"]): row for row in csv.DictReader(file)}
    rows, different = [], 0
    for source, name, shape, build in networks():
        if options.only not in name:
            continue
        params = sum(p.numel() for p in built(build, "meta").parameters())
        earlier = earlier_rows.get((source, name), {})
        reuse = bool(earlier) and earlier["params_torch"] == str(params)
        net = built(build, "meta" if reuse else "cpu").eval()
        summary, trace_s = timed(lambda net=net, shape=shape: summarize(net, shape))
        totals = summary.totals
        row = {
            "source": source,
            "network": name,
            "input": "x".join(map(str, shape)),
            "params": totals.params,
            "params_beside": sum(summary.unused_params.values()),
            "params_torch": params,
            "macs": totals.macs,
            "macs_of_operators": operator_macs(summary),
            "macs_fvcore": number(earlier["macs_fvcore"]) if reuse else counted(fvcore_macs, net, shape),
            "macs_torch": number(earlier["macs_torch"]) if reuse else counted(torch_macs, net, shape),
            "unknown_operators": len(summary.unknown),
            "receptive_field": "" if summary.rows[-1].receptive_field is None else summary.rows[-1].receptive_field[0],
            "trace_s": f"{trace_s:.3f}",
        }
        equal = row["params"] + row["params_beside"] == params
        peer_macs = {row["macs_fvcore"], row["macs_torch"]} - {None}
        equal = equal and peer_macs == {row["macs_of_operators"]}
        row["equal"] = equal
        different += not equal
        rows.append(row)
        print(f"{source:12} {name:28} {'equal' if equal else 'DIFFERENT'}  {row}", file=sys.stderr)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} networks, {different} different -> {options.out}")


if __name__ == "__main__":
    main()
