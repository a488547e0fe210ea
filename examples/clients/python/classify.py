"""Labels for photos from a file of `convatlas export`:  python classify.py model.onnx cat.jpg dog.jpg

Needs numpy, Pillow and onnxruntime, nothing of convatlas. The labels are those of `convatlas predict`.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def decode(path, channels):
    """A photo as the network saw its own: upright, alpha over white, RGB or grey; (height, width, channels)."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def resize_and_crop(image, rule):
    """What a file with the input "pixels" leaves to its caller."""
    height, width = (round(side * rule["margin"]) for side in rule["size"])
    if rule["resize"] == "shorter-crop":
        scale = max(height / image.height, width / image.width)
        image = image.resize((max(width, round(image.width * scale)), max(height, round(image.height * scale))),
                             Image.Resampling[rule["interpolation"].upper()])  # fmt: skip
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    else:
        assert rule["resize"] == "squash", "export with --input photo, and the file resizes by itself"
        image = image.resize((width, height), Image.Resampling[rule["interpolation"].upper()])
    top, left = (height - rule["size"][0]) // 2, (width - rule["size"][1]) // 2
    return image.crop((left, top, left + rule["size"][1], top + rule["size"][0]))


file, *photos = sys.argv[1:]
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["convatlas"])
for photo in photos:
    image = decode(photo, about["preparation"]["channels"])
    if about["input"] == "pixels":
        image = resize_and_crop(image, about["preparation"])
    pixels = np.asarray(image, dtype=np.uint8).reshape(1, image.height, image.width, -1)
    (probabilities,) = session.run(["probabilities"], {"images": pixels})
    best = int(probabilities[0].argmax())
    print(f"{photo}\t{about['classes'][best]}\t{probabilities[0, best]:.4f}")
