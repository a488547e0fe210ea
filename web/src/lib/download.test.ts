import { expect, test } from "vitest";

import { csv, type Column } from "./download";

test("a table as CSV: exact values, quotes where needed, empty cells for missing numbers", () => {
  const columns: Column<{ name: string; params: number | null }>[] = [
    { key: "name", title: "Name", value: (row) => row.name },
    { key: "params", title: "Parameters", value: (row) => row.params, text: () => "rounded" },
  ];
  const rows = [{ name: 'conv "1", first', params: 34944 }, { name: "relu", params: null }];
  expect(csv(columns, rows)).toBe('name,params\r\n"conv ""1"", first",34944\r\nrelu,\r\n');
});
