"""Pictures of pages, by Chromium."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

WIDTH = 1240
SECONDS = 60


def picture(html: str, path: Path) -> None:
    """Writes a picture of a page that needs nothing else; where Chromium is not installed, none."""
    browser = shutil.which("chromium")
    if not browser:
        return
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "page.html"
        made.write_text(html, encoding="utf-8")
        # As root it runs only without its sandbox; the page is our own.
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{height(html)}"]
        command = [browser, *options, f"--screenshot={path.resolve()}", made.as_uri()]
        subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)


def height(html: str) -> int:
    """Pixels that a page takes, rather too many than too few: two charts of a section lie beside one another."""
    pairs = 0
    for section in html.split("<h2>"):
        charts = [int(number) for number in re.findall(r'<svg [^>]*height="(\d+)"', section)]
        pairs += sum(max(charts[place : place + 2]) + 48 for place in range(0, len(charts), 2))
    return 240 + pairs + 38 * html.count("<tr>") + 70 * html.count("<h2>") + 40 * html.count("<p>")
