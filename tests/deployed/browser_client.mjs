// Clicks through examples/clients/web in Chromium:  node browser_client.mjs MODEL PHOTO...
//
// Serves the example on loopback, gives it the photos, and prints JSON: what the page says, a row for each photo, and the
// addresses outside of this machine that were asked for. CHROMIUM names the browser.
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const example = fileURLToPath(new URL("../../examples/clients/web/", import.meta.url));
const { chromium } = createRequire(join(example, "package.json"))("playwright-core");
const [model, ...photos] = process.argv.slice(2);
const kinds = { ".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };

const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
  const file = path.startsWith("/model.onnx") ? model + path.slice("/model.onnx".length) : join(example, path);
  if (path.includes("..") || !existsSync(file)) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "content-type": kinds[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  const own = `http://127.0.0.1:${server.address().port}/`;
  const elsewhere = [];
  const faults = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(own) && !/^(blob|data):/.test(request.url())) elsewhere.push(request.url());
  });
  page.on("pageerror", (error) => faults.push(error.message));
  await page.goto(`${own}index.html`);
  await page.waitForFunction(() => document.getElementById("about").textContent !== "Loading the network…", null, { timeout: 120_000 });
  if (photos.length && (await page.locator("#photos").isEnabled())) {
    await page.setInputFiles("#photos", photos);
    await page.waitForFunction(
      (count) => [...document.querySelectorAll("#labels tr")].filter((row) => row.cells.length === 3).length === count,
      photos.length,
      { timeout: 300_000 },
    );
  }
  const rows = await page.$$eval("#labels tr", (all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
  if (process.env.PICTURE) await page.screenshot({ path: process.env.PICTURE, fullPage: true });
  console.log(JSON.stringify({ about: await page.textContent("#about"), rows, elsewhere, faults }));
} finally {
  await browser.close();
  server.close();
}
