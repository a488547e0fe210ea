"""Methods that show what a network looks at and what it has learned. They take a network and images and return arrays.

ForwardPass(net, images)                  the output of every row of ``convatlas show``
feature_maps(net, images, layer)          the feature maps of a layer
channel_statistics(net, batches, layer)   mean, deviation and share of zeros of each channel; dead channels
first_layer_filters(net)                  the kernels of the first convolution
attribution.METHODS                       gradient, Grad-CAM and others: the pixels that a class score depends on
randomisation_check(net, images, method)  how much a method's map depends on the weights
faithfulness(net, images, heat, classes)  deletion and insertion scores of maps
deconvolve(net, images, layer, channel)   the pixels that activate a feature map
layer_times(net, images)                  the seconds of every row, measured
gradient_norms(net, images, targets)      the norm of the loss's gradient per layer
channel_patches(net, batches, layer)      the images that excite a channel most, and the part it sees
maximise(net, shape, layer, channel)      an image that is made to excite a channel
features(net, batches)                    the penultimate features; embedding.pca, t_sne and neighbours of them
"""

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.inspection.activations import channel_statistics, feature_maps, first_layer_filters
    from convatlas.inspection.channels import channel_patches, maximise
    from convatlas.inspection.deconvnet import deconvolve
    from convatlas.inspection.embedding import features
    from convatlas.inspection.faithfulness import faithfulness
    from convatlas.inspection.forward import ForwardPass
    from convatlas.inspection.gradients import gradient_norms
    from convatlas.inspection.sanity import randomisation_check
    from convatlas.inspection.timing import layer_times
else:
    __getattr__ = resolver(__name__)

__all__ = [
    "ForwardPass",
    "channel_patches",
    "channel_statistics",
    "deconvolve",
    "faithfulness",
    "feature_maps",
    "features",
    "first_layer_filters",
    "gradient_norms",
    "layer_times",
    "maximise",
    "randomisation_check",
]
