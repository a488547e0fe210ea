"""The page that helps to choose a family: when to take it, and what it costs, each line with a number."""

from __future__ import annotations

import re
from collections.abc import Mapping

from docs.builder.atlas import printed_error, summary_of, words
from docs.builder.page import Page

from convatlas import units
from convatlas.models.registry import Entry, entry, list_models

# family -> (its example, when to choose it); {network:quantity} is derived, {network:quantity/other} is a ratio
WHEN: dict[str, tuple[str, str, str]] = {
    "mlp": ("mlp",
        "A baseline that every convolutional network must beat: {mlp:params} parameters on 8 x 8 digits.",
        "모든 합성곱 신경망이 넘어야 할 기준입니다. 8 x 8 숫자 이미지에서 파라미터는 {mlp:params}입니다."),
    "lenet": ("lenet5@modern",
        "Small grey images, and lectures: the paper's network has exactly {lenet5:exact} parameters.",
        "작은 흑백 이미지와 강의에 알맞습니다. 논문의 신경망은 파라미터가 정확히 {lenet5:exact}개입니다."),
    "autoencoder": ("autoencoder",
        "To reconstruct images, not to classify them; {autoencoder:params} parameters.",
        "이미지를 분류하지 않고 복원합니다. 파라미터는 {autoencoder:params}입니다."),
    "alexnet": ("alexnet",
        "For lectures and for its history. VGG-16 needs {vgg16:macs/alexnet} times its multiply-adds.",
        "강의와 역사적 비교에 씁니다. VGG-16의 곱셈-누산은 이 신경망의 {vgg16:macs/alexnet}배입니다."),
    "zfnet": ("zfnet",
        "To see what a smaller first kernel changes; {zfnet:macs/alexnet} times the multiply-adds of AlexNet.",
        "첫 층의 커널을 줄이면 무엇이 달라지는지 봅니다. 곱셈-누산은 AlexNet의 {zfnet:macs/alexnet}배입니다."),
    "nin": ("nin_imagenet",
        "1x1 convolutions and global average pooling without fully connected layers: {nin_imagenet:params} parameters, "
        "{alexnet:params/nin_imagenet} times fewer than AlexNet.",
        "완전 연결 층 없이 1x1 합성곱과 전역 평균 풀링만 씁니다. 파라미터는 {nin_imagenet:params}이고, AlexNet은 그 "
        "{alexnet:params/nin_imagenet}배입니다."),
    "vgg": ("vgg16",
        "Features for other tasks, where size does not matter: {vgg16:size} of weights, {vgg16:macs} multiply-adds, "
        "{vgg16:macs/resnet50} times those of ResNet-50.",
        "크기가 문제되지 않을 때 다른 과제의 특징 추출에 씁니다. 가중치 {vgg16:size}, 곱셈-누산 {vgg16:macs}로 ResNet-50의 "
        "{vgg16:macs/resnet50}배입니다."),
    "googlenet": ("googlenet",
        "Few parameters without batch norm: {googlenet:params}, {alexnet:params/googlenet} times fewer than AlexNet.",
        "배치 정규화 없이 파라미터가 적습니다. {googlenet:params}이고, AlexNet은 그 {alexnet:params/googlenet}배입니다."),
    "bn_inception": ("bn_inception",
        "GoogLeNet with batch norm: {bn_inception:params} parameters, {bn_inception:macs} multiply-adds.",
        "배치 정규화를 넣은 GoogLeNet입니다. 파라미터 {bn_inception:params}, 곱셈-누산 {bn_inception:macs}입니다."),
    "inception_v3": ("inception_v3",
        "Larger images, 299 x 299, for {inception_v3:macs} multiply-adds.",
        "더 큰 299 x 299 이미지에 씁니다. 곱셈-누산은 {inception_v3:macs}입니다."),
    "inception_v4": ("inception_v4",
        "Accuracy before speed: {inception_v4:macs} multiply-adds, {inception_v4:macs/inception_v3} times Inception-v3.",
        "속도보다 정확도가 중요할 때 씁니다. 곱셈-누산 {inception_v4:macs}, Inception-v3의 {inception_v4:macs/inception_v3}배입니다."),
    "prelu_net": ("prelu_net_a",
        "For research on PReLU; {prelu_net_a:macs} multiply-adds.",
        "PReLU 연구용입니다. 곱셈-누산은 {prelu_net_a:macs}입니다."),
    "resnet": ("resnet50",
        "The usual first choice for photos, with weights of many sources. ResNet-18 has {resnet18:params} parameters and "
        "{resnet18:macs} multiply-adds, ResNet-50 {resnet50:params} and {resnet50:macs}.",
        "사진에 먼저 시도할 신경망이며 공개 가중치가 많습니다. ResNet-18은 파라미터 {resnet18:params}, 곱셈-누산 {resnet18:macs}, "
        "ResNet-50은 {resnet50:params}, {resnet50:macs}입니다."),
    "resnet_cifar": ("resnet20_cifar",
        "Images of about 32 x 32, trained from nothing: {resnet20_cifar:params} parameters.",
        "32 x 32 안팎의 이미지를 처음부터 학습할 때 씁니다. 파라미터는 {resnet20_cifar:params}입니다."),
    "squeezenet": ("squeezenet1_1",
        "A small file for photos: {squeezenet1_1:size}, {alexnet:params/squeezenet1_1} times fewer parameters than "
        "AlexNet. Its activations need {squeezenet1_1:memory}.",
        "사진용 신경망 가운데 파일이 작습니다. {squeezenet1_1:size}이고, AlexNet의 파라미터는 "
        "그 {alexnet:params/squeezenet1_1}배입니다. 활성값은 {squeezenet1_1:memory}를 차지합니다."),
    "densenet": ("densenet121",
        "Accuracy with few parameters, where memory is plentiful: {densenet121:params} parameters, but {densenet121:memory} "
        "of activations, {densenet121:memory/resnet50} times those of ResNet-50.",
        "메모리가 넉넉할 때 적은 파라미터로 정확도를 얻습니다. 파라미터 {densenet121:params}, 활성값 {densenet121:memory}로 "
        "ResNet-50의 {densenet121:memory/resnet50}배입니다."),
    "densenet_cifar": ("densenet_bc100_k12_cifar",
        "Small images with few parameters and much time: {densenet_bc100_k12_cifar:params} parameters, "
        "{densenet_bc100_k12_cifar:macs/resnet20_cifar} times the multiply-adds of ResNet-20.",
        "작은 이미지에서 파라미터를 아끼고 시간을 더 씁니다. 파라미터 {densenet_bc100_k12_cifar:params}, 곱셈-누산은 ResNet-20의 "
        "{densenet_bc100_k12_cifar:macs/resnet20_cifar}배입니다."),
    "xception": ("xception",
        "Separable convolutions at 299 x 299: {xception:params} parameters, {xception:macs} multiply-adds.",
        "299 x 299에서 분리 합성곱을 씁니다. 파라미터 {xception:params}, 곱셈-누산 {xception:macs}입니다."),
    "preact_resnet": ("preact_resnet110_cifar",
        "Very deep networks on small images: {preact_resnet1001_cifar:layers} layers with weights still train.",
        "작은 이미지에서 아주 깊은 신경망을 씁니다. 가중치가 있는 층이 {preact_resnet1001_cifar:layers}개여도 학습됩니다."),
    "wide_resnet": ("wide_resnet16_8_cifar",
        "Small images, where wide layers use the processor better than deep ones: {wide_resnet28_10_cifar:params} parameters "
        "in {wide_resnet28_10_cifar:layers} layers.",
        "작은 이미지에서 깊은 층보다 넓은 층이 프로세서를 더 잘 씁니다. 층 {wide_resnet28_10_cifar:layers}개에 파라미터 "
        "{wide_resnet28_10_cifar:params}입니다."),
    "resnext": ("resnext50_32x4d",
        "ResNet-50's cost with grouped convolutions: {resnext50_32x4d:macs/resnet50} times its multiply-adds, "
        "{resnext50_32x4d:params} parameters.",
        "ResNet-50과 비슷한 비용에 그룹 합성곱을 씁니다. 곱셈-누산은 {resnext50_32x4d:macs/resnet50}배, 파라미터 "
        "{resnext50_32x4d:params}입니다."),
    "senet": ("se_resnet50",
        "ResNet-50 with channel attention: {se_resnet50:params/resnet50} times the parameters and "
        "{se_resnet50:macs/resnet50} times the multiply-adds.",
        "채널 주의를 더한 ResNet-50입니다. 파라미터는 {se_resnet50:params/resnet50}배, 곱셈-누산은 {se_resnet50:macs/resnet50}배입니다."),
    "mobilenet_v1": ("mobilenet_v1",
        "Few multiply-adds in a plain chain of layers: {mobilenet_v1:macs}, {vgg16:macs/mobilenet_v1} times fewer than VGG-16.",
        "단순한 구조로 곱셈-누산을 줄입니다. {mobilenet_v1:macs}이고, VGG-16은 그 {vgg16:macs/mobilenet_v1}배입니다."),
    "mobilenet_v2": ("mobilenet_v2",
        "Telephones and small boards: {mobilenet_v2:params} parameters, {mobilenet_v2:macs} multiply-adds.",
        "휴대전화와 소형 보드에 씁니다. 파라미터 {mobilenet_v2:params}, 곱셈-누산 {mobilenet_v2:macs}입니다."),
    "mobilenet_v3": ("mobilenet_v3_large",
        "Few multiply-adds for photos, in its small version {mobilenet_v3_small:macs}.",
        "사진용 신경망 가운데 곱셈-누산이 매우 적습니다. 작은 판은 {mobilenet_v3_small:macs}입니다."),
    "shufflenet_v2": ("shufflenet_v2_x1_0",
        "Made for speed on real processors: {shufflenet_v2_x1_0:macs} multiply-adds without grouped 1x1 convolutions.",
        "실제 프로세서의 속도에 맞춘 구조입니다. 곱셈-누산은 {shufflenet_v2_x1_0:macs}입니다."),
    "mnasnet": ("mnasnet_a1",
        "Found by a search for latency on a telephone: {mnasnet_a1:macs} multiply-adds.",
        "휴대전화의 지연 시간을 기준으로 탐색한 구조입니다. 곱셈-누산은 {mnasnet_a1:macs}입니다."),
    "efficientnet": ("efficientnet_b0",
        "A scale of eight sizes from {efficientnet_b0:macs} to {efficientnet_b7:macs} multiply-adds; memory grows with it: "
        "{efficientnet_b0:memory} to {efficientnet_b7:memory} of activations.",
        "곱셈-누산 {efficientnet_b0:macs}에서 {efficientnet_b7:macs}까지 여덟 가지 크기가 있습니다. 활성값은 "
        "{efficientnet_b0:memory}에서 {efficientnet_b7:memory}까지 늘어납니다."),
    "regnet": ("regnet_y_400mf",
        "A regular network for a given number of multiply-adds: {regnet_x_200mf:macs} to {regnet_y_4_0gf:macs}.",
        "정해진 곱셈-누산에 맞춘 규칙적인 구조입니다. {regnet_x_200mf:macs}에서 {regnet_y_4_0gf:macs}까지 있습니다."),
    "repvgg": ("repvgg_a0",
        "Plain 3x3 convolutions when it is deployed: {repvgg_a0:params} parameters while it trains.",
        "배포할 때는 3x3 합성곱만 남습니다. 학습할 때 파라미터는 {repvgg_a0:params}입니다."),
    "convnext": ("convnext_tiny",
        "The newest large kernels, where much data or trained weights are at hand: {convnext_tiny:params} parameters, "
        "{convnext_tiny:macs/resnet50} times the multiply-adds of ResNet-50.",
        "데이터가 많거나 학습된 가중치가 있을 때 큰 커널을 씁니다. 파라미터 {convnext_tiny:params}, 곱셈-누산은 ResNet-50의 "
        "{convnext_tiny:macs/resnet50}배입니다."),
    "speednet": ("speednet_cifar",
        "CIFAR-10 in minutes: {speednet_cifar:params} parameters.",
        "CIFAR-10을 몇 분 만에 학습합니다. 파라미터는 {speednet_cifar:params}입니다."),
}  # fmt: skip
# family -> what was measured here, and the page that records it
MEASURED: dict[str, tuple[str, str, str]] = {
    "lenet": ("main_job", "99.14 % on MNIST after 20 epochs (98.9 to 99.3 %, 10,000 images, one run).",
              "MNIST에서 20에포크 뒤 99.14 %(98.9~99.3 %, 10,000장, 한 번 학습)."),
    "resnet_cifar": ("main_job", "89.19 % on CIFAR-10 after 15 epochs (88.6 to 89.8 %, 10,000 images, one run).",
                     "CIFAR-10에서 15에포크 뒤 89.19 %(88.6~89.8 %, 10,000장, 한 번 학습)."),
    "speednet": ("fast", "93.63 % on CIFAR-10; the record has times and seeds.",
                 "CIFAR-10에서 93.63 %. 시간과 시드는 기록에 있습니다."),
    "resnet": ("throughput", "ResNet-18 at 224 pixels trains 28.8 images/s on two cores (27.9 to 28.8, three rounds).",
               "ResNet-18은 224픽셀에서 코어 두 개로 초당 28.8장을 학습합니다(27.9~28.8, 세 번)."),
}  # fmt: skip
TITLES = {
    "en": ("Choosing a family", "Derived numbers are for one image of the network's own size; errors are printed in the "
           "network's paper, by protocols that differ, so that differences of a point mean little. To decide, measure: "
           "`convatlas compare` trains the candidates on your images and times them on your machine.",
           "Costs, derived",
        "measured", "weights", "activations"),
    "ko": ("신경망 계열 고르기", "계산값은 그 신경망의 크기로 준비한 이미지 한 장에 대한 값입니다. 오류율은 논문에 적힌 값이며 평가 방식이 "
           "서로 달라 1점 정도의 차이는 큰 뜻이 없습니다. 결정은 측정으로 합니다. `convatlas compare`는 후보를 여러분의 이미지로 학습하고 "
           "여러분의 컴퓨터에서 시간을 잽니다.", "비용(계산)",
        "측정", "가중치", "활성값"),
}  # fmt: skip


class Quantity:
    """The derived numbers of a network in a text: ``{resnet50:macs}``, ``{vgg16:macs/resnet50}``."""

    def __init__(self, record: Entry) -> None:
        self.record = record

    def value(self, quantity: str) -> int:
        if quantity == "memory":
            return summary_of(self.record.full_name).totals.activation_bytes
        if quantity == "size":
            return 4 * self.record.params
        return int(getattr(self.record, {"exact": "params", "layers": "weight_layers"}.get(quantity, quantity)))

    def __format__(self, wanted: str) -> str:
        quantity, _, other = wanted.partition("/")
        if other:
            ratio = self.value(quantity) / Quantity(entry(other)).value(quantity)
            return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}" if ratio < 20 else f"{ratio:.0f}"
        written = {"memory": units.bytes_, "size": units.bytes_, "exact": units.exact, "layers": str}
        return written.get(quantity, units.short)(self.value(quantity))


class _Networks(Mapping[str, Quantity]):
    def __getitem__(self, name: str) -> Quantity:
        return Quantity(entry(name))

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(list_models())

    def __len__(self) -> int:
        return len(list_models())


def filled(text: str) -> str:
    """The text with the numbers of its networks."""
    return text.format_map(_Networks())


def page(language: str) -> Page:
    title, intro, costs, measured, weights, activations = TITLES[language]
    w = words(language)
    korean = language == "ko"
    lines = [f"# {title}", "", intro, ""]
    for family in dict.fromkeys(entry(name).family for name in list_models()):
        members = [entry(name) for name in list_models() if entry(name).family == family]
        example = entry(WHEN[family][0]) if family in WHEN else members[0]
        when = filled(WHEN[family][1 + korean]) if family in WHEN else f"{example.card.summary}."
        lines += [f"## {family}", "", when, ""]
        lines.append(
            f"- {costs}: [{example.full_name}](../atlas/{example.full_name}.md) {units.short(example.params)} "
            f"{w['params']}, {units.bytes_(4 * example.params)} ({weights}), {units.short(example.macs)} {w['macs']}, "
            f"{units.bytes_(summary_of(example.full_name).totals.activation_bytes)} ({activations})"
        )
        if error := printed_error(example):
            lines.append(f"- {w['error']}: {error} ({protocol_of(example)})")
        if family in MEASURED:
            record, english, translated = MEASURED[family]
            lines.append(f"- [{measured}](../results/{record}.md): {translated if korean else english}")
        lines.append("")
    assert not re.search(r"\{\w+:", "\n".join(lines))
    return Page("how-to/choosing-a-family.md", "\n".join(lines), "how-to")


def protocol_of(record: Entry) -> str:
    for quantity in ("top1_error", "error", "top5_error"):
        for figure in record.card.figures:
            if figure.quantity == quantity:
                return ", ".join(part for part in (figure.protocol, figure.source, figure.where) if part)
    return ""
