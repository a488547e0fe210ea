"""Other people's weights in our networks.

load_weights(net, path, source)    rename tables; safetensors, .pth (weights only), .npz, Keras, .caffemodel
detect(net, tensors)               whose file it is, from its names
Loaded                             what was loaded, what was left, how its images must be prepared, its class names
"""

from convatlas.models.loaded import Labels, Loaded, Preparation
from convatlas.models.weights.load import detect, load_weights

__all__ = ["load_weights", "detect", "Loaded", "Labels", "Preparation"]
