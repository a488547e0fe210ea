"""python -m docs.builder: the site in both languages below build/site; open build/site/en/index.html over a server."""

from __future__ import annotations

import sys
import time

from docs.builder.page import ROOT
from docs.builder.site import build

if __name__ == "__main__":
    start = time.perf_counter()
    counts = build(ROOT / "build" / "site")
    print(f"build/site: {sum(counts.values())} pages in {time.perf_counter() - start:.0f} s", file=sys.stderr)
