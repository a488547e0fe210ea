"""Other people's weights in our networks.

load_weights(net, path, source)    rename tables; safetensors, .pth (weights only), .npz, Keras, .caffemodel
fitted(net, path)                  the same without loading: what fits, what is missing, what is unknown
read_file(path)                    the names and tensors of a file, with the wrappings that were taken off
detect(net, tensors)               whose file it is, from its names
Loaded                             what was loaded, what was left, how its images must be prepared, its class names
"""

from convatlas.models.loaded import Labels, Loaded, Preparation
from convatlas.models.weights.given import GivenPreparation
from convatlas.models.weights.load import Fit, detect, fitted, load_weights
from convatlas.models.weights.read import WeightsFile, read_file
from convatlas.models.weights.rename import Renaming

__all__ = [
    "load_weights",
    "fitted",
    "read_file",
    "detect",
    "Fit",
    "WeightsFile",
    "Loaded",
    "Labels",
    "Preparation",
    "GivenPreparation",
    "Renaming",
]
