// What the server offers, and the images: those it came with and those added on the page.
import { get, putImage, type Picture, type Session } from "./api";

let current = $state.raw<Session>();
let problem = $state("");

export const session = (): Session | undefined => current;
export const sessionProblem = (): string => problem;

export async function refresh(): Promise<void> {
  try {
    current = await get<Session>("session");
    problem = "";
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
}

/** Send an image to the server; it is first in the list from then on. */
export async function add(file: Blob, name: string): Promise<Picture> {
  const picture = await putImage(file, name);
  if (current) current = { ...current, images: [picture, ...current.images.filter((each) => each.id !== picture.id)] };
  return picture;
}
