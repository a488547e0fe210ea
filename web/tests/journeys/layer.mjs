import { execFileSync } from "node:child_process";

import { box, journey, PYTHON } from "../harness.mjs";

const figure = (page, title) => page.locator("figure", { has: page.getByRole("heading", { name: title, exact: true }) });
const number = (locator, name) => locator.evaluate((each, attribute) => Number(each.getAttribute(attribute)), name);

journey("vgg16, conv5_3: r = 196, and the box of 196 px lies on the image", async ({ page, open, assert, t, axe }) => {
  await open("network/vgg16");
  await page.locator('g.node[data-id="conv5_3"]').press("Enter");
  await page.locator(".panel h2", { hasText: "conv5_3" }).waitFor();
  assert.match(await page.locator(".steps").textContent(), /196/);
  const drawing = page.locator("svg.field-figure");
  await drawing.waitFor();
  assert.match(await drawing.textContent(), /r = 196/);
  const [field, image] = [await box(drawing.locator("rect[data-field]")), await box(drawing.locator("image").first())];
  const scale = image.width / 224; // screen pixels of one pixel of the input
  assert.ok(scale > 0.5, "the image is large enough to see");
  assert.ok(Math.abs(field.width / scale - 196) < 3 && Math.abs(field.height / scale - 196) < 3, `${field.width / scale} px`);
  // position (7, 7) of 14: the jump is 16, the field of position 0 begins at -90
  assert.ok(Math.abs((field.x - image.x) / scale - (-90 + 7 * 16)) < 3, `${(field.x - image.x) / scale} px from the left`);
  const shown = await drawing.locator("image").first().evaluate(async (each) => {
    const picture = new Image();
    picture.src = each.getAttribute("href");
    await picture.decode();
    const canvas = new OffscreenCanvas(16, 16).getContext("2d");
    canvas.drawImage(picture, 0, 0, 16, 16);
    return new Set(canvas.getImageData(0, 0, 16, 16).data).size;
  });
  assert.ok(shown > 20, "the image is not empty");
  await axe();
});

journey("the lines of `explain` with their numbers, as formulas", async ({ page, open, assert, lang, t, download }) => {
  await open("network/alexnet?layer=conv1");
  await page.locator(".steps dd").first().waitFor();
  const explained = execFileSync(PYTHON, ["-m", "convatlas", "--lang", lang, "explain", "alexnet", "conv1"], { encoding: "utf8" });
  const results = await page.locator(".steps .result span:last-child").allTextContents();
  assert.ok(results.length >= 8);
  for (const result of results) assert.ok(explained.includes(`= ${result}`), `${result} is in the output of explain`);
  for (const name of await page.locator(".steps dt").allTextContents()) assert.ok(explained.includes(name), name);
  const fraction = await box(page.locator(".steps mfrac").first());
  assert.ok(fraction.height > 15, "the fraction is drawn");
  const file = await download(() => page.getByRole("button", { name: t("save.csv") }).first().click());
  assert.match(file.content.toString("utf8"), /34,944/);
});

journey("the map's arrow keys move the receptive field by the jump, and the address restores the position", async ({ page, open, assert, t }) => {
  await open("network/lenet5?layer=S2");
  const map = page.locator("svg.map");
  await map.waitFor();
  const field = page.locator("rect[data-field]");
  const before = [await number(field, "x"), await number(field, "y")];
  const size = await number(field, "width");
  await map.focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.waitForFunction((y) => Number(document.querySelector("rect[data-field]").getAttribute("y")) !== y, before[1]);
  assert.deepEqual([await number(field, "x"), await number(field, "y")], [before[0] + 2, before[1] + 4]);
  assert.equal(size, 6);
  const here = page.locator("rect[data-here]");
  const at = [await number(here, "x"), await number(here, "y")];
  await page.reload();
  await map.waitFor();
  assert.deepEqual([await number(here, "x"), await number(here, "y")], at);
  const area = await box(map);
  await page.mouse.move(area.x + 2, area.y + 2); // the pointer at the first position
  await page.waitForFunction(() => document.querySelector("rect[data-here]").getAttribute("x") === "0");
  assert.deepEqual([await number(field, "x"), await number(field, "y")], [0, 0]);
});

journey("feature maps: every channel with its minimum and maximum, one chosen by click and by keys", async ({ page, open, assert, t, axe, download }) => {
  await open("network/lenet5?layer=C1");
  const sheet = page.locator("svg.channels");
  await sheet.waitFor();
  await figure(page, t("layer.channels", { n: 6 })).waitFor();
  const area = await box(sheet);
  await page.mouse.click(area.x + area.width * 0.9, area.y + area.height * 0.25); // third of the first row
  await figure(page, t("layer.map", { channel: 2 })).waitFor();
  assert.match(page.url(), /channel=2/);
  await sheet.focus();
  await page.keyboard.press("ArrowLeft");
  await figure(page, t("layer.map", { channel: 1 })).waitFor();
  const mark = page.locator("rect[data-channel]");
  assert.equal(await number(mark, "x"), await number(mark, "width"));
  await page.locator("details summary", { hasText: t("layer.channels_table") }).click();
  const rows = await page.locator("details table tbody tr").count();
  assert.equal(rows, 6);
  await axe();
  const svg = await download(() => page.getByRole("button", { name: t("save.svg.of", { title: t("layer.channels", { n: 6 }) }) }).click());
  assert.match(svg.content.toString("utf8"), /data:image\/png;base64/);
});

journey("channels that are zero everywhere are marked", async ({ page, open, assert, t }) => {
  await open("network/resnet20_cifar?layer=relu");
  await page.locator("svg.channels").waitFor();
  const marks = await page.locator("svg.channels .dead").count();
  const caption = await page.locator("figure", { has: page.locator("svg.channels") }).locator("figcaption").textContent();
  assert.equal(caption.includes(t("layer.channels_dead", { n: marks, all: 16 })), marks > 0);
});

journey("one value worked out: the window's products and the bias add up to the value", async ({ page, open, assert, t, lang }) => {
  await open("network/lenet5?layer=C1&channel=0&y=10&x=12");
  const window = page.locator("rect[data-window]");
  await window.waitFor();
  assert.deepEqual([await number(window, "width"), await number(window, "height")], [5, 5]);
  const total = (await page.locator("p.total").textContent()).replaceAll("−", "-");
  const [left, right] = total.split("=");
  const parts = [...left.matchAll(/-?\d+(?:\.\d+)?(?:e-?\d+)?/g)].map((match) => Number(match[0]));
  const sum = parts.reduce((all, each) => all + each, 0);
  assert.ok(Math.abs(sum - Number(right.trim())) < 0.01 * Math.max(1, Math.abs(sum)), total);
  const at = await page.locator(".kernel").evaluate((each) => each.style.transform);
  assert.match(at, /translate\(12px, 10px\)/);
});

journey("the kernel slides: by keys, and by itself until it is paused", async ({ page, open, assert, t }) => {
  await open("network/lenet5?layer=C1&channel=0&y=0&x=0");
  const window = page.locator(".kernel");
  await window.waitFor();
  const place = () => window.evaluate((each) => each.style.transform);
  const player = page.getByRole("toolbar", { name: t("layer.window_steps") });
  await player.getByRole("button", { name: t("layer.window_on") }).focus();
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => document.querySelector(".kernel").style.transform.includes("translate(1px, 0px)"));
  await page.keyboard.press("ArrowDown");
  await page.waitForFunction(() => document.querySelector(".kernel").style.transform.includes("translate(1px, 1px)"));
  await player.getByRole("button", { name: t("layer.play") }).click();
  await page.waitForFunction(() => document.querySelector(".kernel").style.transform.includes("translate(3px, 1px)"));
  await player.getByRole("button", { name: t("layer.pause") }).click();
  await page.waitForTimeout(300);
  const stopped = await place();
  await page.waitForTimeout(900);
  assert.equal(await place(), stopped);
});

journey("with reduced motion the kernel only steps", { reducedMotion: "reduce" }, async ({ page, open, assert, t }) => {
  await open("network/lenet5?layer=C1&channel=0&y=0&x=0");
  await page.locator(".kernel").waitFor();
  assert.equal(await page.getByRole("button", { name: t("layer.play") }).count(), 0);
  assert.equal(await page.locator(".kernel.moving").count(), 0);
  await page.getByRole("button", { name: t("layer.window_on") }).click();
  await page.waitForFunction(() => document.querySelector(".kernel").style.transform.includes("translate(1px, 0px)"));
});

journey("1x1 convolution, pooling and fully connected layer: their values, each in its own way", async ({ page, open, assert, t }) => {
  await open("network/squeezenet1_1?layer=fire2.squeeze1x1");
  await page.locator(".share").first().waitFor();
  assert.ok((await page.locator(".share").count()) >= 8);
  await open("network/vgg16?layer=pool1&y=3&x=5");
  const window = page.locator("rect[data-window]");
  await window.waitFor();
  assert.deepEqual([await number(window, "width"), await number(window, "height")], [2, 2]);
  assert.match(await page.locator(".kernel").evaluate((each) => each.style.transform), /translate\(10px, 6px\)/);
  await open("network/lenet5?layer=F6");
  await page.locator(".share").first().waitFor();
  assert.equal(await page.locator("svg rect.here").count(), 1);
});

journey("filters of the first layer in colour, and the effective receptive field", async ({ page, open, assert, t, axe }) => {
  await open("network/resnet20_cifar?layer=conv1&field=effective");
  await figure(page, t("layer.filters")).locator("svg image").waitFor();
  const caption = await figure(page, t("layer.filters")).locator("figcaption").textContent();
  assert.equal(caption, t("layer.filters_colour", { n: 16 }));
  await page.locator("svg.field-figure image.heat").waitFor();
  await axe();
});

journey("attribution: a method, a class, a map that is not empty; a method that fails the sanity check says so", async ({ page, open, assert, t, axe, shop }) => {
  await open("");
  await page.locator(".cards a", { hasText: t("start.kind.run") }).click();
  await page.locator("g.node.conv").first().press("Enter");
  const method = page.getByRole("combobox", { name: t("layer.method") });
  await method.waitFor();
  await method.selectOption("grad_cam");
  await page.getByRole("button", { name: t("layer.compute") }).click();
  await page.locator("svg.attribution").first().waitFor();
  const levels = await page.locator("svg.attribution image").last().evaluate(async (each) => {
    const picture = new Image();
    picture.src = each.getAttribute("href");
    await picture.decode();
    const canvas = new OffscreenCanvas(28, 28).getContext("2d");
    canvas.drawImage(picture, 0, 0, 28, 28);
    return new Set(canvas.getImageData(0, 0, 28, 28).data).size;
  });
  assert.ok(levels > 3, `${levels} levels`);
  await axe();
  const doubtful = await method.locator("option", { hasText: t("layer.insane_short") }).first().getAttribute("value");
  await method.selectOption(doubtful);
  await page.getByRole("button", { name: t("layer.compute") }).click();
  await page.locator(".message.warning", { hasText: "Adebayo" }).waitFor();
  assert.match(page.url(), new RegExp(`method=${doubtful}`));
  await page.reload();
  await page.locator("svg.attribution").first().waitFor();
});

journey("attribution of many passes: its progress is shown, it is cancelled, and a click on another layer does not wait for it", async ({ page, open, assert, t }) => {
  await open("network/squeezenet1_1?layer=conv1&tab=layer&method=rise");
  const bar = page.locator("progress");
  await bar.waitFor();
  await page.waitForFunction(() => document.querySelector("progress")?.value > 0 && document.querySelector("progress").max === 1000);
  await page.locator('g.node[data-id="pool1"]').dispatchEvent("click");
  await page.locator(".panel h2", { hasText: "pool1" }).waitFor();
  await page.locator(".panel .steps .result").first().waitFor();
  await page.locator("svg.channels image").waitFor(); // runs the network between two batches
  await bar.waitFor(); // RISE needs no layer: it goes on for the same image
  assert.equal(await page.locator("svg.attribution").count(), 0);
  await page.getByRole("button", { name: t("layer.cancel") }).click();
  await bar.waitFor({ state: "detached" });
  assert.ok(!page.url().includes("method="), page.url());
});

journey("what the card says of a layer stands in its view, with the way to the rest", async ({ page, open, assert, t, axe }) => {
  await open("network/alexnet@torchvision?layer=pool5");
  const paper = page.getByRole("region", { name: t("layer.paper") });
  await paper.waitFor();
  assert.match(await paper.locator("dt").textContent(), /pool5/);
  await axe();
  await paper.getByRole("link").click();
  await page.getByRole("heading", { name: t("network.departures") }).waitFor();
  await open("network/vgg16?layer=conv3_1");
  await paper.getByText(t("layer.paper_none")).waitFor();
});

// npm run picture writes it
journey("the picture in the README: a layer of VGG-16 on a photo", { width: 1360, height: 900 }, async ({ page, open, assert, t }) => {
  await open("network/vgg16?layer=conv3_3&y=26&x=30");
  await page.getByRole("radio", { name: "flower.jpg" }).first().click();
  await page.locator("svg.channels image").waitFor();
  await page.waitForFunction(() => document.querySelector('.thumb[aria-checked="true"]').getAttribute("aria-label").startsWith("flower.jpg"));
  await page.waitForLoadState("networkidle");
  assert.match(await page.locator("svg.field-figure").textContent(), /r = 40/);
  await page.locator("#image-title").evaluate((title) => { title.closest(".right").scrollTop = title.offsetTop - 200; });
  await page.mouse.move(0, 0);
  if (process.env.PICTURE) await page.screenshot({ path: process.env.PICTURE });
});

journey("previous and next layer, without leaving the panel", async ({ page, open, assert, t }) => {
  await open("network/vgg16?layer=conv1_1");
  await page.getByRole("button", { name: t("layer.next_is", { name: "relu1_1" }) }).click();
  await page.locator(".panel h2", { hasText: "relu1_1" }).waitFor();
  await page.getByRole("button", { name: t("layer.previous_is", { name: "conv1_1" }) }).click();
  await page.locator(".panel h2", { hasText: "conv1_1" }).waitFor();
  assert.ok(await page.getByRole("button", { name: t("layer.previous"), exact: true }).isDisabled());
});

for (const scheme of ["light", "dark"])
  journey(`390 px, ${scheme}: start, network, layer and own image fit and have no violations`, { width: 390, height: 844, scheme, languages: scheme === "dark" ? ["ko"] : ["en"] }, async ({ page, open, fits, axe, t }) => {
    await open("");
    await page.locator("tbody tr").first().waitFor();
    await fits();
    await axe();
    for (const route of ["network/googlenet", "network/lenet5?tab=table", "network/lenet5?layer=C3", "network/lenet5?tab=image"]) {
      await open(route);
      await page.waitForLoadState("networkidle");
      await fits();
      await axe();
    }
  });

journey("dark, wide: no violations in any of the views", { scheme: "dark", languages: ["ko"] }, async ({ page, open, axe }) => {
  for (const route of ["", "network/resnet50?colour=macs", "network/lenet5?tab=table", "network/lenet5?layer=C1&method=gradient", "network/lenet5?tab=image"]) {
    await open(route);
    await page.waitForLoadState("networkidle");
    await axe();
  }
});
