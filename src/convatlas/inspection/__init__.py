"""A network and images in, arrays out: what a network looks at and what it has learnt.

deconvolve(net, images, layer, channel)   which pixels excite a feature map
"""

from convatlas.inspection.deconvnet import deconvolve

__all__ = ["deconvolve"]
