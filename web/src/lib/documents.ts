// For tests: real documents of `convatlas show --json`, with the blocks as the page's server adds them.
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";

import type { Network } from "./api";

const PROGRAM = `
import json, sys
from convatlas.explorer.networks import network_document
from convatlas.explorer.subjects import AtlasNetwork
print(json.dumps(network_document(AtlasNetwork(sys.argv[1]))))
`;

export function networkDocument(name: string): Network {
  const source = resolve(import.meta.dirname, "../../../src");
  const text = execFileSync(process.env["PYTHON"] ?? "python3", ["-c", PROGRAM, name], {
    encoding: "utf8", maxBuffer: 1 << 28, env: { ...process.env, PYTHONPATH: source },
  });
  return JSON.parse(text) as Network;
}
