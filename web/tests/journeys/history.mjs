import { box, journey } from "../harness.mjs";

const point = (page, name) => page.locator(`a[data-network="${name}"]`);

journey("history: every network is a point where its numbers say, and opens", async ({ page, open, t, assert, axe, server }) => {
  await open("history?x=macs&y=params");
  await point(page, "vgg16").waitFor();
  const answer = await page.request.get(`${server.address}api/history`);
  const { points } = await answer.json();
  const papers = points.filter((each) => !each.variant);
  assert.equal(await page.locator("a[data-network]").count(), papers.length);
  const places = Object.fromEntries(await page.locator("a[data-network]").evaluateAll((all) => all.map((each) => { const box_ = each.querySelector(".reach").getBBox(); return [each.dataset.network, [box_.x, box_.y]]; })));
  for (const a of papers) for (const b of papers) {
    if (a.macs > b.macs * 1.01) assert.ok(places[a.name][0] > places[b.name][0], `${a.name} lies right of ${b.name}`);
    if (a.params > b.params * 1.01) assert.ok(places[a.name][1] < places[b.name][1], `${a.name} lies above ${b.name}`);
  }
  await axe();
  await point(page, "vgg16").click();
  await page.waitForURL(/#\/network\/vgg16/);
  await page.goBack();
  await point(page, "vgg16").waitFor();
  await page.getByRole("heading", { level: 1, name: t("nav.history") }).waitFor();
});

journey("history: printed errors by year; the table names each protocol and is saved as CSV", async ({ page, open, t, assert, axe, download }) => {
  await open("history");
  await point(page, "alexnet").waitFor();
  const [alexnet, resnet] = [await box(point(page, "alexnet")), await box(point(page, "resnet152"))];
  assert.ok(alexnet.x < resnet.x && alexnet.y < resnet.y, "later and with a smaller error");
  await page.getByLabel(t("history.family"), { exact: true }).first().selectOption("vgg");
  await page.waitForFunction(() => [...document.querySelectorAll("a[data-network]")].every((each) => each.dataset.network.startsWith("vgg")));
  const file = await download(() => page.getByRole("button", { name: t("save.csv") }).last().click());
  const lines = file.content.toString().replace("\ufeff", "").trim().split("\r\n");
  assert.match(lines[0], /^network,year,family,input,params,macs,top5_error:ILSVRC-2012,/);
  assert.ok(lines.slice(1).every((line) => line.startsWith("vgg")) && lines.some((line) => /ILSVRC-2012 val/.test(line)));
  await axe();
});

journey("history: keys go from point to point, and c compares", async ({ page, open, assert, axe }) => {
  await open("history?x=macs&y=params&family=lenet");
  await point(page, "lenet5").focus();
  assert.match(await page.locator(".reading").textContent(), /lenet5, 1998.*60,000/);
  await page.keyboard.press("c");
  await page.waitForURL(/pair=lenet5/);
  await page.locator('[data-pane="lenet5"]').waitFor();
  await page.goBack();
  assert.equal(await page.locator("[data-pane]").count(), 0);
  await open("history?x=macs&y=params");
  const order = [];
  await page.locator("a[data-network]").first().focus();
  for (let step = 0; step < 4; step++) {
    order.push(await page.evaluate(() => document.activeElement.querySelector(".reach").getBBox().x));
    await page.keyboard.press("ArrowRight");
  }
  assert.deepEqual(order, [...order].sort((a, b) => a - b));
  assert.equal(await page.locator('a[data-network][tabindex="0"]').count(), 1);
  await axe();
});

journey("history: LeNet-5 and Xception side by side", async ({ page, open, t, assert, axe, server }) => {
  await open("history");
  await page.getByRole("button", { name: t("history.example") }).click();
  const panes = [page.locator('[data-pane="lenet5"]'), page.locator('[data-pane="xception"]')];
  for (const pane of panes) await pane.locator("tbody tr").nth(5).waitFor();
  const [left, right] = [await box(panes[0]), await box(panes[1])];
  assert.ok(Math.abs(left.y - right.y) < 2 && left.x + left.width <= right.x, "two panes beside each other");
  for (const [index, name] of ["lenet5", "xception"].entries()) {
    const network = await (await page.request.get(`${server.address}api/network?subject=${name}`)).json();
    const rows = await panes[index].locator("table").last().locator("tbody tr").count();
    assert.equal(rows, network.rows.length);
    const figures = await panes[index].locator("table").first().locator("tbody tr").count();
    assert.equal(figures, network.figures.length);
  }
  await axe();
  const address = page.url();
  await page.reload();
  await panes[1].locator("tbody tr").first().waitFor();
  assert.equal(page.url(), address);
});

for (const scheme of ["light", "dark"])
  journey(`history on a phone, ${scheme}`, { width: 390, height: 800, scheme, languages: scheme === "light" ? ["en"] : ["ko"] }, async ({ page, open, axe, fits }) => {
    await open("history?pair=lenet5,alexnet");
    await page.locator('[data-pane="alexnet"] tbody tr').first().waitFor();
    await fits();
    await axe();
  });
