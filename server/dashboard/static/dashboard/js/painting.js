// What charts paint besides uPlot's own curves, and how their axes are written.
import { color } from "./colors.js";

const DAY = 86400;
const ZONED = { sec: { hour: "2-digit", minute: "2-digit", second: "2-digit" }, min: { hour: "2-digit", minute: "2-digit" }, day: { year: "numeric", month: "2-digit", day: "2-digit" } };
const WRITTEN = Object.fromEntries(Object.entries(ZONED).map(([name, parts]) => [name, new Intl.DateTimeFormat("sv-SE", parts)]));

export function shown(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return value.toPrecision(4);
  return size >= 1000 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(4)));
}

// Ticks of an axis of times, as times are written elsewhere: the day where it begins, else hours and minutes.
export function timeTicks(ticks, step) {
  const day = (at) => WRITTEN.day.format(new Date(1000 * at));
  return ticks.map((at, index) => {
    if (step >= DAY) return day(at);
    const time = (step >= 60 ? WRITTEN.min : WRITTEN.sec).format(new Date(1000 * at));
    return index === 0 || day(at) !== day(ticks[index - 1]) ? `${time}\n${day(at)}` : time;
  });
}

// A range that is never empty: a single position is in its middle.
export function spread(low, high, least) {
  return high - low >= least ? [low, high] : [(low + high - least) / 2, (low + high + least) / 2];
}

// The range that 98 of 100 values are in.
export function withoutExtremes(series) {
  const values = series.flatMap((one) => one.values.filter((value) => value !== null)).sort((one, other) => one - other);
  if (!values.length) return null;
  const at = (share) => values[Math.round(share * (values.length - 1))];
  const [low, high] = [at(0.01), at(0.99)];
  const margin = 0.05 * (high - low) || 1;
  return [low - margin, high + margin];
}

export function dots(plot, index) {
  const size = 5 * devicePixelRatio;
  uPlot.orient(plot, index, (series, xs, ys, scaleX, scaleY, toX, toY, left, top, width, height) => {
    const pen = plot.ctx;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    pen.fillStyle = series._stroke ?? series.stroke();
    const [x, y] = plot.data[index];
    for (let point = 0; point < x.length; point++) {
      if (y[point] === null) continue;
      pen.beginPath();
      pen.arc(toX(x[point], scaleX, width, left), toY(y[point], scaleY, height, top), size / 2, 0, 2 * Math.PI);
      pen.fill();
    }
    pen.restore();
  });
  return null;
}

// The range that a form of suspects has.
export function box(plot, form) {
  const value = (name, other) => (form.elements[name].value.trim() === "" ? other : Number(form.elements[name].value));
  if (["x_from", "x_to", "error_from", "error_to"].every((name) => form.elements[name].value.trim() === "")) return;
  const { x, y } = plot.scales;
  const place = (axis, at) => plot.valToPos(Math.min(axis.max, Math.max(axis.min, at)), axis === x ? "x" : "y", true);
  const [left, right] = [place(x, value("x_from", x.min)), place(x, value("x_to", x.max))];
  const [bottom, top] = [place(y, value("error_from", y.min)), place(y, value("error_to", y.max))];
  const pen = plot.ctx;
  pen.save();
  pen.strokeStyle = color("--accent");
  pen.lineWidth = 2 * devicePixelRatio;
  pen.strokeRect(left, top, right - left, bottom - top);
  pen.restore();
}

export function diagonal(plot) {
  const { x, y } = plot.scales;
  const low = Math.max(x.min, y.min);
  const high = Math.min(x.max, y.max);
  if (!(high > low)) return;
  const pen = plot.ctx;
  pen.save();
  pen.strokeStyle = color("--quiet");
  pen.setLineDash([5, 5]);
  pen.beginPath();
  pen.moveTo(plot.valToPos(low, "x", true), plot.valToPos(low, "y", true));
  pen.lineTo(plot.valToPos(high, "x", true), plot.valToPos(high, "y", true));
  pen.stroke();
  pen.restore();
}
