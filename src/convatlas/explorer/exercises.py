"""The playground's exercises and presets: the lecture's questions about layers, each with its answer and its working.

``exercises(seed)`` draws the sizes of the first questions from the seed; the last ones are those of the papers. Every
answer is one whole number.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convatlas import units
from convatlas.arithmetic.comparisons import reduction, stacks
from convatlas.arithmetic.layer import Step, convolution, field_step, fully_connected, jump_step, pooling
from convatlas.arithmetic.records import times
from convatlas.explorer.playground import translated_step
from convatlas.i18n import translated
from convatlas.message import Message


@dataclass(frozen=True)
class Exercise:
    """A question whose answer is a whole number, with the working that leads to it."""

    id: str
    title: Message
    question: Message
    answer: int
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": translated(self.title),
            "question": translated(self.question),
            "answer": self.answer,
            "steps": [translated_step(step) for step in self.steps],
        }


def exercises(seed: int) -> dict[str, Any]:
    """The document of all exercises; equal seeds give equal sizes."""
    # reproducible sizes for teaching, not a secret
    draw = random.Random(seed)
    drawn = (_size_of_output, _params, _macs, _pooled, _after_flattening, _field)
    found = [each(draw) for each in drawn] + [*_alexnet(), *_lenet(), *_reduction(), *_stacks()]
    return {"schema": 1, "seed": seed, "exercises": [each.to_dict() for each in found]}


# ------------------------------------------------------------------ drawn sizes


def _conv(draw: random.Random) -> tuple[Message, dict[str, Any]]:
    """A random convolution in words, and its arguments; its stride may leave pixels out."""
    kernel = draw.choice((1, 3, 3, 5, 5, 7))
    arguments: dict[str, Any] = {
        "input": (draw.choice((1, 3, 16, 32, 64)),) + (draw.randint(14, 64),) * 2,
        "out_channels": draw.choice((6, 8, 16, 32, 64)),
        "kernel": kernel,
        "stride": draw.choice((1, 1, 2, 2, 3)),
        "padding": draw.randint(0, kernel // 2),
    }
    text = Message(
        "A convolution has {filters} filters of {kernel} x {kernel}, stride {stride} and padding {padding}. Its input "
        "is {input}.",
        filters=arguments["out_channels"],
        kernel=kernel,
        stride=arguments["stride"],
        padding=arguments["padding"],
        input=times(arguments["input"]),
    )
    return text, arguments


def _ask(situation: Message, question: Message) -> Message:
    return Message("{situation} {question}", situation=situation, question=question)


def _steps_of(steps: Sequence[Step], *quantities: str) -> tuple[Step, ...]:
    return tuple(step for step in steps if step.quantity in quantities)


def _size_of_output(draw: random.Random) -> Exercise:
    text, arguments = _conv(draw)
    worked = convolution(**arguments)
    question = _ask(text, Message("How high and wide is the output?"))
    return Exercise("output", Message("Output size"), question, worked.output[1], _steps_of(worked.steps, "output"))


def _params(draw: random.Random) -> Exercise:
    text, arguments = _conv(draw)
    worked = convolution(**arguments)
    question = _ask(text, Message("How many parameters does it have, with biases?"))
    return Exercise("params", Message("Parameters"), question, worked.params, _steps_of(worked.steps, "params"))


def _macs(draw: random.Random) -> Exercise:
    text, arguments = _conv(draw)
    worked = convolution(**arguments)
    question = _ask(text, Message("How many multiply-adds does one image need?"))
    steps = _steps_of(worked.steps, "output", "neurons", "inputs of one neuron", "macs")
    return Exercise("macs", Message("Multiply-adds"), question, worked.macs, steps)


def _pooled(draw: random.Random) -> Exercise:
    kernel, stride, side = draw.choice((2, 3)), draw.choice((2, 2, 3)), draw.randint(13, 60)
    worked = pooling((draw.choice((16, 64, 96)), side, side), kernel, stride)
    question = Message(
        "A pooling has a window of {kernel} x {kernel} and stride {stride}, without padding. Its input is {input}. How "
        "high and wide is the output?",
        kernel=kernel,
        stride=stride,
        input=times(worked.input),
    )
    return Exercise("pool", Message("Pooling"), question, worked.output[1], _steps_of(worked.steps, "output"))


def _after_flattening(draw: random.Random) -> Exercise:
    shape = (draw.choice((16, 64, 256)),) + (draw.randint(4, 8),) * 2
    worked = fully_connected(shape, draw.choice((10, 84, 120, 500)))
    question = Message(
        "A map of {input} is flattened and goes into a fully connected layer of {outputs} neurons. How many parameters "
        "does the layer have, with biases?",
        input=times(shape),
        outputs=worked.output[0],
    )
    return Exercise("fc", Message("Fully connected"), question, worked.params, _steps_of(worked.steps, "params"))


def _field(draw: random.Random) -> Exercise:
    windows = [(draw.choice((3, 3, 5)), 1), (2, 2), (draw.choice((3, 5)), 1)]
    field, jump, steps = 1, 1, []
    for kernel, stride in windows:
        steps += [field_step(kernel, 1, field, jump), jump_step(jump, stride)]
        field, jump = field + (kernel - 1) * jump, jump * stride
    question = Message(
        "A {first} x {first} convolution, a 2 x 2 pooling with stride 2 and a {last} x {last} convolution follow each "
        "other; both convolutions have stride 1. How many pixels high and wide is the receptive field of one output?",
        first=windows[0][0],
        last=windows[2][0],
    )
    return Exercise("field", Message("Receptive field"), question, field, tuple(steps[:-1]))


# ------------------------------------------------------------------ the papers'


def _alexnet() -> list[Exercise]:
    """Krizhevsky et al. 2012; 227 is the input with which the printed 55 x 55 follows from no padding."""
    worked = convolution((3, 227, 227), 96, 11, stride=4)
    text = Message("AlexNet's conv1 has 96 filters of 11 x 11 and stride 4. Its input is 3 x 227 x 227.")
    sides = _ask(text, Message("How high and wide is the output?"))
    params = _ask(text, Message("How many parameters does it have, with biases?"))
    name = "AlexNet conv1"
    return [
        Exercise("alexnet-output", _of(name, Message("output size")), sides, 55, _steps_of(worked.steps, "output")),
        Exercise(
            "alexnet-params", _of(name, Message("parameters")), params, worked.params, _steps_of(worked.steps, "params")
        ),
    ]


def _lenet() -> list[Exercise]:
    """LeCun et al. 1998, section II.B."""
    worked = convolution((1, 32, 32), 6, 5)
    text = Message("LeNet-5's C1 has 6 filters of 5 x 5. Its input is 1 x 32 x 32.")
    question = _ask(text, Message("How many connections does it have, biases included?"))
    steps = _steps_of(worked.steps, "output", "neurons", "inputs of one neuron", "connections")
    return [
        Exercise("lenet-connections", _of("LeNet-5 C1", Message("connections")), question, worked.connections, steps)
    ]


def _reduction() -> list[Exercise]:
    """GoogLeNet's inception 3a: Szegedy et al. 2015, Table 1."""
    direct, reduced = reduction().alternatives
    question = Message(
        "A 5 x 5 convolution makes 32 maps of 192 maps of 28 x 28, padded to the same size. With a 1 x 1 convolution "
        "to 16 maps before it, how many multiply-adds do both need together, without biases?"
    )
    sides = "28*28"
    steps = (
        Step(direct.name, "H*W * K*K*C*F", f"{sides} * {direct.working}", units.exact(direct.macs)),
        Step(reduced.name, "H*W * K*K*C*F", f"{sides} * ({reduced.working})", units.exact(reduced.macs)),
    )
    return [Exercise("reduction", Message("A 1 x 1 reduction"), question, reduced.macs, steps)]


def _stacks() -> list[Exercise]:
    """Simonyan and Zisserman 2015, section 2.3."""
    _, _, seven, three = stacks(channels=64).alternatives
    question = Message(
        "Three 3 x 3 convolutions see the same 7 x 7 pixels as one 7 x 7 convolution. All have 64 input maps and 64 "
        "filters, without biases. How many parameters do the three save?"
    )
    steps = (
        Step(seven.name, "K*K*C*F", seven.working, units.exact(seven.params)),
        Step(three.name, "3*K*K*C*F", three.working, units.exact(three.params)),
        Step(
            Message("difference"),
            "",
            f"{units.exact(seven.params)} - {units.exact(three.params)}",
            units.exact(seven.params - three.params),
        ),
    )
    title = Message("Three 3 x 3 against one 7 x 7")
    return [Exercise("stacks", title, question, seven.params - three.params, steps)]


def _of(layer: str, quantity: Message) -> Message:
    return Message("{layer}: {quantity}", layer=layer, quantity=quantity)


# ------------------------------------------------------------------ presets


@dataclass(frozen=True)
class Preset:
    """A layer or a net to begin with."""

    id: str
    title: str
    input: tuple[int, ...]
    layers: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        title = translated(self.title)
        return {"id": self.id, "title": title, "input": list(self.input), "layers": list(self.layers)}


RELU: dict[str, Any] = {"kind": "relu"}


def _convolution(channels: int, kernel: int, stride: int = 1, padding: int = 0, **more: Any) -> dict[str, Any]:
    sides = {"kernel": [kernel] * 2, "stride": [stride] * 2, "padding": [padding] * 2, "dilation": [1, 1]}
    return {"kind": "conv", "channels": channels, **sides, "groups": 1, "bias": True} | more


def _pool(kernel: int, stride: int, pooling: str = "max") -> dict[str, Any]:
    sides = {"kernel": [kernel] * 2, "stride": [stride] * 2, "padding": [0, 0], "dilation": [1, 1]}
    return {"kind": "pool", **sides, "pooling": pooling, "ceil_mode": False}


def _fc(features: int) -> dict[str, Any]:
    return {"kind": "fc", "features": features, "bias": True}


def _vgg_stage(channels: int) -> list[dict[str, Any]]:
    return [_convolution(channels, 3, padding=1), RELU, _convolution(channels, 3, padding=1), RELU, _pool(2, 2)]


LAYERS = (
    Preset("alexnet", "AlexNet conv1", (3, 227, 227), (_convolution(96, 11, 4),)),
    Preset("lenet", "LeNet-5 C1", (1, 32, 32), (_convolution(6, 5),)),
    Preset("vgg", "VGG, 3 x 3", (64, 224, 224), (_convolution(64, 3, padding=1),)),
    Preset("reduction", Message("GoogLeNet, 1 x 1 reduction"), (192, 28, 28), (_convolution(16, 1),)),
    Preset("resnet", "ResNet conv1", (3, 224, 224), (_convolution(64, 7, 2, 3, bias=False),)),
    Preset("depthwise", Message("Xception, depthwise"), (728, 19, 19),
           (_convolution(728, 3, padding=1, groups=728, bias=False),)),
    Preset("pool", Message("AlexNet, overlapping pooling"), (96, 55, 55), (_pool(3, 2),)),
    Preset("fc", Message("VGG, the first fully connected layer"), (512, 7, 7), (_fc(4096),)),
)  # fmt: skip

NETWORKS = (
    Preset("lenet", Message("like LeNet-5"), (1, 32, 32),
           (_convolution(6, 5), RELU, _pool(2, 2, "average"), _convolution(16, 5), RELU, _pool(2, 2, "average"),
            _fc(120), RELU, _fc(84), RELU, _fc(10))),
    Preset("vgg", Message("like VGG, for 32 x 32"), (3, 32, 32),
           (*_vgg_stage(64), *_vgg_stage(128), *_vgg_stage(256), _fc(256), RELU, {"kind": "dropout"}, _fc(10))),
    Preset("all-conv", Message("convolutions and a global average"), (3, 32, 32),
           (_convolution(64, 3, padding=1), {"kind": "batch_norm"}, RELU,
            _convolution(128, 3, 2, 1), {"kind": "batch_norm"}, RELU,
            _convolution(10, 1), {"kind": "global_avgpool"})),
    Preset("empty", Message("empty"), (3, 32, 32), ()),
)  # fmt: skip


def presets() -> dict[str, Any]:
    """The document of the layers and nets to begin with."""
    return {
        "schema": 1,
        "layers": [each.to_dict() for each in LAYERS],
        "networks": [each.to_dict() for each in NETWORKS],
    }
