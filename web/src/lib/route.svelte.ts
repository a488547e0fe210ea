// The view in the address: #/network/vgg16?layer=conv5_3&image=0123&lang=ko. Every view is restored by its address.

export interface Route {
  view: string; // "", "network", "playground", "runs", "history", "image"
  rest: string[]; // further parts of the path, decoded
  query: Record<string, string>;
}

export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...rest] = path.split("/").map(decodeURIComponent);
  return { view, rest, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a route. The language of the page is kept where the route does not name one. */
export function format(route: Partial<Route>): string {
  const path = [route.view ?? "", ...(route.rest ?? [])].map(encodeURIComponent).join("/");
  const lang = current.query["lang"];
  const query = new URLSearchParams({ ...(lang ? { lang } : {}), ...route.query }).toString();
  return `#/${path}${query ? `?${query}` : ""}`;
}

let current = $state<Route>(parse(location.hash));
window.addEventListener("hashchange", () => (current = parse(location.hash)));

export const route = (): Route => current;

/** Change parts of the query and keep the rest; undefined removes a part. `replace` leaves no step in the history. */
export function setQuery(changes: Record<string, string | undefined>, replace = false): void {
  const query = Object.fromEntries(
    Object.entries({ ...current.query, ...changes }).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  go({ ...current, query }, replace);
}

export function go(to: Partial<Route>, replace = false): void {
  const hash = format(to);
  if (replace) history.replaceState(null, "", hash);
  else history.pushState(null, "", hash);
  current = parse(hash);
}
