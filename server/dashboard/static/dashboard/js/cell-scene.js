import { colorOf } from "./colors.js";
import { cylinders, spheres } from "./meshes.js";

// A cell in 3D, by 3Dmol: a shape for each element and for each color of bonds. It is drawn anew where colors change,
// and selections are found among the projected bonds and atoms, so that thousands of bonds stay one shape for each color.

const NONE = "none";
const ATOM = 0.42;
const TURNED = [0.103, 0.173, -0.018, 0.979]; // by 12° and 20°, so that atoms behind others are seen
const ALONG = { x: [0, -Math.SQRT1_2, 0, Math.SQRT1_2], y: [Math.SQRT1_2, 0, 0, Math.SQRT1_2], z: [0, 0, 0, 1] };
const SMALLEST = 2; // Å: a smaller molecule is not made larger
const REACH = 9; // px from the pointer to what it selects
const RADII = [0.05, 0.06, 0.07, 0.085, 0.1, 0.12, 0.14];
const SIGNED_RADII = [0.14, 0.1, 0.07, 0.05, 0.07, 0.1, 0.14];

const point = (values, offset = 0) => ({ x: values[offset], y: values[offset + 1], z: values[offset + 2] });

export function hasWebGL() {
  try {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
  } catch {
    return false;
  }
}

export class Scene {
  /**
   * @param {HTMLElement} place where it is drawn
   * @param {object} scene atoms, lattice (empty: no cell) and sticks, as server/dashboard/cell_scene.py gives them; may have
   *   radii (of each element) and bond (the radius of bonds without a value), Å, 
   *   along (the axis that it is seen along at first) and reach (px from the pointer to what it selects)
   * @param {(kind: "bond"|"atom"|null, index: number) => void} select called with what is clicked on
   */
  constructor(place, scene, select) {
    this.place = place;
    this.scene = scene;
    this.positions = new Map(scene.atoms.map((atom) => [atom[0], point(atom, 2)]));
    this.viewer = window.$3Dmol.createViewer(place, { backgroundColor: colorOf(place.parentElement, "backgroundColor"), antialias: true, minimumZoomToDistance: SMALLEST });
    this.colored = [];
    this.fixed = [];
    this.marks = [];
    this.pick(select);
    this.keys();
    new ResizeObserver(() => this.viewer.resize()).observe(place);
  }

  shape(color, list) {
    const shape = this.viewer.addShape({ color });
    list.push(shape);
    return shape;
  }

  /** Adds one shape of these meshes. */
  meshes(color, list, found, opacity = 1) {
    for (const mesh of found) list.push(this.viewer.addCustom({ ...mesh, color, opacity }));
  }

  clear(list) {
    for (const shape of list.splice(0)) this.viewer.removeShape(shape);
  }

  /** Draws everything anew: at the start, and where the theme changes. */
  draw(bins, isSigned, chosen) {
    this.viewer.setBackgroundColor(colorOf(this.place.parentElement, "backgroundColor"));
    this.clear(this.fixed);
    const swatches = this.place.parentElement.querySelectorAll(".cell-elements .swatch");
    this.scene.elements.forEach((_, element) => {
      const own = this.scene.atoms.filter((atom) => atom[1] === element);
      const radius = this.scene.radii?.[element] ?? ATOM;
      this.meshes(colorOf(swatches[element]), this.fixed, spheres(own.map((atom) => ({ center: point(atom, 2), radius }))));
    });
    const line = colorOf(this.place.parentElement.querySelector(".swatch.bin-none"));
    const box = this.shape(line, this.fixed);
    for (const [start, end] of this.edges()) box.addCylinder({ start, end, radius: 0.03, color: line });
    this.color(bins, isSigned, false);
    this.mark(chosen, false);
    if (!this.isPlaced) {
      this.whole(this.scene.along ? ALONG[this.scene.along] : TURNED);
      if (this.scene.along) {
        this.viewer.rotate(15, "y");
        this.viewer.rotate(10, "x");
      }
      this.isPlaced = true;
    }
    this.viewer.render();
  }

  /** Shows the whole cell, turned if a quaternion is given. */
  whole(turned = null) {
    this.viewer.zoomTo();
    const view = this.viewer.getView();
    if (turned) view.splice(4, 4, ...turned);
    this.viewer.setView(view);
  }

  edges() {
    if (!this.scene.lattice.length) return [];
    const corner = (bits) => {
      const [a, b, c] = this.scene.lattice;
      const part = (axis) => [a, b, c].reduce((sum, vector, place) => sum + (bits & (1 << place) ? vector[axis] : 0), 0);
      return { x: part(0), y: part(1), z: part(2) };
    };
    const found = [];
    for (let bits = 0; bits < 8; bits++) {
      for (const bit of [1, 2, 4]) if (!(bits & bit)) found.push([corner(bits), corner(bits | bit)]);
    }
    return found;
  }

  sticks(index, radius) {
    return this.scene.sticks[index].map((stick) => ({ start: point(stick), end: point(stick, 3), radius }));
  }

  /** Colors the bonds by their bins; null is no value. */
  color(bins, isSigned, render = true) {
    this.clear(this.colored);
    this.bins = bins;
    const legend = this.place.parentElement.querySelector(".cell-legend");
    const radii = isSigned ? SIGNED_RADII : RADII;
    const sticks = new Map();
    bins.forEach((bin, index) => {
      const name = bin ?? NONE;
      if (!sticks.has(name)) sticks.set(name, []);
      sticks.get(name).push(...this.sticks(index, bin === null ? (this.scene.bond ?? 0.03) : radii[bin]));
    });
    for (const [name, own] of sticks) this.meshes(colorOf(legend.querySelector(`.bin-${name}`)), this.colored, cylinders(own));
    if (render) this.viewer.render();
  }

  /** Marks selected bonds and an atom: {bonds: indexes, atom: index or null}. */
  mark({ bonds, atom }, render = true) {
    this.clear(this.marks);
    const color = colorOf(this.place);
    this.meshes(color, this.marks, cylinders(bonds.flatMap((index) => this.sticks(index, 0.2))));
    const ends = atom !== null ? [atom] : bonds.length === 1 ? [this.scene.i[bonds[0]], this.scene.j[bonds[0]]] : [];
    const shown = ends.filter((one) => this.positions.has(one));
    const balls = shown.map((one) => ({ center: this.positions.get(one), radius: ATOM * 1.6 }));
    this.meshes(color, this.marks, spheres(balls), 0.55);
    if (render) this.viewer.render();
  }

  // How near a point is to the reader: its height after the view's rotation.
  depth({ x, y, z }) {
    const [, , , , qx, qy, qz, qw] = this.viewer.getView();
    const [tx, ty, tz] = [2 * (qy * z - qz * y), 2 * (qz * x - qx * z), 2 * (qx * y - qy * x)];
    return z + qw * tz + (qx * ty - qy * tx);
  }

  pick(select) {
    let down = null;
    this.place.addEventListener("pointerdown", (event) => (down = [event.clientX, event.clientY]), true);
    this.place.addEventListener("pointerup", (event) => {
      if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return;
      const found = this.at(event.pageX, event.pageY);
      if (found) select(...found);
    }, true);
  }

  /** What is drawn at a place of the page: ["atom", index], ["bond", index] or null. */
  at(x, y) {
    let best = null;
    const offer = (distance, depth, kind, index) => {
      const score = distance * 2 - depth; // the nearest to the pointer; of some that lie on each other, the front one
      if (distance <= (this.scene.reach ?? REACH) && (best === null || score < best[0])) best = [score, kind, index];
    };
    const atoms = [...this.positions];
    this.viewer.modelToScreen(atoms.map(([, position]) => position)).forEach((screen, place) => {
      offer(Math.hypot(screen.x - x, screen.y - y), this.depth(atoms[place][1]) + ATOM, "atom", atoms[place][0]);
    });
    const sticks = this.scene.sticks.flatMap((own, index) => own.map((stick) => [index, point(stick), point(stick, 3)]));
    const ends = this.viewer.modelToScreen(sticks.flatMap(([, start, end]) => [start, end]));
    sticks.forEach(([index, start, end], place) => {
      const [a, b] = [ends[2 * place], ends[2 * place + 1]];
      const [dx, dy] = [b.x - a.x, b.y - a.y];
      const along = Math.min(1, Math.max(0, ((x - a.x) * dx + (y - a.y) * dy) / (dx * dx + dy * dy || 1)));
      const depth = (1 - along) * this.depth(start) + along * this.depth(end);
      offer(Math.hypot(a.x + along * dx - x, a.y + along * dy - y), depth, "bond", index);
    });
    return best && [best[1], best[2]];
  }

  keys() {
    const turns = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"] };
    this.place.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (turns[event.key]) this.viewer.rotate(...turns[event.key]);
      else if (event.key === "+" || event.key === "=") this.viewer.zoom(1.2);
      else if (event.key === "-") this.viewer.zoom(1 / 1.2);
      else if (event.key === "0") this.whole();
      else return;
      this.viewer.render();
      event.preventDefault();
    });
  }
}
