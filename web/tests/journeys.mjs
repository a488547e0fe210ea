import { main } from "./harness.mjs";

await main();
