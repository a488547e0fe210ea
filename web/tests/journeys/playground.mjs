import { box, journey } from "../harness.mjs";

const fact = (page, name) => page.locator(`[data-fact="${name}"]`);
const settled = (page, name, text) => fact(page, name).filter({ hasText: text }).waitFor();

journey("playground: AlexNet's first layer, and what a change of stride does to it", async ({ page, open, t, assert, axe }) => {
  await open("playground");
  await settled(page, "output", "96 × 55 × 55");
  assert.equal(await fact(page, "params").textContent(), "34,944");
  assert.equal(await fact(page, "macs").textContent(), "105,415,200");
  assert.match(await page.locator("main").textContent(), /11\D*\*?·?11/); // the formula with its numbers
  await axe();
  await page.getByRole("spinbutton", { name: t("playground.stride") }).fill("2");
  await settled(page, "output", "96 × 109 × 109");
  assert.equal(await fact(page, "params").textContent(), "34,944"); // parameters do not move with the stride
  assert.match(page.url(), /stride=2/);
  await page.reload();
  await settled(page, "output", "96 × 109 × 109");
});

journey("playground: the window lies where the arithmetic says, and keys move it", async ({ page, open, t, assert, axe }) => {
  await open("playground/layer?kind=conv&input=4x8x9&kernel=3&stride=2&padding=1&dilation=2&channels=8&groups=2&at=1x2");
  await settled(page, "output", "8 × 3 × 4");
  const part = (name) => box(page.locator(`[data-part="${name}"]`).first());
  const geometry = async () => {
    const [input, window_] = [await part("input"), await part("window")];
    const cell = input.width / 9;
    return { left: (window_.x - input.x) / cell, top: (window_.y - input.y) / cell, side: window_.width / cell };
  };
  // row 1 * 2 - 1 = 1, column 2 * 2 - 1 = 3; 2 * (3 - 1) + 1 = 5 pixels
  const close = (a, b) => Math.abs(a - b) < 0.12; // half a line's width
  let found = await geometry();
  assert.ok(close(found.top, 1) && close(found.left, 3) && close(found.side, 5), JSON.stringify(found));
  assert.equal(await page.locator(".tap").count(), 9);
  await page.getByRole("group", { name: t("playground.window.keys") }).focus();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowUp");
  await page.waitForURL(/at=0x1|at=0%C3/);
  found = await geometry();
  assert.ok(close(found.top, -1) && close(found.left, 1), JSON.stringify(found));
  const [output, target] = [await part("output"), await part("target")];
  assert.ok(close((target.x - output.x) / (output.width / 4), 1) && close((target.y - output.y) / (output.height / 3), 0));
  assert.ok(await page.locator(".tap.padded").count() > 0); // the first row lies in the padding
  await page.locator('[data-part="output"]').first().click({ position: { x: output.width - 3, y: output.height - 3 } });
  await page.waitForURL(/at=2x3/);
  await axe();
});

journey("playground: play moves the window by itself, also where motion is reduced", { reducedMotion: "reduce", languages: ["en"] }, async ({ page, open, t, assert }) => {
  await open("playground/layer?kind=pool&input=3x6x6&kernel=2&stride=2");
  await settled(page, "output", "3 × 3 × 3");
  const button = page.getByRole("button", { name: t("playground.window.play") });
  await button.click();
  assert.equal(await button.getAttribute("aria-pressed"), "true");
  await page.waitForURL(/at=0x2/);
  await page.waitForURL(/at=1x0/);
  await button.click();
  const stopped = page.url();
  await page.waitForTimeout(700);
  assert.equal(page.url(), stopped);
});

journey("playground: a layer that does not fit says why", async ({ page, open, t, assert, axe, lang, faults }) => {
  faults.expected.push(/playground\/layer/);
  await open("playground/layer?kind=conv&input=3x8x8&kernel=11&stride=1&padding=0&channels=4");
  const alert = page.getByRole("alert");
  await alert.waitFor();
  const text = await alert.textContent();
  assert.ok(text.includes(t("playground.misfit")));
  assert.match(text, lang === "ko" ? /11픽셀.*8 \+ 0 \+ 0/ : /11 pixels.*8 \+ 0 \+ 0/);
  const [input, window_] = [await box(page.locator('[data-part="input"]').first()), await box(page.locator('[data-part="window"]'))];
  assert.ok(window_.width > input.width * 1.3); // drawn over the edge
  await axe();
  await page.getByRole("spinbutton", { name: t("playground.padding") }).fill("2");
  await settled(page, "output", "4 × 2 × 2");
});

journey("playground: groups and a fully connected layer have drawings of their own", { languages: ["en"] }, async ({ page, open, t, assert, axe }) => {
  await open("playground/layer?kind=conv&input=96x27x27&kernel=5&stride=1&padding=2&channels=256&groups=2");
  await settled(page, "params", "307,456"); // 5*5*48*256 + 256
  await page.getByRole("heading", { name: t("playground.groups.title") }).waitFor();
  await page.getByLabel(t("playground.kind"), { exact: true }).selectOption("fc");
  await settled(page, "output", "10");
  await page.getByRole("heading", { name: t("playground.dense.title") }).waitFor();
  assert.ok((await page.locator("path.strong").getAttribute("d")).length > 20);
  await axe();
});

journey("playground: compose a net, undo, and read its totals and code", async ({ page, open, t, assert, axe }) => {
  await open("playground/net");
  await settled(page, "params", "61,706"); // LeNet-5 with a full second convolution
  assert.equal(await page.locator("tbody tr").count(), 11);
  assert.match(await page.locator("pre").textContent(), /nn\.Linear\(400, 120\)/);
  await axe();
  await page.getByRole("button", { name: t("playground.net.remove", { name: "relu1" }) }).click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 10);
  await page.getByRole("button", { name: t("playground.net.undo") }).click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 11);
  await page.getByRole("button", { name: t("playground.net.down", { name: "conv1" }) }).press("Enter"); // relu before conv
  await page.locator('[data-layer="0"]').filter({ hasText: "relu1" }).waitFor();
  await page.getByLabel(t("playground.net.kind")).selectOption("batch_norm");
  await page.getByRole("button", { name: t("playground.net.add"), exact: true }).click();
  await settled(page, "params", "61,726"); // 2*10 more
  const address = page.url();
  await page.reload();
  await settled(page, "params", "61,726");
  assert.equal(page.url(), address);
  await page.goBack();
  await settled(page, "params", "61,706");
});

journey("playground: the first layer of a net that does not fit is marked", async ({ page, open, t, assert, axe }) => {
  await open("playground/net?input=1x28x28&net=conv-6-k5-s1,maxpool-k2-s2,conv-16-k15-s1,fc-10");
  const failed = page.locator("li.failed");
  await failed.waitFor();
  assert.equal(await failed.getAttribute("data-layer"), "2");
  assert.match(await failed.textContent(), /conv2[^]*15[^]*12 \+ 0 \+ 0/);
  assert.equal(await page.locator("tbody tr").count(), 2);
  assert.equal(await page.locator("pre").count(), 0);
  await axe();
  await failed.locator("button.name").click();
  await failed.getByRole("spinbutton", { name: t("playground.kernel") }).fill("3");
  await page.locator("pre").waitFor();
  assert.equal(await page.locator("li.failed").count(), 0);
});

journey("playground: an exercise is answered, checked and explained", async ({ page, open, t, assert, axe }) => {
  await open("playground/exercises?seed=7");
  const alexnet = page.locator('[data-exercise="alexnet-params"]');
  await alexnet.getByRole("textbox").fill("35,000");
  await alexnet.getByRole("button", { name: t("playground.exercises.check") }).click();
  await alexnet.getByText(t("playground.exercises.wrong")).waitFor();
  await alexnet.getByRole("textbox").fill("34,944");
  await alexnet.getByRole("textbox").press("Enter");
  await alexnet.getByText(t("playground.exercises.right")).waitFor();
  await page.getByText(t("playground.exercises.score", { right: 1, all: 11 })).waitFor();
  await alexnet.getByRole("button", { name: t("playground.exercises.show") }).click();
  assert.match(await alexnet.locator(".answer").textContent(), /34,944/);
  await axe();
  const question = await page.locator('[data-exercise="output"] p').first().textContent();
  await page.getByRole("button", { name: t("playground.exercises.new") }).click();
  await page.waitForURL(/seed=8/);
  await page.waitForFunction((old) => document.querySelector('[data-exercise="output"] p').textContent !== old, question);
  await page.goBack();
  await page.waitForFunction((old) => document.querySelector('[data-exercise="output"] p').textContent === old, question);
});

for (const part of ["layer?kind=conv&input=4x8x8&kernel=3&stride=2&padding=1&channels=8&groups=2", "net", "exercises"])
  for (const scheme of ["light", "dark"])
    journey(`playground on a phone, ${scheme}: ${part.split("?")[0]}`, { width: 390, height: 800, scheme, languages: scheme === "light" ? ["ko"] : ["en"] }, async ({ page, open, axe, fits }) => {
      await open(`playground/${part}`);
      await page.locator("[data-fact], [data-exercise]").first().waitFor();
      await fits();
      await axe();
    });
