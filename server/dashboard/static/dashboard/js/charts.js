// Charts: every <figure data-chart="URL"> becomes a uPlot chart of the JSON at that URL, with a read-out below it,
// zoom by dragging or by keyboard, a PNG, and deltas while observations come.

import { color } from "./colors.js";
import { box, diagonal, dots, shown, spread, timeTicks, withoutExtremes } from "./painting.js";
import { exact } from "./times.js";

const TONES = 6;
const LEAST_WAIT = 2; // seconds between two questions for news; the server may ask for more
const WAIT = "X-Tailrace-Wait";

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.place = figure.querySelector(".canvas");
    this.readout = figure.querySelector(".readout");
    this.url = new URL(figure.dataset.chart, location.href);
    this.cursor = null;
    this.hidden = new Set();
    this.brush = figure.parentElement.querySelector("form.brush"); // dragging chooses suspects there
    this.chooses = this.brush !== null;
    this.wait = LEAST_WAIT;
    this.end = null; // the point at which a range began that is chosen by keyboard
  }

  async start() {
    this.data = await this.load(this.url);
    if (!this.data) return; // the picture and the table stay
    this.first = this.data.x.length;
    if (this.first) this.begin();
    this.watch();
  }

  begin() {
    this.figure.classList.remove("is-empty");
    this.buttons();
    this.draw();
  }

  buttons() {
    const tools = this.figure.querySelector(".tools");
    const add = (text, action, title) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "plain small";
      button.textContent = text;
      if (title) button.title = title;
      button.addEventListener("click", action);
      tools.insertBefore(button, tools.querySelector("details"));
      return button;
    };
    add("PNG", () => this.picture(), "Save the chart as a picture");
    const cut = add("Cut extremes", () => {
      this.cuts = !this.cuts;
      cut.setAttribute("aria-pressed", String(this.cuts));
      this.draw();
    }, "Show the range that 98 of 100 values are in");
    cut.setAttribute("aria-pressed", "false");
    this.whole = add("Whole range", () => this.zoom(null, null));
    this.whole.hidden = true;
    if (!this.brush) return;
    this.brush.querySelector("[data-scripted]").hidden = false;
    const mode = add("Drag to zoom", () => {
      this.chooses = !this.chooses;
      mode.setAttribute("aria-pressed", String(!this.chooses));
    }, "Dragging chooses suspects, unless this is pressed");
    mode.setAttribute("aria-pressed", "false");
    this.brush.addEventListener("input", () => this.plot.redraw());
  }

  // Puts a range into the form, which asks the server for all observations in it, also those that aren't drawn.
  choose(range) {
    for (const [name, value] of Object.entries(range)) this.brush.elements[name].value = value ?? "";
    this.plot.redraw();
    this.brush.dispatchEvent(new Event("brushed"));
  }

  columns() {
    if (this.data.kind === "scatter") {
      return [null, ...this.data.series.map((one) => [this.data.x, one.values])];
    }
    return [this.data.x, ...this.data.series.map((one) => one.values)];
  }

  options() {
    const scatter = this.data.kind === "scatter";
    const ink = color("--quiet");
    const grid = { stroke: color("--line"), width: 1 };
    const axis = { stroke: ink, grid, ticks: grid, font: "12px system-ui, sans-serif" };
    const series = this.data.series.map((one, index) => {
      const stroke = color(`--series-${(one.tone % TONES) + 1}`);
      const points = one.style === "points" || scatter;
      return {
        label: one.label,
        stroke,
        show: !this.hidden.has(index),
        width: one.style === "low" || one.style === "high" ? 0 : 2,
        dash: one.tone % 2 ? [6, 3] : undefined,
        points: { show: points ? true : undefined, size: 5, fill: stroke, stroke },
        paths: points ? (scatter ? dots : () => null) : one.style === "bars" ? uPlot.paths.bars({ size: [0.9, 60] }) : undefined,
        fill: one.style === "bars" ? `${stroke}80` : undefined,
        facets: scatter ? [{ scale: "x", auto: true }, { scale: "y", auto: true }] : undefined,
        spanGaps: true,
      };
    });
    const bands = [];
    this.data.series.forEach((one, index) => {
      if (one.style === "low" && this.data.series[index + 1]?.style === "high") {
        bands.push({ series: [index + 2, index + 1], fill: `${color(`--series-${(one.tone % TONES) + 1}`)}2e` });
      }
    });
    return {
      mode: scatter ? 2 : 1,
      width: Math.max(260, this.place.clientWidth),
      height: Math.min(420, Math.max(220, Math.round(this.place.clientWidth * 0.36))),
      legend: { show: false },
      scales: { x: this.across(), y: this.up() },
      axes: [
        { ...axis, values: (_, ticks, __, ___, step) => (this.data.is_time ? timeTicks(ticks, step) : ticks.map(shown)) },
        { ...axis, size: 64, values: (_, ticks) => ticks.map(shown) },
      ],
      cursor: { drag: { x: true, y: scatter, setScale: false }, points: { size: 7 } },
      series: [scatter ? null : { label: this.data.x_label }, ...series],
      bands,
      hooks: {
        setCursor: [(plot) => this.read(plot.cursor.idx)],
        setSelect: [(plot) => this.select(plot)],
        draw: [...(this.data.diagonal ? [diagonal] : []), ...(this.brush ? [(plot) => box(plot, this.brush)] : [])],
      },
    };
  }

  across() {
    if (this.data.is_time) return { time: true, range: (_, low, high) => spread(low, high, 60) };
    return { time: false, ...(this.data.x.length === 1 && { range: (_, low, high) => spread(low, high, 2) }) };
  }

  up() {
    const range = this.cuts && withoutExtremes(this.data.series.filter((_, index) => !this.hidden.has(index)));
    if (!range && this.data.series.some((one) => one.style === "bars")) return { range: (_, low, high) => [Math.min(0, low), 1.05 * high || 1] };
    return range ? { range: () => range } : this.data.y_range ? { range: () => this.data.y_range } : {};
  }

  draw() {
    this.place.replaceChildren();
    this.plot = new uPlot(this.options(), this.columns(), this.place);
    const over = this.plot.over;
    over.tabIndex = 0;
    over.setAttribute("role", "application");
    over.setAttribute("aria-label", `${this.data.title}: arrow keys read values, plus zooms in, 0 shows all${this.brush ? ", Space chooses a range" : ""}`);
    over.addEventListener("keydown", (event) => this.key(event));
    this.read(null);
  }

  select(plot) {
    if (plot.select.width < 5) return;
    const low = plot.posToVal(plot.select.left, "x");
    const high = plot.posToVal(plot.select.left + plot.select.width, "x");
    if (this.chooses) {
      const [top, bottom] = [plot.select.top, plot.select.top + plot.select.height].map((place) => plot.posToVal(place, "y"));
      const rounded = (value) => Number(value.toPrecision(6));
      const isWhole = this.data.x_label === "observation"; // numbers of observations are whole
      const across = isWhole ? [Math.ceil(low), Math.floor(high)] : [low, high].map(rounded);
      this.choose({ x_from: across[0], x_to: across[1], error_from: rounded(bottom), error_to: rounded(top) });
    }
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (!this.chooses) this.zoom(low, high);
  }

  zoom(low, high) {
    const whole = low === null;
    this.whole.hidden = whole;
    this.zoomed = !whole;
    if (whole) {
      [low, high] = [Math.min(...this.data.x), Math.max(...this.data.x)];
    }
    this.plot.setScale("x", { min: low, max: high });
    this.figure.dispatchEvent(new CustomEvent("zoomed", { bubbles: true, detail: { low: whole ? null : low, high: whole ? null : high, chart: this.data.name } }));
  }

  key(event) {
    const size = this.data.x.length;
    const at = this.cursor ?? size - 1;
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: at - step, ArrowRight: at + step, Home: 0, End: size - 1 };
    if (event.key in moves) {
      const index = Math.min(size - 1, Math.max(0, moves[event.key]));
      this.read(index);
      if (this.data.kind !== "scatter") {
        this.plot.setCursor({ left: this.plot.valToPos(this.data.x[index], "x"), top: 10 }, false);
      }
    } else if (event.key === "+" || event.key === "-") {
      const { min, max } = this.plot.scales.x;
      const middle = this.data.x[at];
      const half = ((max - min) / 2) * (event.key === "+" ? 0.5 : 2);
      this.zoom(Math.max(Math.min(...this.data.x), middle - half), Math.min(Math.max(...this.data.x), middle + half));
    } else if (event.key === " " && this.brush) {
      if (this.end === null) {
        this.end = at;
      } else {
        const [low, high] = [this.data.x[this.end], this.data.x[at]].sort((one, other) => one - other);
        this.end = null;
        this.choose({ x_from: low, x_to: high, error_from: null, error_to: null });
      }
      this.read(at);
    } else if (event.key === "0" || event.key === "Escape") {
      this.zoom(null, null);
    } else {
      return;
    }
    event.preventDefault();
  }

  read(index) {
    this.cursor = index ?? null;
    const at = index ?? this.data.x.length - 1;
    this.readout.replaceChildren();
    const note = (text, tone, action) => {
      const one = document.createElement(action ? "button" : "span");
      if (action) {
        one.type = "button";
        one.className = "key";
        one.addEventListener("click", action);
      }
      if (tone !== undefined) {
        const mark = document.createElement("span");
        mark.className = `mark tone-${tone % TONES}`;
        one.append(mark);
      }
      one.append(text);
      this.readout.append(one);
      return one;
    };
    const x = this.data.x[at];
    note(`${this.data.x_label} ${this.data.is_time ? exact(new Date(1000 * x)) : shown(x)}`);
    this.data.series.forEach((one, series) => {
      const key = note(`${one.label} ${shown(one.values[at])}`, one.tone, () => {
        this.hidden.has(series) ? this.hidden.delete(series) : this.hidden.add(series);
        this.plot.setSeries(series + 1, { show: !this.hidden.has(series) });
        this.read(this.cursor);
      });
      key.setAttribute("aria-pressed", String(!this.hidden.has(series)));
    });
    for (const [name, values] of Object.entries(this.data.texts)) note(`${name} ${values[at]}`);
    if (this.end !== null) note(`A range begins at ${this.data.x_label} ${shown(this.data.x[this.end])}: Space again ends it`);
  }

  picture() {
    const canvas = this.plot.root.querySelector("canvas");
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height + 34];
    const pen = copy.getContext("2d");
    pen.fillStyle = color("--raised");
    pen.fillRect(0, 0, copy.width, copy.height);
    pen.fillStyle = color("--ink");
    pen.font = "16px system-ui, sans-serif";
    pen.fillText(this.data.title, 12, 22, copy.width - 24);
    pen.drawImage(canvas, 0, 34);
    copy.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `tailrace-${this.data.name}.png`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  watch() {
    new ResizeObserver(() => {
      const width = this.place.clientWidth;
      if (width && this.plot && Math.abs(width - this.plot.width) > 2) this.plot.setSize({ width, height: this.plot.height });
    }).observe(this.place);
    const redraw = () => this.plot && this.draw();
    document.addEventListener("tailrace:theme", redraw);
    if (this.data.live) this.poll();
  }

  // Asks for what is newer than the last position, and only while the page is seen and not paused.
  async poll() {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * this.wait));
      if (!this.figure.isConnected) return;
      if (document.hidden || document.documentElement.hasAttribute("data-paused")) continue;
      const { x, stands_for: width } = this.data;
      if (x.length > 3 * this.first) {
        this.data = (await this.load(this.url)) ?? this.data;
        this.first = this.data.x.length;
        this.plot.setData(this.columns(), !this.zoomed);
        continue;
      }
      // The last position may stand for fewer observations than the others: it is asked for again.
      const after = (width > 1 ? x.at(-2) : x.at(-1)) ?? 0;
      const url = new URL(this.url);
      url.searchParams.set("after", String(after));
      url.searchParams.set("stands_for", String(width));
      const news = await this.load(url);
      if (news === null) return;
      if (news && news.x.length && news.series.length === this.data.series.length) this.append(after, news);
    }
  }

  // Returns the answer; null if there will be none any more, undefined if the server doesn't answer now.
  async load(url) {
    try {
      const answer = await fetch(url, { headers: { Accept: "application/json", ...(this.data && { [WAIT]: String(this.wait) }) } });
      this.wait = Math.max(LEAST_WAIT, Number(answer.headers.get(WAIT)) || LEAST_WAIT);
      if (answer.status === 403 || answer.status === 404 || answer.redirected) return null;
      return answer.ok ? await answer.json() : undefined;
    } catch {
      return undefined;
    }
  }

  append(after, news) {
    const { x, series } = this.data;
    while (x.length && x.at(-1) > after) {
      x.pop();
      series.forEach((one) => one.values.pop());
    }
    x.push(...news.x);
    series.forEach((one, index) => one.values.push(...news.series[index].values));
    if (news.sentence) this.figure.querySelector(".sentence").textContent = news.sentence;
    if (!this.plot) return this.begin();
    this.plot.setData(this.columns(), !this.zoomed);
    if (this.cursor === null) this.read(null);
  }
}

export async function start(root = document) {
  for (const figure of root.querySelectorAll("figure[data-chart]:not([data-drawn])")) {
    figure.dataset.drawn = "";
    try {
      await new Chart(figure).start();
    } catch (error) {
      console.warn(`chart ${figure.id}: ${error.message}`); // the picture and the table stay
    }
  }
}

start();
