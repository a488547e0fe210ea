// The image the network is run on: named in the address, else the first one.
import type { Picture } from "../lib/api";
import { route, setQuery } from "../lib/route.svelte";
import { session } from "../lib/session.svelte";

export const chosenImage = (): Picture | undefined => {
  const images = session()?.images ?? [];
  return images.find((image) => image.id === route().query["image"]) ?? images[0];
};

export const chooseImage = (id: string): void => setQuery({ image: id });
