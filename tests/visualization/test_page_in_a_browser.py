"""What a browser makes of a page: rows that stack on a narrow screen, and a print that loses nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from convatlas.visualization import html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

LONG = "LeCun et al., Proceedings of the IEEE 86(11), 1998, section III.C (recalled, not checked against the text) " * 3
HEADINGS = [
    "network",
    "test top-1",
    "params",
    "MACs",
    "time for one image",
    "peak memory",
    "file",
    "training",
    "source",
]
# reports what the layout is; a real page runs no script
PROBE = """<script>
const box = element => element.getBoundingClientRect();
const cells = [...document.querySelectorAll("tbody tr:first-child > *")].map(box);
document.title = JSON.stringify({
  stacked: cells.every((cell, n) => n == 0 || cell.top >= cells[n - 1].bottom - 1),
  inside: cells.every(cell => cell.right <= innerWidth + 1),
}).replaceAll('"', "'");
</script>"""


def written(tmp_path: Path, probe: str = "") -> Path:
    columns = [
        html.Column(HEADINGS[0], number=False),
        *(html.Column(heading, "measured", heading != "source") for heading in HEADINGS[1:]),
    ]
    row = [
        "lenet5@modern",
        "98.61 %",
        "61,706",
        "416.5 K",
        "378.1 µs",
        "8.590 MiB",
        "242.3 KiB",
        "1 min 05 s",
        LONG,
    ]
    page = html.page("t", html.section("A section", html.table(columns, [row, row], "caption")), html.pre("w" * 200))
    page = re.sub(r"<meta http-equiv=[^>]*>", "", page) if probe else page  # which forbids the probe
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", f"{probe}</body>"), encoding="utf-8")
    return file


def chromium(tmp_path: Path, *arguments: str) -> str:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True, timeout=120).stdout


def layout(tmp_path: Path, width: int) -> str:
    """What the probe found, in a frame of a width that a window cannot have."""
    written(tmp_path, PROBE)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="page.html" style="width: {width}px; height: 2000px" '
        "onload=\"document.body.append(this.contentDocument.title || 'nothing')\"></iframe>"
    )
    page = chromium(
        tmp_path, "--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=3000", frame.as_uri()
    )
    return page.partition("</iframe>")[2]


@pytest.mark.parametrize(("width", "stacked"), [(390, "true"), (1280, "false")])
def test_a_narrow_screen_shows_every_column_below_the_other(tmp_path, width, stacked):
    found = layout(tmp_path, width)
    assert f"'stacked':{stacked}" in found
    assert "'inside':true" in found


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext on this machine")
def test_a_print_breaks_no_word_and_clips_nothing(tmp_path):
    file, pdf = written(tmp_path), tmp_path / "page.pdf"
    chromium(tmp_path, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", file.as_uri())
    text = subprocess.run(["pdftotext", "-layout", pdf, "-"], check=True, capture_output=True, text=True).stdout
    for word in [*" ".join(HEADINGS).replace("-", " ").split(), "lenet5@modern", "61,706", "8.590 MiB", "1 min 05 s"]:
        assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text), f"{word} is broken or cut off:\n{text}"
    assert text.count("w") >= 200  # a long command is wrapped
