// How long a person waits, as the whole process: npm run times. Prints the median and the minimum of five starts, of 25
// clicks and of five images; asserts nothing, since the machine may be busy.
import { launch, openPage, serve, workshop } from "./harness.mjs";

const REPEATS = 5;
const CLICKS = 25;
const REST = 500; // ms
const shop = workshop();
const browser = await launch();
const report = (what, times) => {
  const sorted = [...times].sort((a, b) => a - b);
  console.log(`${what.padEnd(64)} median ${sorted[Math.floor(sorted.length / 2)].toFixed(0).padStart(6)} ms   minimum ${sorted[0].toFixed(0).padStart(6)} ms`);
};
/**
 * Note for every click on a layer how long after the press of the mouse its arithmetic was on the screen. A frame is painted when a
 * message that its animation callback sent arrives.
 */
const watchClicks = (page) => page.evaluate(() => {
  window.painted = [];
  addEventListener("click", (event) => {
    const layer = event.target.closest("g.node")?.dataset.id;
    const look = () => {
      const shown = document.querySelector(".panel h2")?.textContent === layer && document.querySelector(".panel .steps .result");
      if (!shown) return requestAnimationFrame(look);
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.painted.push(performance.now() - event.timeStamp);
      channel.port2.postMessage(0);
    };
    requestAnimationFrame(look);
  }, { capture: true });
});

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

const server = await serve(["resnet50"], shop.folder);
const { page } = await openPage(browser);
await page.goto(`${server.address}#/network/resnet50?open=block:conv2_x~block:conv2_x.0~block:conv2_x.1~block:conv2_x.2`);
await page.locator('g.node[data-id="conv1"]').waitFor();
await watchClicks(page);
const names = await page.$$eval("g.node.row", (nodes) => nodes.map((node) => node.dataset.id));
let clicked = 0;
for (const name of names) {
  if (clicked === CLICKS) break;
  const node = page.locator(`g.node[data-id="${name}"]`);
  const middle = async () => { const { x, y, width, height } = await node.boundingBox(); return [x + width / 2, y + height / 2]; };
  await page.mouse.move(300, 500);
  await page.mouse.wheel(0, (await middle())[1] - 500); // the drawing moves until the node is in the middle, or at its end
  await page.waitForTimeout(REST);
  const [x, y] = await middle();
  const free = await page.evaluate(([x, y, name]) => document.elementFromPoint(x, y)?.closest("g.node")?.dataset.id === name, [x, y, name]);
  if (!free) continue; // under the buttons of the drawing
  await page.mouse.move(x, y);
  await page.waitForTimeout(REST); // a pointer is over a node before it presses
  await page.mouse.down();
  await page.mouse.up();
  await page.waitForFunction((number) => window.painted.length > number, clicked++);
  await page.waitForTimeout(REST);
}
const clicks = await page.evaluate(() => window.painted);
report(`click on a layer until its arithmetic is painted (at most 50), ${clicks.length} clicks`, clicks);

await page.goto(`${server.address}#/network/resnet50?layer=conv1&tab=layer`);
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
