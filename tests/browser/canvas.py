"""What a 3D view has painted."""

from typing import Any


def painted(page: Any) -> int:
    """How many pixels of the 3D view differ from its corner."""
    count: int = page.evaluate(
        """async () => {
          const canvas = document.querySelector(".cell-scene canvas");
          await new Promise((done) => requestAnimationFrame(done));
          const copy = document.createElement("canvas");
          [copy.width, copy.height] = [canvas.width, canvas.height];
          const pen = copy.getContext("2d");
          pen.drawImage(canvas, 0, 0);
          const { data } = pen.getImageData(0, 0, copy.width, copy.height);
          let count = 0;
          for (let at = 0; at < data.length; at += 4) {
            if (Math.abs(data[at] - data[0]) + Math.abs(data[at + 1] - data[1]) + Math.abs(data[at + 2] - data[2]) > 30) count++;
          }
          return count;
        }"""
    )
    return count
