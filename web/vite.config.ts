import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// One page, one script, one style sheet, with fixed names: the build is committed and CI proves that it is fresh.
export default defineConfig({
  base: "./",
  plugins: [svelte()],
  build: {
    outDir: "../src/convatlas/explorer/static",
    emptyOutDir: true,
    target: "es2022",
    cssCodeSplit: false,
    modulePreload: false,
    rolldownOptions: {
      output: { entryFileNames: "app.js", assetFileNames: "app[extname]", codeSplitting: false },
    },
  },
  test: { include: ["src/**/*.test.ts"] },
});
