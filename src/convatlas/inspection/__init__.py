"""Methods that show what a network looks at and what it has learned. They take a network and images and return arrays.

deconvolve(net, images, layer, channel)   the pixels that activate a feature map
"""

from convatlas.inspection.deconvnet import deconvolve

__all__ = ["deconvolve"]
