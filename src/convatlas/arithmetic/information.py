"""Information, entropy, cross-entropy, Kullback-Leibler divergence and focal loss of given probabilities. No torch.

    losses([0.5, 0.25, 0.25], [0.25, 0.25, 0.5], base=2).values["cross_entropy"]      1.75

P is the true distribution, Q the predicted one; log is the natural logarithm (nats) or that to base 2 (bits).
0 * log 0 is 0; where P is positive and Q is 0 the cross-entropy is infinite.

Sources: Shannon 1948; Kullback and Leibler 1951; Lin et al. 2017 (focal loss), equation 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from convatlas.arithmetic.exact import Number, exact, number
from convatlas.arithmetic.layer import Step
from convatlas.errors import ShapeError, UsageError
from convatlas.message import Message

TOLERANCE = Fraction(1, 10**6)  # of the sum of probabilities: three times 0.333333 is accepted, three times 0.33 is not
GAMMAS = ("0", "0.5", "1", "2", "5")  # figure 1 of Lin et al. 2017
UNITS = {"e": Message("nats"), "2": Message("bits")}


@dataclass(frozen=True)
class Losses:
    """Entropies and losses of one or two distributions.

    Attributes:
        base: "e" or "2".
        values: "entropy", "cross_entropy", "kl" (of P from Q), "information" (of each event of P); with a label also
            "label_loss" and "focal". Infinite where Q is 0 and P is not.
        steps: the calculations, in order.
    """

    base: str
    values: dict[str, Any]
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"base": self.base, **_finite(self.values), "steps": [step.to_dict() for step in self.steps]}


def probabilities(numbers: Any, name: str = "P") -> tuple[Number, ...]:
    """Convert to a distribution.

    Args:
        numbers: a text of numbers or fractions ("0.5 1/4 1/4"), or a sequence of numbers.
        name: name of the distribution in error messages.
    Raises:
        UsageError: not numbers, a negative probability, or a sum that is not 1.
    """
    tokens = numbers.replace(",", " ").split() if isinstance(numbers, str) else list(numbers)
    if not tokens:
        raise UsageError("{name}: there are no numbers.", name=name)
    distribution = tuple(_fraction(token, name) for token in tokens)
    for p in distribution:
        if p < 0:
            raise UsageError("{name}: a probability must not be negative; got {p}.", name=name, p=number(p))
    total = sum((Fraction(p) for p in distribution), start=Fraction(0))
    if abs(total - 1) > TOLERANCE:
        raise UsageError(
            "{name}: the probabilities must sum to 1; they sum to {total}. Write numbers such as thirds as fractions "
            "(1/3), or convert scores to probabilities first:  convatlas layer softmax --values SCORES",
            name=name,
            total=number(exact(total)),
        )
    return distribution


def losses(p: Any = None, q: Any = None, base: str | int = "e", label: int | None = None, gammas: Any = None) -> Losses:
    """Calculate every entropy and loss that the arguments determine.

    Args:
        p: the true distribution. With ``label`` and no ``p`` it is 1 for the label and 0 elsewhere.
        q: the predicted distribution.
        base: "e" or 2.
        label: the true class, from 0. With ``q``, its loss and its focal loss for each of ``gammas`` are calculated.
        gammas: exponents of the focal loss, 0 or more; those of the paper's figure where None.
    Raises:
        UsageError: no distribution, not probabilities, an unknown base, a label that is not a class, a negative gamma.
        ShapeError: P and Q have different lengths.
    """
    base = str(base)
    if base not in UNITS:
        raise UsageError("the base of the logarithm must be e (nats) or 2 (bits); got {base!r}.", base=base)
    true = None if p is None else probabilities(p, "P")
    predicted = None if q is None else probabilities(q, "Q")
    classes = len(true or predicted or ())
    if not classes:
        raise UsageError("no distribution was given: give P (true), Q (predicted), or both.")
    if label is not None and not 0 <= label < classes:
        raise UsageError(
            "a label is the number of a class, 0 to {last}; got {label}.", last=classes - 1, label=str(label)
        )
    if true is None and label is not None:
        true = tuple(int(index == label) for index in range(classes))
    if true is not None and predicted is not None and len(true) != len(predicted):
        raise ShapeError(
            "P has {p} probabilities and Q has {q}. Both need one probability per class.",
            p=len(true),
            q=len(predicted),
        )
    calculation = _Calculation(base)
    if true is not None:
        calculation.add_true(true)
    if predicted is not None and true is None:
        calculation.add_predicted(predicted)
    if true is not None and predicted is not None:
        calculation.add_both(true, predicted)
    if label is not None and predicted is not None:
        calculation.add_label(predicted[label], label, GAMMAS if gammas is None else gammas)
    return Losses(base, calculation.values, tuple(calculation.steps))


class _Calculation:
    """Collects values and the steps of their calculation."""

    def __init__(self, base: str) -> None:
        self.base, self.values, self.steps = base, {}, []  # type: ignore[var-annotated]
        self.log = "ln" if base == "e" else "log2"

    def add_true(self, p: tuple[Number, ...]) -> None:
        self.values["information"] = [self.minus_log(probability) for probability in p]
        for index, probability in enumerate(p):
            text = f"-{self.log} {number(probability)}"
            self.step(Message("information"), f"-{self.log} p[{index}]", text, self.values["information"][index])
        self.add_entropy("entropy", "p", p)

    def add_predicted(self, q: tuple[Number, ...]) -> None:
        self.add_entropy("entropy", "q", q)

    def add_entropy(self, key: str, letter: str, p: tuple[Number, ...]) -> None:
        total = math.fsum(float(probability) * self.minus_log(probability) for probability in p if probability)
        text = " - ".join(self.term(probability, probability) for probability in p if probability)
        self.values[key] = total
        self.step(Message("entropy"), f"-Σ {letter} {self.log} {letter}", f"-{text}", total, in_both=True)

    def add_both(self, p: tuple[Number, ...], q: tuple[Number, ...]) -> None:
        pairs = [(a, b) for a, b in zip(p, q, strict=True) if a]
        cross = math.fsum(float(a) * self.minus_log(b) for a, b in pairs)
        text = " - ".join(self.term(a, b) for a, b in pairs)
        impossible = any(b == 0 for _, b in pairs)
        note = Message("Q is 0 where P is not") if impossible else ""
        self.values["cross_entropy"] = cross
        self.step(Message("cross-entropy"), f"-Σ p {self.log} q", f"-{text}", cross, note, in_both=True)
        kl = math.inf if impossible else math.fsum(float(a) * (self.minus_log(b) - self.minus_log(a)) for a, b in pairs)
        ratio = " + ".join(f"{number(a)}*{self.log}({number(a)}/{number(b)})" for a, b in pairs)
        self.values["kl"] = kl
        self.step(Message("KL divergence"), f"Σ p {self.log}(p/q)", ratio, kl, note, in_both=True)
        if not impossible:
            parts = f"{_short(cross)} - {_short(self.values['entropy'])}"
            formula = Message("cross-entropy - entropy")
            self.step(Message("KL divergence"), formula, parts, cross - self.values["entropy"])

    def add_label(self, q: Number, label: int, gammas: Any) -> None:
        loss = self.minus_log(q)
        self.values["label_loss"] = loss
        self.step(
            Message("loss of the label"), f"-{self.log} q[{label}]", f"-{self.log} {number(q)}", loss, in_both=True
        )
        self.values["focal"] = {}
        for token in gammas.replace(",", " ").split() if isinstance(gammas, str) else gammas:
            gamma = exact(token, "gamma")
            if gamma < 0:
                raise UsageError("gamma of the focal loss must be 0 or more; got {gamma}.", gamma=number(gamma))
            weight = float(1 - q) ** float(gamma) if q != 1 or gamma else 1.0
            focal = weight * loss if weight else 0.0
            text = f"-(1 - {number(q)})^{number(gamma)} {self.log} {number(q)}"
            self.values["focal"][number(gamma)] = focal
            formula = f"-(1 - q)^{number(gamma)} {self.log} q"
            note = Message("{weight} of the cross-entropy", weight=_short(weight))
            self.step(Message("focal loss, gamma {gamma}", gamma=number(gamma)), formula, text, focal, note)

    def step(self, quantity: str, formula: str, text: str, value: float, note: str = "", in_both: bool = False) -> None:
        result: str = _short(value)
        if in_both and math.isfinite(value):
            other = value / math.log(2) if self.base == "e" else value * math.log(2)
            unit, other_unit = (UNITS["e"], UNITS["2"]) if self.base == "e" else (UNITS["2"], UNITS["e"])
            result = Message(
                "{value} {unit} = {other} {other_unit}",
                value=result,
                unit=unit,
                other=_short(other),
                other_unit=other_unit,
            )
        self.steps.append(Step(quantity, formula, text, result, note))

    def minus_log(self, p: Number) -> float:
        if not p:
            return math.inf
        return -math.log2(p) + 0.0 if self.base == "2" else -math.log(p) + 0.0  # + 0.0 turns -0 into 0

    def term(self, weight: Number, p: Number) -> str:
        return f"{number(weight)}*{self.log} {number(p)}"


def _fraction(token: Any, name: str) -> Number:
    if isinstance(token, str) and token.count("/") == 1:
        above, below = (exact(part, name) for part in token.split("/"))
        if not below:
            raise UsageError("{name}: {token!r} divides by zero.", name=name, token=token)
        return exact(Fraction(above) / Fraction(below))
    return exact(token, name)


def _short(value: float) -> str:
    return number(float(value)) if math.isfinite(value) else "inf"


def _finite(value: Any) -> Any:
    """Replace infinity, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {key: _finite(element) for key, element in value.items()}
    if isinstance(value, list):
        return [_finite(element) for element in value]
    return value if math.isfinite(value) else None
