// The page of a cell: its bonds in 3D, colored anew where a choice or a slider changes, and one selection in the picture,
// the tables and the page's address. Without WebGL, the picture, links and forms of the page do the same.
import { Scene, hasWebGL } from "./cell-scene.js";

const STEPS = 60; // of a bond-by-bond replay
const BINS = 7;

function shown(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(4)));
}

const digits = (value) => String(Number(value.toPrecision(3)));

class CellPage {
  constructor(root) {
    this.root = root;
    this.address = new URL(location.href);
    this.n = root.dataset.n === "" ? null : Number(root.dataset.n);
    this.by = document.getElementById("by").value;
    this.bond = root.dataset.bond === "" ? null : Number(root.dataset.bond);
    this.atom = root.dataset.atom === "" ? null : Number(root.dataset.atom) - 1;
    this.moments = new Map();
    this.asked = 0;
  }

  async start() {
    this.data = await this.load(new URL(this.root.dataset.url, location.href));
    this.record = this.data; // what a slider goes back to
    this.isMoment = this.data.at !== null;
    this.picture();
    if (!this.scene) return this.withoutScene();
    this.rows();
    this.choices();
    this.sliders();
    this.root.dataset.ready = "";
  }

  // Links and forms load the page, so that its picture shows what was chosen.
  withoutScene() {
    const slider = document.getElementById("n");
    slider?.addEventListener("input", () => {
      slider.form.querySelector("output").textContent = Number(slider.value).toLocaleString("en-US");
    });
  }

  async load(url) {
    const answer = await fetch(url, { headers: { Accept: "application/json" } });
    if (answer.redirected) throw new Error("You are signed out. Load the page again.");
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      throw new Error(page.querySelector("main .message p, main p")?.textContent ?? `The server answered ${answer.status}.`);
    }
    return answer.json();
  }

  // Colors

  values() {
    if (this.by === "strength") return this.data.strength;
    const own = this.data[this.by];
    return this.n === null ? own : own.map((value, index) => (this.data.first + index <= this.n ? value : null));
  }

  bins() {
    const edges = this.data.edges[this.by];
    return this.values().map((value) => (value === null || !edges.length ? null : edges.filter((edge) => edge <= value).length));
  }

  get isSigned() {
    return this.by === "residual";
  }

  recolor() {
    this.legend();
    this.scene.color(this.bins(), this.isSigned);
    this.sentence();
    this.fill();
  }

  legend() {
    const place = this.root.querySelector(".cell-legend");
    place.classList.toggle("signed", this.isSigned);
    place.classList.toggle("scale", !this.isSigned);
    const label = this.data.labels[this.by];
    place.querySelector("[data-legend-title]").textContent = label[0].toUpperCase() + label.slice(1);
    const edges = this.data.edges[this.by];
    const items = edges.length
      ? Array.from({ length: BINS }, (_, bin) => {
          if (bin === 0) return [bin, `below ${digits(edges[0])}`];
          if (bin === BINS - 1) return [bin, `from ${digits(edges[BINS - 2])}`];
          return [bin, `${digits(edges[bin - 1])} to ${digits(edges[bin])}`];
        })
      : [];
    place.querySelector("[data-legend]").replaceChildren(
      ...[...items, ["none", "no value"]].map(([bin, text]) => {
        const item = document.createElement("li");
        const swatch = document.createElement("span");
        swatch.className = `swatch bin-${bin}`;
        const words = document.createElement("span");
        words.textContent = text;
        item.append(swatch, words);
        return item;
      }),
    );
  }

  sentence() {
    const known = this.values().filter((value) => value !== null);
    const all = this.data.strength.length;
    let text = `${all.toLocaleString("en-US")} bonds`;
    if (known.length) {
      const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
      const [low, high] = known.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
      text += `, colored by ${this.data.labels[this.by]}: ${digits(low)} to ${digits(high)}, mean ${digits(mean)}`;
      if (this.isSigned) {
        text += `, RMSE ${digits(Math.sqrt(known.reduce((sum, value) => sum + value * value, 0) / known.length))}`;
      }
    }
    if (known.length < all) text += `; ${(all - known.length).toLocaleString("en-US")} have no value`;
    this.root.querySelector(".sentence").textContent = `${text}.`;
  }

  state(text) {
    this.root.querySelector("[data-state]").textContent = text;
  }

  // The tables show what the colors show.
  fill() {
    const [prediction, residual, width] = ["prediction", "residual", "uncertainty"].map((name) => this.data[name]);
    for (const row of this.bondRows.values()) {
      const index = Number(row.id.slice(5)) - this.data.first;
      const cells = row.cells;
      if (cells.length < 8) return;
      const isLater = this.n !== null && this.data.first + index > this.n;
      [prediction, residual, width].forEach((values, place) => {
        const text = isLater ? "–" : shown(values[index]);
        if (cells[5 + place].textContent !== text) cells[5 + place].textContent = text;
      });
    }
  }

  // Selection

  rows() {
    const of = (table, pattern) =>
      new Map([...this.root.querySelectorAll(`${table} tbody tr`)].map((row) => [Number(row.id.slice(pattern.length)), row]));
    this.bondRows = of("[data-bond-table]", "bond-");
    this.atomRows = of("[data-atom-table]", "atom-");
    this.root.addEventListener("click", (event) => {
      const row = event.target.closest("[data-bond-table] tbody tr, [data-atom-table] tbody tr");
      if (!row || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      const link = event.target.closest("a");
      if (link && !link.getAttribute("href").startsWith("?")) return;
      event.preventDefault();
      if (row.id.startsWith("bond-")) this.select(Number(row.id.slice(5)), null);
      else this.select(null, Number(row.id.slice(5)) - 1);
    });
    this.root.addEventListener("keydown", (event) => {
      if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
      const numbers = [...this.bondRows.keys()];
      const step = { n: 1, p: -1 }[event.key.toLowerCase()];
      if (step && numbers.length) {
        const place = numbers.indexOf(this.bond);
        const next = place < 0 ? (step > 0 ? 0 : numbers.length - 1) : (place + step + numbers.length) % numbers.length;
        this.select(numbers[next], null);
      } else if (event.key === "Escape") this.select(null, null);
      else return;
      event.preventDefault();
    });
  }

  get chosen() {
    if (this.bond !== null) return { bonds: [this.bond - this.data.first], atom: null };
    if (this.atom === null) return { bonds: [], atom: null };
    const { i = [], j = [] } = this.data.scene;
    return { bonds: i.map((_, index) => index).filter((index) => i[index] === this.atom || j[index] === this.atom), atom: this.atom };
  }

  select(bond, atom) {
    [this.bond, this.atom] = [bond, atom];
    this.remember({ bond, atom: atom === null ? null : atom + 1 });
    const { bonds } = this.chosen;
    const atoms = bond !== null ? [this.data.scene.i[bonds[0]], this.data.scene.j[bonds[0]]] : atom === null ? [] : [atom];
    this.highlight(this.bondRows, new Set(bonds.map((index) => index + this.data.first)), bond);
    this.highlight(this.atomRows, new Set(atoms.map((one) => one + 1)), atom === null ? null : atom + 1);
    this.scene.mark(this.chosen);
    this.about();
  }

  highlight(rows, numbers, current) {
    let first = null;
    for (const [number, row] of rows) {
      const isChosen = numbers.has(number);
      row.classList.toggle("chosen", isChosen);
      const link = row.querySelector("a");
      if (number === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
      if (isChosen && (first === null || number === current)) first = row;
    }
    const box = first?.closest(".scrolls");
    if (!box || box.contains(document.activeElement) && first.contains(document.activeElement)) return;
    box.scrollTop += first.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
  }

  async about() {
    const place = document.getElementById("bond");
    const asked = ++this.asked;
    if (this.bond === null) {
      const text = document.createElement("p");
      if (this.atom !== null) text.textContent = `Atom ${this.atom + 1} and its ${this.chosen.bonds.length} bonds are selected.`;
      else text.textContent = "Select a bond or an atom in a table or in the picture.";
      place.replaceChildren(text);
      return;
    }
    const url = new URL(`${this.root.dataset.bonds}${this.bond}/`, location.href);
    for (const name of ["model", "part", "at"]) {
      const value = this.address.searchParams.get(name);
      if (value) url.searchParams.set(name, value);
    }
    const answer = await fetch(url).catch(() => null);
    if (asked !== this.asked) return;
    if (!answer || !answer.ok || answer.redirected) {
      const text = document.createElement("p");
      text.textContent = "The server does not answer now: select it again.";
      place.replaceChildren(text);
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (asked === this.asked) place.replaceChildren(...page.body.childNodes);
  }

  remember(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) this.address.searchParams.delete(name);
      else this.address.searchParams.set(name, String(value));
    }
    this.address.hash = "";
    history.replaceState(null, "", this.address);
    // Forms and links that load the page keep what is chosen here.
    for (const input of document.querySelectorAll("form [type=hidden][name=by]")) input.value = this.by;
  }

  // Choices and sliders

  choices() {
    const form = document.querySelector("form[data-choices]");
    form.addEventListener("change", (event) => {
      if (event.target.name === "by") {
        this.by = event.target.value;
        this.remember({ by: this.by });
        this.recolor();
      } else form.requestSubmit();
    });
  }

  sliders() {
    const record = document.querySelector("form[data-record]");
    if (!record) return;
    const slider = record.elements.n;
    const output = record.querySelector("output");
    slider.addEventListener("input", () => {
      output.textContent = Number(slider.value).toLocaleString("en-US");
      this.goTo(Number(slider.value));
    });
    record.addEventListener("submit", (event) => {
      event.preventDefault();
      this.goTo(Number(slider.value));
    });
    this.player(record, () => {
      const [low, high, now] = [Number(slider.min), Number(slider.max), Number(slider.value)];
      const next = now >= high ? low : Math.min(high, now + Math.max(1, Math.ceil((high - low) / STEPS)));
      slider.value = String(next);
      slider.dispatchEvent(new Event("input"));
      return next < high;
    }, 150);

    const form = document.querySelector("form[data-moments]");
    const select = form.elements.at;
    select.addEventListener("change", () => this.goBack(Number(select.value)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.goBack(Number(select.value));
    });
    this.player(form, async () => {
      select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
      await this.goBack(Number(select.value));
      return select.selectedIndex < select.options.length - 1;
    }, 700);
  }

  /** Adds a button that takes steps until one returns false, or until it is pressed again. */
  player(form, step, pause) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = "Play";
    let waiting = 0;
    const stop = () => {
      clearTimeout(waiting);
      waiting = 0;
      button.textContent = "Play";
    };
    const next = async () => {
      const mine = waiting;
      if (!(await step()) || waiting !== mine) return stop();
      waiting = setTimeout(next, pause);
    };
    button.addEventListener("click", () => {
      if (waiting) return stop();
      button.textContent = "Pause";
      waiting = setTimeout(next, 0);
    });
    form.append(button);
  }

  // Strength is the same at each n: what the model makes of it is shown instead.
  leaveStrength() {
    if (this.by !== "strength") return;
    this.by = "residual";
    document.getElementById("by").value = this.by;
  }

  async goTo(n) {
    this.leaveStrength();
    if (this.isMoment) {
      this.asked++;
      const url = new URL(this.root.dataset.url, location.href);
      url.searchParams.delete("at");
      url.searchParams.set("only", "values");
      this.record = this.record.at === null ? this.record : { ...this.data, ...(await this.load(url).catch(() => ({}))) };
      this.data = this.record;
      this.isMoment = false;
    }
    const last = this.data.first + this.data.strength.length - 1;
    this.n = n >= last ? null : n;
    this.remember({ n: this.n, at: null, by: this.by });
    this.state(this.n === null ? "" : `As it was after observation ${n.toLocaleString("en-US")}: later bonds have no value yet.`);
    this.recolor();
  }

  async goBack(at) {
    this.leaveStrength();
    this.n = null;
    const words = `observation ${at.toLocaleString("en-US")}`;
    if (!this.moments.has(at)) {
      this.state(`Going back to ${words} …`);
      const url = new URL(this.root.dataset.url, location.href);
      url.searchParams.set("at", String(at));
      url.searchParams.set("only", "values");
      try {
        this.moments.set(at, await this.load(url));
      } catch (error) {
        this.state(error.message);
        return;
      }
    }
    if (Number(document.querySelector("form[data-moments]").elements.at.value) !== at) return; // another one was chosen meanwhile
    this.data = { ...this.data, ...this.moments.get(at) };
    this.isMoment = true;
    this.remember({ n: null, at, by: this.by });
    this.state(`Predictions of the model as of ${words}.`);
    this.recolor();
    if (this.bond !== null) this.about();
  }

  picture() {
    const { scene } = this.data;
    if (!scene.atoms.length || !window.$3Dmol || !hasWebGL()) return;
    const place = this.root.querySelector(".cell-scene");
    place.hidden = false;
    try {
      this.scene = new Scene(place, scene, (kind, index) => {
        if (kind === "bond") this.select(index + this.data.first, null);
        else this.select(null, index);
      });
      this.scene.draw(this.bins(), this.isSigned, this.chosen);
    } catch (error) {
      console.warn(`3D: ${error.message}`); // the picture stays
      this.scene = null;
      place.hidden = true;
      return;
    }
    place.tabIndex = 0;
    place.setAttribute("role", "application");
    place.setAttribute("aria-label", "The cell in 3D: arrow keys turn it, plus and minus zoom, N and P select a bond, Escape none");
    this.root.querySelector(".cell-picture-place").hidden = true;
    this.root.querySelector("[data-help]").hidden = false;
    document.querySelector("[data-flat]").hidden = true;
    document.addEventListener("tailrace:theme", () => this.scene.draw(this.bins(), this.isSigned, this.chosen));
  }
}

const root = document.querySelector("[data-cell]");
if (root) {
  const page = new CellPage(root);
  page.start().catch((error) => page.state(error.message)); // the picture and the tables stay
}
