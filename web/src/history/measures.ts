// What the chart of the atlas can draw, and how it is written.
import type { History, HistoryPoint } from "../lib/api";
import { short } from "../lib/format";
import { t } from "../lib/i18n.svelte";

export interface Measure {
  id: string; // "year", "params", "macs", or a kind of printed error
  title: string;
  log: boolean; // the axis begins as a logarithmic one
  text: (value: number) => string;
}

export const measureText = (id: string): "error" | "count" | "year" => (id === "year" ? "year" : id.includes(":") ? "error" : "count");

export const measuresOf = (history: History): Measure[] => [
  { id: "year", title: t("history.year"), log: false, text: (value) => (Number.isInteger(value) ? String(value) : "") },
  { id: "params", title: t("history.params"), log: true, text: (value) => short(value).replace(/\.0+(?= |$)/, "").replace(/(\.\d*?)0+(?= |$)/, "$1") },
  { id: "macs", title: "MACs", log: true, text: (value) => short(value).replace(/\.0+(?= |$)/, "").replace(/(\.\d*?)0+(?= |$)/, "$1") },
  ...history.errors.map((kind) => ({ id: kind.id, title: `${kind.title}, %`, log: false, text: (value: number) => `${value} %` })),
];

export function amount(point: HistoryPoint, measure: string): number | null {
  if (measure === "year" || measure === "params" || measure === "macs") return point[measure];
  return point.errors[measure]?.percent ?? null;
}

const TITLES: Record<string, string> = {
  lenet: "LeNet", alexnet: "AlexNet", zfnet: "ZFNet", nin: "NIN", vgg: "VGG", googlenet: "GoogLeNet", bn_inception: "BN-Inception",
  inception_v3: "Inception-v3", inception_v4: "Inception-v4", resnet: "ResNet", resnet_cifar: "ResNet (CIFAR)", prelu_net: "PReLU-net",
  densenet: "DenseNet", densenet_cifar: "DenseNet (CIFAR)", xception: "Xception", squeezenet: "SqueezeNet", mlp: "MLP", autoencoder: "Autoencoder", speednet: "Speed net",
  mobilenet_v1: "MobileNet", mobilenet_v2: "MobileNetV2", mobilenet_v3: "MobileNetV3", shufflenet_v1: "ShuffleNet", shufflenet_v2: "ShuffleNet V2",
  mnasnet: "MnasNet", efficientnet: "EfficientNet", efficientnet_v2: "EfficientNetV2", resnext: "ResNeXt", regnet: "RegNet", convnext: "ConvNeXt",
  senet: "SENet", cbam: "CBAM", preact_resnet: "Pre-activation ResNet", wide_resnet: "Wide ResNet", repvgg: "RepVGG", fractalnet: "FractalNet",
};
export const familyTitle = (family: string): string => TITLES[family] ?? family;
