"""`CNNClassifier`: a network of the atlas, or any other, as a classifier of scikit-learn."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted
from torch import Tensor, nn

from convatlas import __version__, units
from convatlas.data import Dataset, Preprocessing
from convatlas.errors import CheckpointError, UsageError
from convatlas.estimators import inputs
from convatlas.estimators.images import ImageEstimator
from convatlas.estimators.inputs import PixelRange
from convatlas.estimators.network import (
    Identity,
    Updates,
    identity_of,
    outputs,
    packed,
    prepared_training,
    restored_torch,
    settings_for,
    trained,
    unpacked,
)
from convatlas.i18n import _
from convatlas.models import own
from convatlas.recipes.recipe import Recipe
from convatlas.training import checkpoint

SEEDS = 2**31 - 1
KIND = "CNNClassifier"  # in the files of `save`


class CNNClassifier(ClassifierMixin, ImageEstimator):
    """A convolutional network as a classifier of images.

    The network is trained with a recipe, as by ``convatlas train``, in memory: no run directory is written. With the
    same ``random_state``, data, machine and number of threads the result has the same bits. Nothing is downloaded
    unless ``download=True``.

    X, in every method, is one of these:

    - an array (N, H, W) or (N, H, W, C) with C = 1 or 3;
    - an array (N, F) whose rows are images, see ``image_shape``;
    - a list, an array or a column of paths of image files, or a DataFrame with one column of them;
    - the path of a data set, as `convatlas.open_data` opens it: a folder of class folders, for example. It brings its
      labels, so ``y`` is left out. ``fit`` uses its training and validation images; ``predict`` and ``score`` its test
      images or, if it has no test set, all of its images.

    Numbers become 8-bit pixels: uint8 as they are; others linearly from the range of the training images to 0..255,
    beyond which they are clipped. Images are resized to the network's input and normalised per channel.

    Parameters
    ----------
    network : str or torch.nn.Module, default="lenet5@modern"
        A name of `convatlas.list_models`, ``"FILE.py:Class"``, or a module, which is copied before it is trained.
    recipe : str or Recipe, default="modern"
        ``"modern"``, ``"paper"``, the name of a recipe, or a `convatlas.Recipe`.
    epochs : int, default=None
        Passes over the training images; None for those of the recipe.
    batch_size : int, default=None
        Images of an update; None for those of the recipe.
    lr : float, default=None
        Learning rate; None for that of the recipe.
    image_size : int, default=None
        Side of the network's input in pixels; None for that of the network's paper.
    image_shape : tuple of int, default=None
        (height, width) or (height, width, channels) of the rows of a two-dimensional X. None for the smallest square
        that holds a row, in row-major order; places left over are black.
    settings : dict, default=None
        Other settings of the recipe and the options, by name, such as ``{"mixup": 0.2, "threads": 2}``.
    validation_fraction : float, default=0.1
        Share of the training images of each class that is held out to choose the epoch whose weights are kept. With 0
        the weights of the last epoch are kept. A data set that has a validation set keeps its own.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, validation images, the order of the images and their augmentation.
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:N"``, or ``"auto"`` for the GPU if there is one.
    download : bool, default=False
        Whether published weights that ``settings={"start_from": ...}`` names may be downloaded.
    verbose : int, default=0
        With 1, print a line for each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    module_ : torch.nn.Module
        The trained network, in evaluation mode.
    preprocessing_ : convatlas.data.Preprocessing
        How an image becomes the input of the network.
    pixel_range_ : convatlas.estimators.PixelRange
        The numbers that become 0 and 255.
    image_shape_ : tuple of int or None
        (H, W, C) of the rows of a two-dimensional X.
    history_ : list of dict
        A dictionary for each epoch: ``train_loss``, ``val_loss``, ``val_top1``, ``lr`` and others. Losses are mean
        cross-entropies in nats.
    n_epochs_ : int
        Number of epochs that were trained.
    validation_score_ : float or None
        The best accuracy on the validation images, by which the weights were chosen. It is too good an estimate of the
        accuracy on new images.
    n_features_in_ : int
        Number of features of a two-dimensional X.
    feature_names_in_ : ndarray of str
        Names of the features, if X was a table of numbers with named columns.

    See Also
    --------
    CNNFeatures : The features that a network computes, as a transformer.
    convatlas.train : Trains with a run directory, a test set and a report.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from convatlas import CNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> classifier = CNNClassifier("lenet5@modern", epochs=8, random_state=0).fit(X_train, y_train)
    >>> bool(classifier.score(X_test, y_test) > 0.9)
    True
    """

    def __init__(
        self,
        network: str | nn.Module = "lenet5@modern",
        *,
        recipe: str | Recipe = "modern",
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        image_size: int | None = None,
        image_shape: tuple[int, ...] | None = None,
        settings: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        download: bool = False,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.image_size = image_size
        self.image_shape = image_shape
        self.settings = settings
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.download = download
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> CNNClassifier:
        """Train the network anew.

        Parameters
        ----------
        X : array, list of paths, DataFrame of paths, or path of a data set
            The training images; see the class.
        y : array-like of shape (n_samples,)
            Their labels, of any type that can be sorted. None if X is the path of a data set.

        Returns
        -------
        self : CNNClassifier
            The fitted estimator.
        """
        data = self._training_data(X, y)
        validates = self.validation_fraction > 0 or bool((data.parts == "val").any())
        self._updates: Updates | None = None
        with restored_torch():
            setup = self._setup(data, self.validation_fraction, validates)
            self.history_ = trained(setup, self._show)
            self._take(setup)
        self.n_epochs_ = len(self.history_)
        scores = [line["val_top1"] for line in self.history_ if line["val_top1"] is not None]
        self.validation_score_ = max(scores, default=None)
        return self

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> CNNClassifier:
        """Train the network on each of these images once.

        For images that come in parts, or do not fit in memory. The learning rate is constant, because nothing says
        when the training ends; no images are held out. The range and the statistics of the pixels are those of the
        first call. After a `fit` it trains the fitted network further. The state of the optimizer is not part of a
        pickle or a saved file.

        Parameters
        ----------
        X : array, list of paths, DataFrame of paths, or path of a data set
            The images of this part; see the class.
        y : array-like of shape (n_samples,)
            Their labels. None if X is the path of a data set.
        classes : array-like of shape (n_classes,), default=None
            All labels that will come, needed in the first call.

        Returns
        -------
        self : CNNClassifier
            The estimator.
        """
        known = getattr(self, "classes_", None)
        if known is None and classes is None and not inputs.is_folder(X):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if known is not None and classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(f"classes={classes!r} differs from the classes of the first call: {known}.")
        data = self._training_data(X, y, classes=np.unique(classes) if known is None and classes is not None else known)
        with restored_torch():
            if not hasattr(self, "module_"):
                setup = self._setup(data, 0.0, False)
                self._updates = Updates.of(setup)
                self._take(setup)
            elif getattr(self, "_updates", None) is None:
                self._updates = self._further_updates(data)
            updates = self._updates
            assert updates is not None
            loss = updates.one_pass(data)
        line = {"epoch": len(getattr(self, "history_", [])), "train_loss": loss, "val_loss": None, "val_top1": None}
        self.history_ = [*getattr(self, "history_", []), line]
        self.n_epochs_ = len(self.history_)
        self._show(line)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes: the softmax of the logits.

        Parameters
        ----------
        X : array, list of paths, DataFrame of paths, or path of a data set
            The images; see the class.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), float64
            In the order of ``classes_``; each row sums to 1.
        """
        check_is_fitted(self, "module_")
        logits = self.decision_logits(X)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each image.

        Parameters
        ----------
        X : array, list of paths, DataFrame of paths, or path of a data set
            The images; see the class.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Entries of ``classes_``.
        """
        check_is_fitted(self, "module_")
        return np.asarray(self.classes_[self.decision_logits(X).argmax(axis=1)])

    def decision_logits(self, X: Any) -> np.ndarray:
        """The outputs of the network, before the softmax.

        Parameters
        ----------
        X : array, list of paths, DataFrame of paths, or path of a data set
            The images; see the class.

        Returns
        -------
        logits : ndarray of shape (n_samples, n_classes), float64
            In the order of ``classes_``.
        """
        check_is_fitted(self, "module_")

        def logits(net: nn.Module, images: Tensor) -> Tensor:
            result: Tensor = net(images)
            return result

        images = self._images(X)
        with restored_torch():
            return outputs(self.module_, images, self.preprocessing_, logits).astype(np.float64)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy: the share of images whose most probable class is their label.

        Parameters
        ----------
        X : array, list of paths, DataFrame of paths, or path of a data set
            The images; see the class.
        y : array-like of shape (n_samples,)
            Their labels. None if X is the path of a data set.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images.

        Returns
        -------
        accuracy : float
            From 0 to 1.
        """
        if inputs.is_folder(X) and y is None:
            check_is_fitted(self, "module_")
            data = inputs.opened(X)
            y = self.classes_[inputs.same_classes(data, self.classes_)[inputs.scored_images(data)]]
        return float(super().score(X, y, sample_weight))

    # --- files ------------------------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted estimator to one safetensors file, which holds numbers and text but no code.

        Parameters
        ----------
        path : str or path-like
            The file; an existing one is replaced.

        Returns
        -------
        path : pathlib.Path
            The file.
        """
        check_is_fitted(self, "module_")
        file = Path(path)
        document = {"kind": KIND, "version": __version__, "params": self._plain_params(), **self._record()}
        tensors = dict(self.module_.state_dict().items())
        checkpoint.save(file, tensors, document)
        return file

    @classmethod
    def load(cls, path: str | PathLike[str], network: str | nn.Module | None = None) -> CNNClassifier:
        """Read a file that `save` wrote. No code of the file is run and no name in it is imported.

        Parameters
        ----------
        path : str or path-like
            The file.
        network : str or torch.nn.Module, default=None
            The network, where it is not one of the atlas: ``"FILE.py:Class"`` or a module of the same class. It is
            not taken from the file, because that would run code that the file names.

        Returns
        -------
        classifier : CNNClassifier
            The fitted estimator.
        """
        tensors, document = checkpoint.load(Path(path))
        if document.get("kind") != KIND:
            raise CheckpointError("{path} was not written by CNNClassifier.save.", path=path)
        params = document["params"]
        if params["image_shape"] is not None:
            params["image_shape"] = tuple(params["image_shape"])
        identity = Identity(**document["identity"])
        if network is None and (not identity.network or own.is_own(identity.network)):
            raise UsageError(
                "{path} holds the weights of {network}, which is not in the atlas. Pass it: load(path, network=...).",
                path=path,
                network=identity.network or "a module of your own",
            )
        self = cls(**{**params, "network": network if network is not None else params["network"]})
        net = network if isinstance(network, nn.Module) else None
        if isinstance(network, str):
            identity = Identity(network, identity.classes, identity.channels, identity.side)
        self._restore(document)
        self._identity = identity
        with restored_torch():
            self.module_ = identity.build() if net is None else net
        checkpoint.load_network(tensors, self.module_, prefix="")
        self.module_.eval()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickle: the network as the bytes of a safetensors file."""
        state = dict(super().__getstate__())
        state.pop("_updates", None)
        if "module_" in state:
            net = state.pop("module_")
            state["_weights"] = packed(net)
            if not self._identity.network or own.is_own(self._identity.network):
                state["_module"] = net  # of the user's own class, which pickle finds
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        weights, net = state.pop("_weights", None), state.pop("_module", None)
        super().__setstate__(state)
        if weights is not None:
            self.module_ = unpacked(self._identity, weights, net)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _training_data(self, X: Any, y: Any, classes: np.ndarray | None = None) -> Dataset:
        """X and y as a data set. Sets ``classes_``, and at the first fit how numbers become pixels.

        Args:
            classes: all labels; None: those of y.
        """
        further = classes is not None and hasattr(self, "module_")
        if inputs.is_folder(X):
            if y is not None:
                raise UsageError("X is the path of a data set, which has its own labels; leave y out.")
            data = inputs.opened(X)
            self._set_classes(np.array(data.classes) if classes is None else classes)
            self.image_shape_, self.pixel_range_ = None, PixelRange(0.0, 255.0)
            return data
        paths = inputs.paths_of(X)
        if paths is None:
            if y is None:
                self._checked(X, reset=not further)
                raise ValueError("This CNNClassifier estimator requires y to be passed, but the target y is None.")
            values, y = self._checked(X, y, reset=not further)
            labels = self._encoded(y, classes)
            pixels = self._pixels(values) if further else self._learn_pixels(values)
            return inputs.dataset_of_arrays(pixels, labels, self.classes_)
        if y is None:
            raise ValueError("This CNNClassifier estimator requires y to be passed, but the target y is None.")
        check_consistent_length(paths, y)
        labels = self._encoded(column_or_1d(y, warn=True), classes)
        self.image_shape_, self.pixel_range_ = None, PixelRange(0.0, 255.0)
        return inputs.dataset_of_paths(paths, labels, self.classes_)

    def _encoded(self, y: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """The labels as indices of ``classes_``, which is set."""
        check_classification_targets(y)
        if classes is None:
            found, labels = np.unique(y, return_inverse=True)
            self._set_classes(found)
            return labels.astype(np.int64)
        self._set_classes(classes)
        unknown = np.setdiff1d(y, classes)
        if len(unknown):
            raise ValueError(f"y has the label {unknown[0]!r}, which is not in classes.")
        return np.searchsorted(classes, y).astype(np.int64)

    def _set_classes(self, classes: np.ndarray) -> None:
        if len(classes) < 2:
            raise ValueError(
                f"CNNClassifier needs at least two classes; the training labels have one class, {classes[0]!r}."
            )
        self.classes_ = classes

    def _setup(self, data: Dataset, validation_fraction: float, validates: bool) -> Any:
        given: dict[str, Any] = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "lr": self.lr,
            "image_size": self.image_size,
        }
        settings = {name: value for name, value in given.items() if value is not None}
        settings |= {"device": self.device, **(self.settings or {})}
        random_state = self.random_state
        seed = (
            int(random_state)
            if isinstance(random_state, int | np.integer)
            else int(check_random_state(random_state).randint(SEEDS))
        )
        network: Any = self.network
        if isinstance(network, nn.Module):
            network = copy.deepcopy(network)
        recipe, options = settings_for(network, self.recipe, settings, validates)
        split = inputs.training_split(data, validation_fraction, seed)
        return prepared_training(network, data, split, recipe, options, seed, self.download)

    def _take(self, setup: Any) -> None:
        """Keep the network of a setup."""
        self.module_ = setup.net.eval()
        self.preprocessing_ = setup.preprocessing
        self._identity: Identity = identity_of(self.network, setup)

    def _further_updates(self, data: Dataset) -> Updates:
        """Passes that train the fitted network further."""
        setup = self._setup(data, 0.0, False)
        net = setup.hardware.place(self.module_)
        updates = Updates.of(setup, net)
        updates.preprocessing = self.preprocessing_
        return updates

    def _show(self, line: dict[str, Any]) -> None:
        if not self.verbose:
            return
        number, loss = line["epoch"] + 1, f"{line['train_loss']:.4f}"
        if line["val_top1"] is None:
            print(_("epoch {number}: training loss {loss}", number=number, loss=loss))
        else:
            score = units.percent(line["val_top1"])
            print(_("epoch {number}: training loss {loss}, validation {score}", number=number, loss=loss, score=score))

    def _record(self) -> dict[str, Any]:
        """What was learned, besides the weights, as plain values."""
        kind = "str" if self.classes_.dtype.kind in "UOS" else self.classes_.dtype.str
        if self.classes_.dtype.kind == "O" and not all(isinstance(label, str) for label in self.classes_):
            raise UsageError("labels that are neither numbers nor text cannot be saved; got {kind}.",
                             kind=type(self.classes_[0]).__name__)  # fmt: skip
        preparation = self.preprocessing_.to_dict()
        return {
            "identity": vars(self._identity),
            "classes": {"kind": kind, "labels": self.classes_.tolist()},
            "preprocessing": {**preparation, "why": str(preparation["why"])},
            "pixel_range": [self.pixel_range_.low, self.pixel_range_.high],
            "image_shape": self.image_shape_,
            "n_features_in": getattr(self, "n_features_in_", None),
            "feature_names_in": getattr(self, "feature_names_in_", np.array([])).tolist(),
            "history": self.history_,
            "validation_score": getattr(self, "validation_score_", None),
        }

    def _restore(self, document: Mapping[str, Any]) -> None:
        """Set what `_record` wrote."""
        classes = document["classes"]
        dtype = None if classes["kind"] == "str" else np.dtype(classes["kind"])
        self.classes_ = np.array(classes["labels"], dtype=dtype)
        self.preprocessing_ = Preprocessing.from_dict(document["preprocessing"])
        self.pixel_range_ = PixelRange(*document["pixel_range"])
        shape = document["image_shape"]
        self.image_shape_ = None if shape is None else (shape[0], shape[1], shape[2])
        if document["n_features_in"] is not None:
            self.n_features_in_ = document["n_features_in"]
        if document["feature_names_in"]:
            self.feature_names_in_ = np.array(document["feature_names_in"], dtype=object)
        self.history_ = document["history"]
        self.n_epochs_ = len(self.history_)
        self.validation_score_ = document["validation_score"]

    def _plain_params(self) -> dict[str, Any]:
        """The parameters as plain values; a random generator becomes None, a recipe its name, a module its class."""
        params: dict[str, Any] = dict(self.get_params(deep=False))
        if not isinstance(params["network"], str):
            params["network"] = type(params["network"]).__name__
        if not isinstance(params["recipe"], str):
            params["recipe"] = params["recipe"].name or "modern"
        seed = params["random_state"]
        params["random_state"] = int(seed) if isinstance(seed, int | np.integer) else None
        for name in ("epochs", "batch_size", "lr", "image_size", "validation_fraction"):
            if isinstance(params[name], np.generic):
                params[name] = params[name].item()
        if params["image_shape"] is not None:
            params["image_shape"] = tuple(int(side) for side in params["image_shape"])
        params["settings"] = None if params["settings"] is None else json.loads(json.dumps(dict(params["settings"])))
        return params
