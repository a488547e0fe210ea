// How long a person waits, as the whole process: npm run times. Prints the median and the minimum of five; asserts nothing, since
// the machine may be busy.
import { launch, openPage, serve, workshop } from "./harness.mjs";

const REPEATS = 5;
const shop = workshop();
const browser = await launch();
const report = (what, times) => {
  const sorted = [...times].sort((a, b) => a - b);
  console.log(`${what.padEnd(64)} median ${sorted[Math.floor(sorted.length / 2)].toFixed(0).padStart(6)} ms   minimum ${sorted[0].toFixed(0).padStart(6)} ms`);
};
/** The time of the first frame in which the selector matches, from a click or key press at `begin`. */
const painted = (page, selector, act) => page.evaluate(async ([selector, act]) => {
  const begin = performance.now();
  eval(act);
  for (;;) {
    await new Promise((done) => requestAnimationFrame(done));
    if (document.querySelector(selector)) break;
    if (performance.now() - begin > 20_000) throw new Error(`${selector} was not painted`);
  }
  await new Promise((done) => { const channel = new MessageChannel(); channel.port1.onmessage = done; requestAnimationFrame(() => channel.port2.postMessage(0)); });
  return performance.now() - begin;
}, [selector, act]);

const starts = [];
for (let repeat = 0; repeat < REPEATS; repeat++) {
  const { page, context } = await openPage(browser);
  await page.goto("about:blank");
  const server = await serve(["resnet50"], shop.folder);
  await page.goto(`${server.address}#/network/resnet50`);
  await page.locator('g.node[data-id="conv1"]').waitFor();
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  starts.push(performance.now() - server.started);
  await context.close();
  await server.stop();
}
report("explore resnet50 until the graph is painted (at most 2,500)", starts);

const server = await serve(["resnet50", "vgg16"], shop.folder);
const { page } = await openPage(browser);
await page.goto(`${server.address}#/network/vgg16`);
await page.locator('g.node[data-id="conv1_1"]').waitFor();
const clicks = [];
for (const name of ["conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2"]) {
  await page.goto(`${server.address}#/network/vgg16`); // without a layer, so without a running network
  await page.locator('[role="tab"][aria-selected="true"]#tab-overview').waitFor();
  await page.locator(`g.node[data-id="${name}"]`).dispatchEvent("pointerenter"); // a pointer is over a node before it clicks
  await page.waitForTimeout(300);
  clicks.push(await painted(page, ".panel .steps .result", `document.querySelector('g.node[data-id="${name}"]').dispatchEvent(new MouseEvent("click", { bubbles: true }))`));
}
report("click on a layer until its arithmetic is painted (at most 50)", clicks);

await page.goto(`${server.address}#/network/resnet50?layer=conv1`);
await page.locator("svg.channels image").waitFor({ timeout: 60_000 }); // torch and the network are loaded now
const images = [];
for (let repeat = 0; repeat < REPEATS; repeat++) {
  images.push(await page.evaluate(async (repeat) => {
    const canvas = new OffscreenCanvas(500, 375);
    const brush = canvas.getContext("2d");
    for (let index = 0; index < 300; index++) {
      brush.fillStyle = `hsl(${(index * 37 + repeat * 61) % 360} 70% 50%)`;
      brush.fillRect((index * 97) % 480, (index * 53) % 360, 40, 30);
    }
    const file = await canvas.convertToBlob({ type: "image/png" });
    const begin = performance.now();
    const picture = await (await fetch("api/image?name=a.png&lang=en", { method: "PUT", body: file })).json();
    await (await fetch(`api/maps?image=${picture.id}&lang=en&layer=conv3_x.0.conv2&subject=resnet50`)).json();
    return performance.now() - begin;
  }, repeat));
}
report("upload of an image to the maps of a layer of ResNet-50 (at most 1,000)", images);

await browser.close();
await server.stop();
shop.remove();
