import { execFileSync, spawn } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { box, journey, PYTHON } from "../harness.mjs";

const environment = { ...process.env, OMP_NUM_THREADS: "1" };
const convatlas = (shop, ...args) => execFileSync(PYTHON, ["-m", "convatlas", ...args], { cwd: shop.folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env: environment });
const folders = (shop) => readdirSync(join(shop.folder, "runs")).filter((name) => existsSync(join(shop.folder, "runs", name, "config.toml")));
const trained = (shop) => folders(shop).find((name) => name.startsWith("lenet5@modern"));
const address = (name) => encodeURIComponent(name);

/** A comparison of two networks, made once. */
function compared(shop) {
  const found = () => readdirSync(join(shop.folder, "runs")).find((name) => existsSync(join(shop.folder, "runs", name, "comparison.json")));
  if (!found()) convatlas(shop, "compare", "mlp", "lenet5", "--epochs", "2", "--threads", "1", "--out", "runs");
  return found();
}

journey("runs: the list is searched and sorted, and leads to a run", async ({ page, open, t, assert, axe, fits, shop }) => {
  compared(shop);
  await open("runs");
  await page.locator("tbody tr").nth(2).waitFor();
  await axe();
  await page.getByRole("button", { name: t("runs.model") }).click();
  const models = await page.locator("tbody tr td:nth-child(2)").allTextContents();
  assert.deepEqual(models, [...models].sort((a, b) => a.localeCompare(b)));
  await page.getByRole("searchbox").fill("modern digits");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  assert.match(page.url(), /search=modern/);
  await page.getByRole("link", { name: trained(shop) }).click();
  await page.getByRole("heading", { level: 1, name: trained(shop) }).waitFor();
  await page.goBack();
  assert.equal(await page.getByRole("searchbox").inputValue(), "modern digits");
  await fits();
});

journey("runs: curves are drawn from the journal, and keys read their values", async ({ page, open, t, assert, axe, shop }) => {
  await open(`runs/run/${address(trained(shop))}`);
  await page.locator("path.curve").first().waitFor();
  const lines = readFileSync(join(shop.folder, "runs", trained(shop), "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  const epochs = lines.filter((line) => line.event === "epoch");
  const rows = await page.locator("tbody tr").count();
  assert.equal(rows, epochs.length);
  const chart = page.getByRole("group", { name: t("runs.chart.keys", { title: t("runs.loss") }) });
  const curves = await chart.locator("path.curve").evaluateAll((all) => all.map((each) => ({ width: each.getBBox().width })));
  assert.equal(curves.length, 2);
  for (const curve of curves) assert.ok(curve.width > 100, `a curve of ${curve.width} px`);
  // of two losses the larger lies higher
  const first = await chart.locator("path.curve").evaluateAll((all) => all.map((each) => each.getPointAtLength(0).y));
  assert.equal(first[0] < first[1], epochs[0].train_loss > epochs[0].val_loss);
  await chart.focus();
  await page.keyboard.press("Home");
  await page.getByText(`${t("runs.epoch", { n: 1 })}: `, { exact: false }).first().waitFor();
  assert.match(await page.locator(".reading").first().textContent(), new RegExp(epochs[0].val_loss.toPrecision(3)));
  await axe();
});

journey("runs: a training that goes on elsewhere is followed, and one that is cut off goes on", { languages: ["en"] }, async ({ page, open, t, assert, shop, faults }) => {
  faults.expected.push(/run\/events/);
  const before = folders(shop);
  const training = spawn(PYTHON, ["-m", "convatlas", "train", "lenet5", "--epochs", "25", "--out", "runs", "--threads", "1"], { cwd: shop.folder, env: environment });
  try {
    let name;
    while (!(name = folders(shop).find((each) => !before.includes(each)))) await page.waitForTimeout(100);
    const journal = join(shop.folder, "runs", name, "metrics.jsonl");
    while (!existsSync(journal) || !readFileSync(journal, "utf8").includes("\n")) await page.waitForTimeout(50);
    await open(`runs/run/${address(name)}`);
    const epochs = page.locator('[data-fact="epochs"]');
    await page.waitForFunction(() => /^\d+ \/ 25$/.test(document.querySelector('[data-fact="epochs"]')?.textContent ?? ""));
    const early = Number((await epochs.textContent()).split(" ")[0]);
    await page.waitForFunction((seen) => Number(document.querySelector('[data-fact="epochs"]').textContent.split(" ")[0]) > seen, early);
    assert.ok(early < 25, "the page saw it while it went on");
    await page.locator('[data-fact="test"]').waitFor({ timeout: 60_000 });
    assert.equal(await epochs.textContent(), "25 / 25");
    await page.getByText(t("runs.state.finished")).waitFor();

    // its journal again, cut off after five epochs: the page shows them, and the sixth when it is written
    const copy = `${name}-cut`;
    execFileSync("cp", ["-r", join(shop.folder, "runs", name), join(shop.folder, "runs", copy)]);
    const lines = readFileSync(journal, "utf8").split("\n");
    const cut = join(shop.folder, "runs", copy, "metrics.jsonl");
    writeFileSync(cut, `${lines.slice(0, 5).join("\n")}\n`);
    await open(`runs/run/${address(copy)}`);
    await page.waitForFunction(() => document.querySelector('[data-fact="epochs"]')?.textContent === "5 / 25");
    appendFileSync(cut, `${lines[5]}\n`);
    await page.waitForFunction(() => document.querySelector('[data-fact="epochs"]').textContent === "6 / 25");
    writeFileSync(cut, `${lines.slice(0, 3).join("\n")}\n`);
    await page.waitForFunction(() => document.querySelector('[data-fact="epochs"]').textContent === "3 / 25");
    assert.equal(await page.locator("tbody tr").count(), 3);
    execFileSync("rm", ["-r", join(shop.folder, "runs", copy)]);
  } finally {
    training.kill();
  }
});

journey("runs: a cell of the confusion matrix opens the images behind it", async ({ page, open, t, assert, axe, shop }) => {
  await open(`runs/run/${address(trained(shop))}/confusion`);
  const grid = page.getByRole("grid");
  await grid.waitFor({ timeout: 60_000 });
  assert.equal(await grid.getByRole("row").count(), 10);
  await axe();
  const cells = await grid.locator("[data-cell]").evaluateAll((all) => all.map((each) => ({ cell: each.dataset.cell, text: each.querySelector("text")?.textContent ?? "0" })));
  const wrong = cells.filter(({ cell }) => cell.split(",")[0] !== cell.split(",")[1]).sort((a, b) => Number(b.text) - Number(a.text))[0];
  assert.ok(Number(wrong.text) > 0);
  await grid.locator(`[data-cell="${wrong.cell}"]`).click();
  await page.waitForURL(/cell=/);
  await page.locator(".images li").first().waitFor();
  assert.equal(await page.locator(".images li").count(), Number(wrong.text));
  const [actual, predicted] = wrong.cell.split(",");
  for (const text of await page.locator(".images .what").allTextContents()) assert.match(text, new RegExp(`${actual}[^]*${predicted}`));
  const picture = await page.locator(".images img").first().evaluate((image) => [image.naturalWidth, image.naturalHeight]);
  assert.ok(picture[0] > 0 && picture[1] > 0);
  await axe();
  // by keys: from the first cell one to the right
  await grid.locator(`[data-cell="${wrong.cell}"]`).focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("data-cell")), `${actual},1`);
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(`cell=${actual}(%2C|,)1`));
  await page.getByLabel(t("runs.confusion.show")).selectOption("rows");
  await page.waitForURL(/rows=yes/);
  const row = await grid.getByRole("row").nth(Number(actual)).locator("text").allTextContents();
  const sum = row.reduce((total, text) => total + Number(text), 0);
  assert.ok(Math.abs(sum - 100) <= row.length, `a row of ${sum} %`); // rounded to whole percent
});

journey("runs: mistakes are relabelled and excluded in lists, exported as CSV, and no file changes", async ({ page, open, t, assert, axe, download, shop }) => {
  const name = trained(shop);
  const before = execFileSync("sh", ["-c", `cd runs/'${name}' && cat * | cksum`], { cwd: shop.folder, encoding: "utf8" });
  await open(`runs/run/${address(name)}/mistakes`);
  const cards = page.locator(".images li");
  await cards.nth(1).waitFor({ timeout: 60_000 });
  const probabilities = (await page.locator(".images .what").allTextContents()).map((text) => Number(/([\d.]+) %/.exec(text)[1]));
  assert.deepEqual(probabilities, [...probabilities].sort((a, b) => b - a)); // the surest first
  await axe();
  const files = await page.locator(".images .file").allTextContents();
  const label = cards.nth(0).getByRole("combobox");
  const old = await label.inputValue();
  const wanted = old === "3" ? "4" : "3";
  await label.selectOption(wanted);
  await cards.nth(1).getByRole("button", { name: t("runs.image.exclude.of", { file: files[1] }) }).click();
  await page.getByRole("button", { name: t("runs.image.open", { file: files[0] }) }).click();
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: `${t("runs.tab.lists")} (2)` }).click();
  await page.locator("tbody tr").nth(1).waitFor();
  await axe();
  const relabel = await download(() => page.getByRole("button", { name: t("runs.lists.relabel", { n: 1 }) }).click());
  assert.equal(relabel.content.toString().replace("\ufeff", "").split("\r\n")[0], "file,label,old_label,predicted,probability");
  assert.ok(relabel.content.toString().includes(`${files[0]},${wanted},${old},`));
  const exclude = await download(() => page.getByRole("button", { name: t("runs.lists.exclude", { n: 1 }) }).click());
  assert.ok(exclude.content.toString().includes(`${files[1]},`));
  await page.reload(); // the lists are kept in this browser
  await page.locator("tbody tr").nth(1).waitFor();
  await page.getByRole("button", { name: t("runs.lists.clear") }).click();
  await page.getByText(t("runs.lists.none")).waitFor();
  assert.equal(execFileSync("sh", ["-c", `cd runs/'${name}' && cat * | cksum`], { cwd: shop.folder, encoding: "utf8" }), before);
});

journey("runs: the reliability diagram's bars are as high as its table says", async ({ page, open, assert, axe, shop }) => {
  await open(`runs/run/${address(trained(shop))}/reliability`);
  await page.locator("[data-bin]").first().waitFor({ timeout: 60_000 });
  const rows = await page.locator("tbody tr").evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent.trim())));
  const accuracies = rows.map((row) => row[4]).filter((text) => text !== "–").map((text) => parseFloat(text));
  const heights = await page.locator("[data-bin]").evaluateAll((all) => all.map((each) => each.getBBox().height));
  assert.equal(heights.length, accuracies.length);
  const full = Math.max(...heights) / (Math.max(...accuracies) / 100);
  heights.forEach((height, index) => assert.ok(Math.abs(height / full - accuracies[index] / 100) < 0.01));
  assert.match(await page.locator(".ece").textContent(), /^ECE \d+\.\d %$/);
  await axe();
});

journey("runs: the recommendation of a comparison changes with its budget, by typing, by dragging and by keys", async ({ page, open, t, assert, axe, shop, faults }) => {
  faults.expected.push(/recommend/);
  const name = compared(shop);
  await open(`runs/comparison/${name}?cost=size`);
  await page.getByText(t("runs.recommended", { model: "mlp" })).waitFor({ timeout: 60_000 }); // the more accurate one
  await axe();
  const field = page.getByLabel(t("runs.budget"), { exact: true });
  await field.fill("size<=300kB");
  await field.press("Enter");
  await page.getByText(t("runs.recommended", { model: "lenet5" })).waitFor();
  assert.match(decodeURIComponent(page.url()), /budget=size<=300kB/);
  const place = (model) => box(page.locator(`[data-model="${model}"] .mark`));
  const line = page.getByRole("slider");
  const rule = await box(page.locator(".rule"));
  assert.ok((await place("lenet5")).x < rule.x && rule.x < (await place("mlp")).x, "the line lies between the two");
  await axe();
  // drag it beyond the larger network
  const [from, to] = [await box(page.locator(".grip")), await place("mlp")];
  await page.mouse.move(from.x + from.width / 2, from.y + 5);
  await page.mouse.down();
  await page.mouse.move(to.x + 40, from.y + 5, { steps: 5 });
  await page.mouse.up();
  await page.getByText(t("runs.recommended", { model: "mlp" })).waitFor();
  const dragged = new URLSearchParams(page.url().split("?")[1]).get("budget");
  assert.match(dragged, /^size<=1\.\d+MB$/);
  // and by keys below both
  await line.focus();
  await page.keyboard.press("Home");
  await page.getByText(t("runs.recommended.none")).waitFor();
  await field.fill("size<=300");
  await field.press("Enter");
  await page.getByRole("status").filter({ hasText: "size<=20MB" }).waitFor(); // how a budget is written
});

for (const part of ["", "run", "run/confusion", "run/mistakes", "run/reliability", "comparison"])
  journey(`runs on a phone: ${part || "list"}`, { width: 390, height: 800, scheme: part.length % 2 ? "dark" : "light", languages: ["ko"] }, async ({ page, open, axe, fits, shop }) => {
    const [kind, tab] = part.split("/");
    await open(kind === "run" ? `runs/run/${address(trained(shop))}/${tab ?? "curves"}` : kind ? `runs/comparison/${compared(shop)}` : "runs");
    await page.locator("tbody tr, .images li, [data-cell]").first().waitFor({ timeout: 60_000 });
    await fits();
    await axe();
  });
