"""The networks of the atlas for ``torch.hub``, with the names of ``convatlas.list_models()``.

    net = torch.hub.load("FOLDER OF THIS FILE", "create_model", "resnet50", source="local", num_classes=10)
    net = torch.hub.load("FOLDER OF THIS FILE", "resnet50", source="local")

Names with an @, such as resnet50@torchvision, are written with two underscores here: ``resnet50__torchvision``.
"""

import sys as _sys
from functools import partial as _partial
from pathlib import Path as _Path

_source = _Path(__file__).resolve().parent / "src"
if _source.is_dir() and str(_source) not in _sys.path:  # the networks of this folder, not of an installed version
    _sys.path.insert(0, str(_source))

from convatlas import create_model, from_pretrained, list_models  # noqa: E402

dependencies = ["torch", "numpy", "safetensors"]

for _name in list_models():
    _entrypoint = _partial(create_model, _name)
    _entrypoint.__doc__ = f"{_name}: the arguments of create_model after the name. See convatlas.card({_name!r})."
    globals()[_name.replace("@", "__")] = _entrypoint

__all__ = ["create_model", "from_pretrained", *(_name.replace("@", "__") for _name in list_models())]
