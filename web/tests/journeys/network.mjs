import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

import { axe, box, journey, openPage, PYTHON } from "../harness.mjs";

const STATIC = resolve(import.meta.dirname, "../../../src/convatlas/explorer/static");
const node = (page, id) => page.locator(`g.node[data-id="${id}"]`);
const nodes = (page) => page.locator("g.node").count();

journey("start page: every network of the atlas, found by name, year and paper", async ({ page, open, t, assert, axe, lang }) => {
  await open();
  assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), t("start.title"));
  assert.equal(await page.evaluate(() => document.documentElement.lang), lang);
  await page.locator("tbody tr").first().waitFor();
  const all = await page.locator("tbody tr").count();
  assert.ok(all > 60);
  await page.getByRole("searchbox").fill("resnet50");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length < 10);
  const names = await page.locator("tbody th").allTextContents();
  assert.ok(names.length >= 2 && names.every((name) => name.includes("resnet50")));
  assert.match(page.url(), /q=resnet50/);
  await axe();
  await page.getByRole("link", { name: "resnet50", exact: true }).last().click();
  await node(page, "conv1").waitFor();
});

journey("start page: the subjects of the command line are cards", async ({ page, open, assert, t }) => {
  await open();
  const cards = await page.locator(".cards li").allTextContents();
  assert.equal(cards.length, 6);
  assert.ok(cards.some((text) => text.includes("Broken") && text.includes(t("start.kind.own"))));
  assert.ok(cards.some((text) => text.includes(t("start.kind.run"))));
  await page.locator(".cards a", { hasText: "vgg16" }).click();
  await node(page, "conv1_1").waitFor();
});

journey("network view: the graph is painted, with sizes inside the pane", async ({ page, open, assert, axe }) => {
  await open("network/resnet50");
  const pane = await box(page.locator(".pane"));
  const first = await box(node(page, "conv1"));
  assert.ok(first.x >= pane.x && first.x + first.width <= pane.x + pane.width);
  assert.ok(first.width > 100 && first.height > 25);
  const count = await nodes(page);
  assert.ok(count >= 20 && count <= 60, `${count} nodes`);
  const paths = await page.locator("path.edge").evaluateAll((all) => all.map((each) => each.getTotalLength()));
  assert.ok(paths.length >= count - 1 && paths.every((length) => length > 5));
  await axe();
});

journey("network view: a block opens and closes, and the address keeps it", async ({ page, open, assert }) => {
  await open("network/resnet50");
  const before = await nodes(page);
  await node(page, "block:conv2_x.0").click();
  await node(page, "conv2_x.0.conv1").waitFor();
  assert.ok((await nodes(page)) > before);
  const url = page.url();
  await page.reload();
  await node(page, "conv2_x.0.conv1").waitFor();
  assert.equal(page.url(), url);
  await node(page, "conv2_x.0.conv1").focus();
  await page.keyboard.press("-");
  await node(page, "block:conv2_x.0").waitFor();
  assert.equal(await nodes(page), before);
});

journey("network view: 1202 layers and Inception-ResNet open without a hang, never over 60 nodes", { languages: ["en"] }, async ({ page, open, assert, t }) => {
  for (const name of ["resnet1202_cifar", "inception_resnet_v2"]) {
    await open(`network/${name}`);
    await page.locator("g.node").first().waitFor();
    for (let step = 0; step < 6; step++) {
      await page.locator("g.node.block, g.node.group").nth(step % 3).press("Enter");
      const count = await nodes(page);
      assert.ok(count <= 61, `${name}: ${count} nodes`); // with the input
    }
    assert.equal(await page.getByRole("tab", { name: t("network.tab.overview") }).getAttribute("aria-selected"), "true");
  }
});

journey("network view: keyboard only, along the edges to a layer", async ({ page, open, assert, t }) => {
  await open("network/vgg16");
  await node(page, "conv1_1").waitFor();
  await page.getByRole("combobox", { name: t("network.search") }).focus();
  await page.keyboard.press("Tab"); // colour
  await page.keyboard.press("Tab"); // the graph: one stop
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("data-id")), "input");
  for (let step = 0; step < 3; step++) await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("data-id")), "conv1_2");
  await page.keyboard.press("ArrowUp");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("data-id")), "relu1_1");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.locator(".panel h2", { hasText: "conv1_2" }).waitFor();
  assert.match(page.url(), /layer=conv1_2/);
  const focused = await node(page, "conv1_2").evaluate((each) => each === document.activeElement);
  assert.ok(focused, "the focus stays on the node");
});

journey("network view: branches are reached with left and right", async ({ page, open, assert }) => {
  await open("network/googlenet");
  await node(page, "block:inception_3a").click();
  await page.waitForFunction(() => document.querySelectorAll("g.node").length > 20);
  const ids = await page.locator("g.node").evaluateAll((all) => all.map((each) => each.dataset.id).filter((id) => id.includes("inception_3a.")));
  assert.ok(ids.length >= 4);
  const seen = new Set();
  await page.locator(`g.node[data-id="${ids[0]}"]`).focus();
  for (let step = 0; step < 3; step++) {
    seen.add(await page.evaluate(() => document.activeElement.dataset.id));
    await page.keyboard.press("ArrowRight");
  }
  for (let step = 0; step < 5; step++) {
    seen.add(await page.evaluate(() => document.activeElement.dataset.id));
    await page.keyboard.press("ArrowLeft");
  }
  assert.ok(seen.size >= 3, [...seen].join());
});

journey("network view: wheel and buttons move and zoom the drawing", { languages: ["en"] }, async ({ page, open, assert }) => {
  await open("network/vgg16");
  const start = await node(page, "conv2_1").boundingBox();
  const pane = await box(page.locator(".pane"));
  await page.mouse.move(pane.x + 60, pane.y + 200);
  await page.mouse.wheel(0, 150);
  await page.waitForTimeout(100);
  const moved = await node(page, "conv2_1").boundingBox();
  assert.ok(Math.abs(start.y - moved.y - 150) < 30, `moved by ${start.y - moved.y}`);
  await page.getByRole("button", { name: /Zoom out|축소/ }).click();
  const smaller = await node(page, "conv2_1").boundingBox();
  assert.ok(smaller.width < moved.width * 0.9);
  await page.getByRole("button", { name: /^(Fit|전체 보기)$/ }).click();
  const last = await node(page, "fc8").boundingBox();
  const inside = await box(page.locator(".pane"));
  assert.ok(last.y + last.height <= inside.y + inside.height + 1);
});

journey("network view: search opens the layer that a closed block hides", async ({ page, open, assert, t }) => {
  await open("network/inception_resnet_v2");
  const field = page.getByRole("combobox", { name: t("network.search") });
  await field.fill("inception_resnet_b.7 conv7x1");
  await page.locator('[role="option"]').first().waitFor();
  await field.press("Enter");
  await page.locator(".panel h2", { hasText: "Inception_ResNet_B.7" }).waitFor();
  const shown = page.locator("g.node.selected");
  await shown.waitFor();
  const [pane, here] = [await box(page.locator(".pane")), await shown.boundingBox()];
  assert.ok(here.y >= pane.y && here.y + here.height <= pane.y + pane.height, "the layer is seen");
});

journey("network view: colour by receptive field follows the numbers of the table", async ({ page, open, assert, t }) => {
  await open("network/vgg16?colour=field");
  const widths = await page.locator("g.node.row .bar").evaluateAll((all) => all.map((each) => Number(each.getAttribute("width"))));
  assert.ok(widths.length > 30);
  for (let index = 1; index < widths.length; index++) assert.ok(widths[index] >= widths[index - 1] || widths[index] === 0, "the field grows with depth");
  await page.getByRole("combobox", { name: t("network.colour_by") }).selectOption("macs");
  assert.match(page.url(), /colour=macs/);
});

journey("network view: the table has the numbers of `show --json`, sorts, and is saved as CSV", async ({ page, open, assert, t, download }) => {
  await open("network/alexnet?tab=table");
  const shown = JSON.parse(execFileSync(PYTHON, ["-m", "convatlas", "show", "alexnet", "--json"], { encoding: "utf8" }));
  await page.locator("table tbody tr").first().waitFor();
  const cells = await page.locator("table tbody tr").evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent.trim())));
  const count = (value) => (value === null ? "–" : value.toLocaleString("en-US"));
  assert.deepEqual(cells.map((row) => [row[0], row[1], row[2], row[7], row[8]]), shown.rows.map((row) => [row.name, row.kind, row.output.join(" × "), count(row.params), count(row.macs)]));
  const file = await download(() => page.getByRole("button", { name: t("save.csv") }).click());
  assert.equal(file.name, "alexnet-layers.csv");
  const lines = file.content.toString("utf8").trim().split("\r\n");
  assert.equal(lines.length, shown.rows.length + 1);
  assert.ok(lines[1].startsWith(`${shown.rows[0].name},conv,96x55x55`));
  await page.locator("thead button", { hasText: t("network.metric.params") }).click();
  const first = await page.locator("tbody tr").first().locator("th").textContent();
  assert.equal(first.trim(), "fc6");
  await page.locator("tbody a", { hasText: "conv1" }).click();
  await page.locator(".panel h2", { hasText: "conv1" }).waitFor();
});

const TEN = ["lenet5", "zfnet", "nin_cifar", "vgg11", "googlenet", "inception_v3", "resnet34_a", "densenet_bc100_k12_cifar", "xception", "squeezenet1_0"];

journey("network view: every row of ten networks is printed as `show --json` has it", { languages: ["en"] }, async ({ page, open, assert }) => {
  const count = (value) => (value === null ? "–" : value.toLocaleString("en-US"));
  const side = (pair) => (pair === null ? "–" : pair[0] === pair[1] ? String(pair[0]) : pair.join(" × "));
  for (const name of TEN) {
    const shown = JSON.parse(execFileSync(PYTHON, ["-m", "convatlas", "show", name, "--json"], { encoding: "utf8", maxBuffer: 1 << 26 }));
    await open(`network/${name}?tab=table`);
    await page.locator("table tbody tr").first().waitFor();
    const cells = await page.locator("table tbody tr").evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent.trim())));
    const expected = shown.rows.map((row) => [
      row.name, row.kind, row.output.join(" × "), side(row.kernel), side(row.stride), side(row.padding), count(row.groups),
      count(row.params), count(row.macs), count(row.connections), side(row.receptive_field), side(row.jump),
    ]);
    assert.deepEqual(cells.map((row) => row.filter((_, index) => index !== 10)), expected, name); // 10: memory, in rounded units
  }
});

journey("network view: printed figures stand beside derived ones, departures with their reason", async ({ page, open, assert, t, axe }) => {
  await open("network/vgg16");
  const row = page.locator("tr", { hasText: "138 million" }).first();
  assert.match(await row.textContent(), /138,357,544/);
  assert.match(await row.textContent(), new RegExp(t("network.verdict.agrees")));
  assert.ok((await page.locator(".departures dt").count()) >= 1);
  await axe();
});

journey("a broken module of one's own: the failing layer is marked in the graph and named", async ({ page, open, assert, t, axe, lang }) => {
  await open("");
  await page.locator(".cards a", { hasText: "Broken" }).click();
  const failing = page.locator("g.node.failure");
  await failing.waitFor();
  const [pane, here] = [await box(page.locator(".pane")), await failing.boundingBox()];
  assert.ok(here.y >= pane.y && here.y + here.height <= pane.y + pane.height, "it is seen at once");
  const alert = await page.getByRole("alert").textContent();
  assert.ok(alert.includes("classifier.1") && alert.includes("800"), alert);
  await page.getByRole("tab", { name: t("network.tab.table") }).click();
  await page.locator("table tbody tr").nth(6).waitFor();
  assert.equal(await page.locator("table tbody tr").count(), 7);
  await axe();
});

journey("an unknown network: a message and a way back", async ({ page, open, assert, t, faults }) => {
  faults.expected.push(/404|400/);
  await open("network/resnet51");
  const alert = await page.getByRole("alert").textContent();
  assert.match(alert, /resnet51/);
  await page.getByRole("link", { name: t("app.home") }).click();
  await page.getByRole("heading", { level: 1, name: t("start.title") }).waitFor();
});

journey("the graph is saved as SVG and as PNG", async ({ page, open, assert, download, t }) => {
  await open("network/resnet50?colour=params");
  await node(page, "conv1").waitFor();
  const svg = await download(() => page.getByRole("button", { name: t("save.svg.of", { title: t("network.graph") }) }).click());
  const text = svg.content.toString("utf8");
  assert.equal(svg.name, "resnet50-graph.svg");
  assert.match(text, /^<svg[^>]+xmlns="http:\/\/www.w3.org\/2000\/svg"/);
  assert.ok(text.includes("conv1") && !/light-dark|color-mix|var\(|oklab/.test(text), "colours are plain");
  const png = await download(() => page.getByRole("button", { name: t("save.png.of", { title: t("network.graph") }) }).click());
  assert.equal(png.content.subarray(1, 4).toString(), "PNG");
  assert.ok(png.content.readUInt32BE(16) > 400, "as wide as on the screen");
  assert.ok(png.content.length > 10_000, "something is drawn");
});

journey("the time of every layer is measured when it is asked for: as colour, as a column and in the profile", async ({ page, open, assert, t, axe, download }) => {
  await open("network/lenet5?tab=table");
  await page.locator("table tbody tr").first().waitFor();
  assert.equal(await page.locator("thead th", { hasText: t("network.metric.time") }).count(), 0);
  await page.getByRole("button", { name: t("network.measure") }).click();
  await page.locator("thead th", { hasText: t("network.metric.time") }).waitFor();
  const file = await download(() => page.getByRole("button", { name: t("save.csv") }).click());
  const [head, ...lines] = file.content.toString("utf8").trim().split("\r\n");
  const column = head.split(",").indexOf("time_s");
  assert.ok(column > 0 && lines.every((line) => Number(line.split(",")[column]) >= 0), head);
  assert.ok(Number(lines[0].split(",")[column]) > 0, "a convolution takes time");
  await page.getByRole("combobox", { name: t("network.colour_by") }).selectOption("time");
  await page.locator(".measured", { hasText: "1" }).waitFor();
  const bar = await box(page.locator('g.node[data-id="C3"] rect.bar'));
  assert.ok(bar.width > 1, "the bar of C3");
  assert.match(await page.locator('g.node[data-id="C3"] .amount').textContent(), /\d (µs|ms|s)/);
  await axe();
  await page.locator('g.node[data-id="C3"]').click();
  await page.locator(".panel dt", { hasText: t("network.metric.time") }).waitFor();
});

journey("language and colours are switched on the page, and the address keeps the language", async ({ page, open, assert, lang, t }) => {
  await open("network/vgg16?layer=conv5_3");
  await page.locator(".panel h2").waitFor();
  const other = lang === "ko" ? "en" : "ko";
  await page.getByRole("button", { name: t("nav.language") }).click();
  await page.waitForFunction((wanted) => document.documentElement.lang === wanted, other);
  assert.match(page.url(), new RegExp(`lang=${other}`));
  await page.locator(".steps dt", { hasText: other === "ko" ? "파라미터" : "params" }).first().waitFor(); // Python's texts follow
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.locator("header select").selectOption("dark");
  assert.notEqual(await ground(), light);
  await page.reload();
  await page.locator(".panel h2").waitFor();
  assert.notEqual(await ground(), light);
});

journey("skip link, headings and the browser's history", async ({ page, open, assert, t }) => {
  await open("");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), t("app.skip"));
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  await page.locator("tbody a", { hasText: "alexnet" }).first().click();
  await node(page, "conv1").waitFor();
  await node(page, "conv1").click();
  await page.locator(".panel h2", { hasText: "conv1" }).waitFor();
  await page.goBack();
  await page.getByRole("tab", { name: t("network.tab.overview"), selected: true }).waitFor();
  await page.goBack();
  await page.getByRole("heading", { level: 1, name: t("start.title") }).waitFor();
});

journey("the bundle is at most 400 KB gzipped and names no other host", { languages: ["en"] }, async ({ assert }) => {
  const files = readdirSync(STATIC).map((name) => join(STATIC, name));
  const size = files.reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0);
  assert.ok(size <= 400 * 1000, `${size} bytes`);
  for (const file of files) {
    const hosts = [...readFileSync(file, "utf8").matchAll(/https?:\/\/([\w.-]+)/g)].map((match) => match[1]);
    assert.deepEqual([...new Set(hosts)].filter((host) => !["www.w3.org", "svelte.dev"].includes(host)), [], file);
    assert.ok(statSync(file).size > 0);
  }
});

journey("a page saved with --save opens from disk with the network cut", async ({ browser, shop, lang, t, assert }) => {
  const file = join(shop.folder, "lenet5.html");
  if (!existsSync(file)) execFileSync(PYTHON, ["-m", "convatlas", "explore", "lenet5", "--save", file], { stdio: "ignore" });
  assert.ok(statSync(file).size < 5_000_000);
  const { page, context, faults } = await openPage(browser, { lang, offline: true });
  await page.goto(`${pathToFileURL(file).href}#/?lang=${lang}`);
  await page.locator('g.node[data-id="C3"]').press("Enter");
  await page.locator(".panel h2", { hasText: "C3" }).waitFor();
  await page.locator("rect[data-field]").waitFor();
  assert.match(await page.locator("svg.field-figure").textContent(), /r = 14/);
  const [field, image] = [await box(page.locator("rect[data-field]")), await box(page.locator("svg.field-figure image").first())];
  assert.ok(Math.abs(field.width / (image.width / 32) - 14) < 0.5);
  await page.locator("svg.channels image").waitFor();
  await page.getByRole("button", { name: t("layer.compute") }).click(); // of the methods in the file
  await page.locator("svg.attribution").first().waitFor();
  await page.getByRole("combobox", { name: t("network.colour_by") }).selectOption("time");
  await page.locator(".measured", { hasText: "1" }).waitFor(); // measured where the file was made
  await axe(page);
  await page.getByRole("tab", { name: t("network.tab.image") }).click();
  await page.getByRole("heading", { name: t("image.probabilities") }).waitFor();
  await page.getByRole("button", { name: t("nav.language") }).click();
  await page.waitForFunction((before) => document.documentElement.lang !== before, lang);
  await page.getByRole("heading", { name: lang === "ko" ? "Preparation, step by step" : "전처리 과정" }).waitFor();
  assert.deepEqual(faults, { errors: [], external: [], expected: [] });
  await context.close();
});
