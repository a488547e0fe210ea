"""Other people's weights in our networks.

load_weights(net, path, source)    rename tables; safetensors, .pth (weights only), .npz, Keras .h5, .caffemodel
detect(tensors)                    whose file it is, from its names
Loaded                             what was loaded, what was left, and how its images must be prepared
"""

from convatlas.models.weights.load import Loaded, detect, load_weights
from convatlas.models.weights.prepare import Preparation

__all__ = ["load_weights", "detect", "Loaded", "Preparation"]
