import { readdirSync } from "node:fs";
import { join } from "node:path";

import { journey, ODD_IMAGES } from "../harness.mjs";

const upload = (page, file) => page.locator('input[type="file"]').first().setInputFiles(file);
const thumbs = (page) => page.locator('[role="radio"].thumb');

journey("own image: a file is prepared step by step and classified", async ({ page, open, assert, t, shop, axe, download }) => {
  await open("network/lenet5?tab=image");
  await thumbs(page).first().waitFor();
  await upload(page, shop.file("flower.jpg"));
  await page.locator('.thumb[aria-checked="true"][aria-label="flower.jpg, 640 × 427"]').waitFor();
  assert.match(page.url(), /image=[0-9a-f]{16}/);
  await page.locator(".steps svg image").first().waitFor();
  const sizes = await page.locator(".steps .number").allTextContents();
  assert.equal(sizes[0], "640 × 427");
  assert.equal(sizes.at(-1), "32 × 32");
  await page.getByText(t("image.untrained")).waitFor(); // an untrained network says that its labels mean nothing
  await page.locator("summary", { hasText: t("image.as_table") }).click();
  const shares = (await page.locator("details td:nth-child(2)").allTextContents()).map((text) => Number(text.replace(" %", "")));
  assert.equal(shares.length, 10);
  assert.ok(Math.abs(shares.reduce((all, each) => all + each, 0) - 100) < 0.1, "ten classes add up to 100 %");
  await axe();
  const csv = await download(() => page.getByRole("button", { name: t("save.csv") }).click());
  assert.match(csv.content.toString("utf8"), /label,probability,logit/);
});

journey("own image: what a trained run predicts, and the address restores the image", async ({ page, open, assert, t }) => {
  await open("");
  await page.locator(".cards a", { hasText: t("start.kind.run") }).click();
  await page.getByRole("tab", { name: t("network.tab.image") }).click();
  await thumbs(page).nth(2).click();
  await page.getByRole("heading", { name: t("image.probabilities") }).waitFor();
  assert.equal(await page.getByText(t("image.untrained")).count(), 0);
  const chosen = await page.locator('.thumb[aria-checked="true"]').getAttribute("aria-label");
  await page.reload();
  await page.locator('.thumb[aria-checked="true"]').waitFor();
  assert.equal(await page.locator('.thumb[aria-checked="true"]').getAttribute("aria-label"), chosen);
  await page.locator('.thumb[aria-checked="true"]').focus();
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await page.locator('.thumb[aria-checked="true"]').getAttribute("aria-label"), chosen);
});

journey("own image: dropped, pasted, and a frame of the webcam", async ({ page, open, assert, t }) => {
  await open("network/lenet5?tab=image");
  await thumbs(page).first().waitFor();
  const names = () => thumbs(page).evaluateAll((all) => all.map((each) => each.getAttribute("aria-label")));
  const transfer = (name, colour) => page.evaluateHandle(async ([name, colour]) => {
    const canvas = new OffscreenCanvas(40, 30);
    const brush = canvas.getContext("2d");
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 40, 30);
    const data = new DataTransfer();
    data.items.add(new File([await canvas.convertToBlob({ type: "image/png" })], name, { type: "image/png" }));
    return data;
  }, [name, colour]);
  const unique = `${Date.now() % 256}, ${Math.floor(Math.random() * 256)}`;
  await page.locator(".picker").first().dispatchEvent("drop", { dataTransfer: await transfer("dropped.png", `rgb(${unique}, 1)`) });
  await page.waitForFunction(() => [...document.querySelectorAll(".thumb")].some((each) => each.getAttribute("aria-label") === "dropped.png, 40 × 30"));
  const clipboard = await transfer("pasted.png", `rgb(${unique}, 2)`);
  await page.evaluate((data) => window.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, cancelable: true })), clipboard);
  await page.waitForFunction(() => [...document.querySelectorAll(".thumb")].some((each) => each.getAttribute("aria-label") === "pasted.png, 40 × 30"));
  await page.getByRole("button", { name: t("image.webcam"), exact: true }).click();
  await page.waitForFunction(() => document.querySelector("video")?.videoWidth > 0);
  await page.getByRole("button", { name: t("image.webcam_take") }).click();
  await page.waitForFunction((name) => [...document.querySelectorAll(".thumb")].some((each) => each.getAttribute("aria-label").startsWith(name)), t("image.webcam_frame"));
  assert.ok((await names()).length >= 3);
});

journey("files that are no images: each a clear message, and the page goes on", async ({ page, open, assert, t, shop, faults, axe }) => {
  faults.expected.push(/400|413|415|422/);
  await open("network/lenet5?tab=image");
  await thumbs(page).first().waitFor();
  const before = await thumbs(page).count();
  for (const name of ["notes.jpg", "empty.png", "truncated.jpg"]) {
    await upload(page, shop.file(name));
    const message = page.getByRole("alert");
    await message.waitFor();
    await page.waitForFunction((part) => document.querySelector('[role="alert"]')?.textContent.includes(part), name);
    const text = await message.textContent();
    assert.ok(text.includes(t("image.refused")) && text.length > 40, text);
    assert.ok(!text.includes(shop.folder) && !/Traceback|Error:/.test(text), text);
  }
  await axe();
  assert.equal(await thumbs(page).count(), before);
  await upload(page, shop.file("small.png"));
  await page.waitForFunction(() => [...document.querySelectorAll(".thumb")].some((each) => each.getAttribute("aria-label") === "small.png, 64 × 40"));
  assert.equal(await page.getByRole("alert").count(), 0);
});

journey("odd images of other programs: shown, or refused with a clear message", { languages: ["ko"], skip: ODD_IMAGES ? undefined : "there is no folder of odd images (CONVATLAS_ODD_IMAGES)" }, async ({ page, open, assert, faults, t }) => {
  faults.expected.push(/400|413|415|422/);
  await open("network/lenet5?tab=image");
  await thumbs(page).first().waitFor();
  const files = readdirSync(ODD_IMAGES).filter((name) => !/\.(txt|csv)$/.test(name)).sort();
  let refused = 0;
  for (const name of files) {
    const label = page.locator("label.button").first();
    const [answer] = await Promise.all([page.waitForResponse((response) => response.request().method() === "PUT"), upload(page, join(ODD_IMAGES, name))]);
    assert.ok(answer.status() < 500, `${name}: ${answer.status()}`);
    await page.waitForFunction((text) => document.querySelector("label.button").textContent === text, t("image.file")); // no longer sending
    assert.ok(await label.isVisible());
    const alert = page.getByRole("alert");
    if (answer.ok()) {
      assert.equal(await alert.count(), 0, name);
      assert.ok((await page.locator('.thumb[aria-checked="true"] img').evaluate((each) => each.naturalWidth)) > 0, name);
      continue;
    }
    refused++;
    const text = await alert.textContent();
    assert.ok(text.includes(name.slice(0, 20)) && text.length > 60, `${name}: ${text}`);
    assert.ok(!/Traceback|\/tmp|\/work|0x[0-9a-f]{6}/.test(text), text);
  }
  assert.ok(refused >= 10 && refused < files.length / 2, `${refused} of ${files.length} refused`);
});
