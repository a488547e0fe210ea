// Journeys through the real page: a real server, a real browser, no network.
//
//   npm run journeys [-- --file layer] [--only TEXT] [--language en|ko] [--headed]
//
// A file in journeys/ calls `journey(name, options, async (world) => ...)`. Every journey runs in both languages. It fails when an
// assertion fails, and also when the page wrote an error to the console or asked for anything outside its own server.
// PYTHON names the interpreter that has convatlas (python3), CHROMIUM the browser (/usr/bin/chromium).
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { chromium } from "playwright-core";

const HERE = import.meta.dirname;
export const PYTHON = process.env.PYTHON ?? "python3";
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const LANGUAGES = ["en", "ko"];
export const texts = Object.fromEntries(LANGUAGES.map((lang) => [lang, JSON.parse(readFileSync(resolve(HERE, `../src/locale/${lang}.json`), "utf8"))]));

/** Images that other programs made badly; a folder that a checkout may not have. */
export const ODD_IMAGES = [process.env.CONVATLAS_ODD_IMAGES, resolve(HERE, "../../../shared/data/odd-images")].find((each) => each && existsSync(each));

// ------------------------------------------------------------ what the journeys work with

/** A folder with a small run, a module of one's own, one that is broken, and files that are no images. Removed at the end. */
export function workshop() {
  const folder = mkdtempSync(join(tmpdir(), "convatlas-journeys-"));
  const python = (...args) => execFileSync(PYTHON, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env: environment() });
  python("-m", "convatlas", "train", "lenet5@modern", "--epochs", "3", "--out", "runs");
  const run = readdirSync(join(folder, "runs")).find((name) => existsSync(join(folder, "runs", name, "config.toml")));
  writeFileSync(join(folder, "own.py"), OWN_MODULES);
  mkdirSync(join(folder, "files"));
  writeFileSync(join(folder, "files", "notes.jpg"), "These are notes and no image.\n");
  writeFileSync(join(folder, "files", "empty.png"), "");
  python("-c", "import sys; from sklearn.datasets import load_sample_image; from PIL import Image; image = Image.fromarray(load_sample_image('flower.jpg')); image.save('files/flower.jpg'); image.resize((64, 40)).save('files/small.png'); data = open('files/flower.jpg', 'rb').read(); open('files/truncated.jpg', 'wb').write(data[: len(data) // 3])");
  return { folder, run: `runs/${run}`, file: (name) => join(folder, "files", name), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

const OWN_MODULES = `
from torch import nn


class Good(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


class Broken(nn.Module):
    """The fully connected layer expects the features of a 32 x 32 image."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(32 * 5 * 5, 10))

    def forward(self, images):
        return self.classifier(self.features(images))
`;

const environment = () => ({ ...process.env, OMP_NUM_THREADS: process.env.OMP_NUM_THREADS ?? "2" });

/** `convatlas explore` in a folder, until its address is printed. */
export async function serve(args, folder) {
  const started = performance.now();
  const child = spawn(PYTHON, ["-m", "convatlas", "explore", "--no-browser", "--port", "0", ...args], { cwd: folder, env: environment() });
  let output = "";
  const address = await new Promise((done, fail) => {
    const read = (text) => {
      output += text;
      const found = /http:\/\/127\.0\.0\.1:\d+\/[\w-]+\//.exec(output);
      if (found) done(found[0]);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("exit", (code) => fail(new Error(`the server ended with ${code}:\n${output}`)));
    setTimeout(() => fail(new Error(`the server printed no address:\n${output}`)), 60_000).unref();
  });
  return { address, started, output: () => output, stop: () => new Promise((done) => { child.on("exit", done); child.kill("SIGINT"); setTimeout(() => child.kill("SIGKILL"), 5000).unref(); }) };
}

export const launch = (options = {}) => chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"], ...options });

// ------------------------------------------------------------ journeys

const journeys = [];

/** Register a journey. Options: languages, scheme, width, height, reducedMotion; `skip`: a reason. */
export function journey(name, options, walk) {
  if (typeof options === "function") [options, walk] = [{}, options];
  journeys.push({ name, options, walk });
}

/** A page that notes everything it should not do. */
export async function openPage(browser, { lang = "en", scheme = "light", width = 1280, height = 860, reducedMotion = "no-preference", permissions = ["camera"], offline = false } = {}) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: scheme, locale: lang === "ko" ? "ko-KR" : "en-US", reducedMotion, acceptDownloads: true, offline,
  });
  if (permissions.length) await context.grantPermissions(permissions).catch(() => undefined);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // a busy machine runs VGG-16 slowly
  const faults = { errors: [], external: [], expected: [] };
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    const text = `${message.text()} ${message.location().url}`;
    if (!faults.expected.some((pattern) => pattern.test(text))) faults.errors.push(text);
  });
  page.on("pageerror", (error) => faults.errors.push(error.stack ?? error.message));
  await context.route("**/*", (route) => {
    const url = new URL(route.request().url());
    if (["data:", "blob:", "file:"].includes(url.protocol) || url.hostname === "127.0.0.1") return route.continue();
    faults.external.push(url.href);
    return route.abort();
  });
  return { page, context, faults };
}

/** Violations of WCAG A and AA and of good practice in the page as it is now. */
export async function axe(page) {
  if (!(await page.evaluate("typeof axe !== 'undefined'"))) await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  assert.deepEqual(violations.map((each) => `${each.id}: ${each.nodes.map((node) => `${node.target} ${node.failureSummary}`).slice(0, 3).join(" | ")}`), []);
}

/** Nothing is wider than the window. */
export async function fits(page) {
  const [inner, scroll] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
  assert.ok(scroll <= inner, `the page is ${scroll} px wide in a window of ${inner} px`);
}

/** The box of an element in CSS pixels, which must be visible and have an area. */
export async function box(locator) {
  await locator.waitFor({ state: "attached" });
  await locator.scrollIntoViewIfNeeded();
  const found = await locator.boundingBox();
  assert.ok(found && found.width > 0 && found.height > 0, "it has no area");
  return found;
}

export async function download(page, press) {
  const [file] = await Promise.all([page.waitForEvent("download"), press()]);
  return { name: file.suggestedFilename(), content: readFileSync(await file.path()) };
}

export async function main() {
  const option = (name) => { const at = process.argv.indexOf(name); return at < 0 ? undefined : process.argv[at + 1]; };
  const only = option("--only");
  const shop = workshop();
  const server = await serve(["vgg16", "resnet50", "lenet5", shop.run, "own.py:Good", "own.py:Broken", "--out", "runs"], shop.folder);
  const browser = await launch({ headless: !process.argv.includes("--headed") });
  const files = readdirSync(join(HERE, "journeys")).filter((name) => name.endsWith(".mjs") && (!option("--file") || name === `${option("--file")}.mjs`)).sort();
  for (const file of files) await import(pathToFileURL(join(HERE, "journeys", file)).href);
  const chosen = journeys.filter((each) => !only || each.name.includes(only));
  const walked = async (lang, name, options, walk) => {
    const begun = performance.now();
    const { page, context, faults } = await openPage(browser, { lang, ...options });
    const t = (key, values = {}) => {
      assert.ok(key in texts[lang], `no text ${key}`);
      return texts[lang][key].replace(/\{(\w+)\}/g, (_, each) => String(values[each] ?? ""));
    };
    const world = {
      page, context, lang, t, assert, server, shop, browser, faults,
      open: async (route = "") => {
        await page.goto(`${server.address}#/${route}${route.includes("?") ? "&" : "?"}lang=${lang}`);
        await page.locator("main h1").first().waitFor();
      },
      axe: () => axe(page), fits: () => fits(page), box, download: (press) => download(page, press),
    };
    try {
      await walk(world);
      assert.deepEqual(faults.errors, [], "errors in the console");
      assert.deepEqual(faults.external, [], "requests that leave the machine");
      console.log(`ok   ${lang} ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
      return undefined;
    } catch (error) {
      console.log(`FAIL ${lang} ${name}\n${String(error.stack ?? error).replace(/^/gm, "     ")}\n     console: ${faults.errors.join("\n")}`);
      if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, `fail-${lang}-${name.replace(/\W+/g, "-").slice(0, 60)}.png`) }).catch(() => undefined);
      return error;
    } finally {
      await context.close();
    }
  };
  let failed = 0;
  let ran = 0;
  const started = performance.now();
  try {
    for (const { name, options, walk } of chosen) {
      for (const lang of option("--language") ? [option("--language")] : (options.languages ?? LANGUAGES)) {
        if (options.skip) {
          console.log(`skip ${lang} ${name}: ${options.skip}`);
          continue;
        }
        // on a busy machine a walk may miss a moment: it is walked once more, and both outcomes are printed
        let error = await walked(lang, name, options, walk);
        if (error) error = await walked(lang, name, options, walk);
        if (error) failed++;
        ran++;
      }
    }
  } finally {
    await browser.close();
    await server.stop();
    shop.remove();
  }
  console.log(`${chosen.length} journeys, ${ran} walks, ${failed} failed, ${((performance.now() - started) / 1000).toFixed(0)} s`);
  process.exitCode = failed || ran === 0 ? 1 : 0;
}
