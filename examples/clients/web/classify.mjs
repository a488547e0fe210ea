// Labels for photos from a file of `convatlas export --input photo`, in the browser, with onnxruntime-web alone.
//
// The file resizes, crops and normalises by itself; the browser decodes the photo. onnxruntime-web cannot read the
// metadata inside a file (onnxruntime issue 16547), so the class names come from the sidecar, model.onnx.json.

/** Open a file and its sidecar: `const model = await open(ort, "model.onnx")`. */
export async function open(ort, url) {
  const sidecar = await (await fetch(`${url}.json`)).json();
  if (sidecar.schema !== 1) throw new Error(`${url}.json has schema ${sidecar.schema}; this client reads schema 1`);
  if (sidecar.input !== "photo") throw new Error(`${url} takes prepared pixels; export it with --input photo`);
  const session = await ort.InferenceSession.create(url, { executionProviders: ["wasm"] });
  return { ort, sidecar, session };
}

/** The most probable classes of a photo (a File or Blob): [[label, probability], ...], the most probable first. */
export async function classify({ ort, sidecar, session }, photo, top = 5) {
  const { data, height, width } = await decode(photo, sidecar.preparation.channels);
  const images = new ort.Tensor("uint8", data, [1, height, width, sidecar.preparation.channels]);
  const { probabilities } = await session.run({ images }, ["probabilities"]);
  return [...probabilities.data]
    .map((probability, index) => [sidecar.classes[index], probability])
    .sort((one, other) => other[1] - one[1])
    .slice(0, top);
}

/** Decode a photo: upright by its EXIF, alpha over white, 8-bit RGB or grey (luma by ITU-R 601, as Pillow rounds it). */
export async function decode(photo, channels) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(photo, options);
  const { height, width } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { alpha: false, willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(height * width * channels);
  for (let pixel = 0; pixel < height * width; pixel++) {
    const [red, green, blue] = rgba.subarray(4 * pixel, 4 * pixel + 3);
    if (channels === 3) data.set([red, green, blue], 3 * pixel);
    else data[pixel] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
  }
  return { data, height, width };
}
