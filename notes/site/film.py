"""``python -m notes.site.film``: the landing page's figure as a film, and a still of it, for the README.

A page that shows the README runs no script of ours.
"""

import io
from pathlib import Path

from notes import explore
from notes._extras import needs
from notes.figures import intro
from notes.site.dependencies import PACKAGE

with needs("site"):
    from PIL import Image

PLACE = Path(".github") / "hero.webp"
STILL = PLACE.with_suffix(".png")
WIDTH = 680  # of a figure on the website
TIMES = range(0, 40 * intro.EVERY, intro.EVERY)


def frame(time):
    """The figure at a time, as wide as on the website."""
    picture = Image.open(io.BytesIO(explore.png(intro.hero(time)))).convert("RGB")
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)


def main(root=PACKAGE.parent):
    first, *others = map(frame, TIMES)
    # 15 frames a second, as on the website, and the last one for as long as it takes to look at it; for ever.
    durations = [67] * len(others) + [2000]
    first.save(root / PLACE, save_all=True, append_images=others, duration=durations, loop=0, quality=60, method=4)
    (root / STILL).write_bytes(explore.png(intro.hero()))
    print(f"Drawn: {root / PLACE}, and {STILL.name} beside it")


if __name__ == "__main__":
    main()
