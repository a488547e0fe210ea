"""`CNNFeatures`: the features that a network computes of images, as a transformer of scikit-learn."""

from __future__ import annotations

import copy
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from convatlas import inspection, models
from convatlas.data import Preprocessing, channel_stats, load_images, preprocessing_for
from convatlas.estimators import inputs
from convatlas.estimators.classifier import SEEDS, CNNClassifier
from convatlas.estimators.images import ImageEstimator
from convatlas.estimators.inputs import PixelRange
from convatlas.estimators.network import Identity, outputs, packed, restored_torch, unpacked
from convatlas.runs.loaded_network import LoadedNetwork, load_network, preprocessing_of
from convatlas.runs.run import Run


class CNNFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ImageEstimator):
    """The features that the classifier of a network reads, as a transformer.

    They are the output of the last layer before the classifier; of a map, its mean over the positions. Nothing is
    trained. With a network of the atlas and no weights, the features are those of random filters, a baseline for
    trained ones. Nothing is downloaded unless ``download=True``.

    X is what `CNNClassifier` takes: arrays, rows, paths, or the path of a data set.

    Parameters
    ----------
    network : str, Run, CNNClassifier or torch.nn.Module, default="resnet18"
        A name of `convatlas.list_models`; a run or its directory; a fitted classifier; or a module, whose images are
        then normalised by the statistics of the images in ``fit``.
    weights : str, default=None
        With the name of a network: a file of weights, or published ones by name, ``"torchvision:IMAGENET1K_V1"``.
    image_size : int, default=None
        Side of the network's input in pixels; None for that of the weights, or of the network's paper.
    image_shape : tuple of int, default=None
        Shape of the rows of a two-dimensional X, as of `CNNClassifier`.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, where no weights are given.
    device : str, default="cpu"
        Where the network runs.
    download : bool, default=False
        Whether published weights that are not in the cache may be downloaded.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network, in evaluation mode.
    preprocessing_ : convatlas.data.Preprocessing
        How an image becomes the input of the network.
    pixel_range_ : convatlas.estimators.PixelRange
        The numbers that become 0 and 255.
    layer_ : str
        The layer whose output the features are.
    n_features_in_ : int
        Number of features of a two-dimensional X.

    See Also
    --------
    CNNClassifier : Trains the network.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from convatlas import CNNFeatures
    >>> X, y = load_digits(return_X_y=True)
    >>> features = CNNFeatures("lenet5@modern", random_state=0)
    >>> features.fit_transform(X[:100]).shape
    (100, 84)
    """

    def __init__(
        self,
        network: str | Run | CNNClassifier | nn.Module = "resnet18",
        *,
        weights: str | None = None,
        image_size: int | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        download: bool = False,
    ) -> None:
        self.network = network
        self.weights = weights
        self.image_size = image_size
        self.image_shape = image_shape
        self.random_state = random_state
        self.device = device
        self.download = download

    def fit(self, X: Any, y: Any = None) -> CNNFeatures:
        """Load the network, and decide how the images become its input.

        Parameters
        ----------
        X : array, list of paths, DataFrame of paths, or path of a data set
            The images; see `CNNClassifier`.
        y : Ignored
            Not used; for the interface of scikit-learn.

        Returns
        -------
        self : CNNFeatures
            The fitted estimator.
        """
        if inputs.is_folder(X):
            data = inputs.opened(X)
        elif (paths := inputs.paths_of(X)) is not None:
            data = inputs.dataset_of_paths(paths, np.zeros(len(paths)), ["image"])
        else:
            pixels = self._learn_pixels(self._checked(X, reset=True))
            data = inputs.dataset_of_arrays(pixels, np.zeros(len(pixels)), ["image"])
        if data.layout != "array":
            self.image_shape_, self.pixel_range_ = None, PixelRange(0.0, 255.0)
        with restored_torch():
            net, preprocessing, self._identity = self._network(data.channels)
            if preprocessing is None:
                side = self._identity.side
                unscaled = preprocessing_for(data, side, self._identity.channels)
                store = load_images(data, unscaled)
                preprocessing = unscaled.with_stats(*channel_stats(store, np.arange(len(data))))
            self.module_, self.preprocessing_ = net.to(self.device).eval(), preprocessing
            blank = torch.zeros(1, preprocessing.channels, *preprocessing.size, device=self.device)
            found = inspection.features(self.module_, [blank])
        self.layer_, self._n_features_out = found.layer, found.values.shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The features of images.

        Parameters
        ----------
        X : array, list of paths, DataFrame of paths, or path of a data set
            The images; see `CNNClassifier`. Of a data set with a test set, its test images.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out), float32
            A row for each image.
        """
        check_is_fitted(self, "module_")

        def features(net: nn.Module, images: Tensor) -> Tensor:
            return torch.from_numpy(inspection.features(net, [images]).values)

        images = self._images(X)
        with restored_torch():
            return outputs(self.module_, images, self.preprocessing_, features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickle: a network of the atlas as the bytes of a safetensors file."""
        state = dict(super().__getstate__())
        if state.get("_identity") is not None and state["_identity"].network:
            state["_weights"] = packed(state.pop("module_"))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        weights = state.pop("_weights", None)
        super().__setstate__(state)
        if weights is not None:
            self.module_ = unpacked(self._identity, weights)

    def _network(self, channels: int) -> tuple[nn.Module, Preprocessing | None, Identity]:
        """The network, the preprocessing of its images if its weights state one, and what builds it again."""
        network = self.network
        if isinstance(network, CNNClassifier):
            check_is_fitted(network, "module_")
            return copy.deepcopy(network.module_), network.preprocessing_, network._identity
        if isinstance(network, Run | PathLike) or (isinstance(network, str) and Path(network).is_dir()):
            loaded: LoadedNetwork = load_network(network)
            run = loaded.run
            assert run is not None
            name = run.model if "own" not in run.config else ""
            size = run.config["run"]["image_size"]
            identity = Identity(name, len(run.classes), run.config["run"]["in_channels"], size)
            return loaded.net, loaded.preprocessing, identity
        if isinstance(network, nn.Module):
            return copy.deepcopy(network), None, Identity("", 0, channels, self.image_size or 224)
        entry = models.entry(network)
        side = self.image_size or entry.input[1]
        if self.weights is None:
            seed = self.random_state
            torch.manual_seed(
                int(seed) if isinstance(seed, int | np.integer) else int(check_random_state(seed).randint(SEEDS))
            )
            classes = entry.num_classes or 1000
            net = models.create_model(network, classes, channels, side)
            return net, None, Identity(network, classes, channels, side)
        net = models.create_model(network, weights=self.weights, download=self.download)
        preparation = getattr(net, "loaded").preparation  # noqa: B009  (set by load_weights)
        preprocessing = None if preparation is None else preprocessing_of(preparation)
        identity = Identity(
            network, entry.num_classes, entry.input[0], side if preparation is None else preparation.crop
        )
        return net, preprocessing, identity
