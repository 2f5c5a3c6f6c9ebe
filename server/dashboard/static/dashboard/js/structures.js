// Structures in 3D: the picture of each figure is replaced by a view that can be turned. Without WebGL the pictures stay.
import { Scene, hasWebGL } from "./cell-scene.js";

class Figure {
  constructor(root) {
    this.root = root;
    this.data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    this.place = root.querySelector(".cell-scene");
    this.chosen = [];
    const button = root.querySelector("[data-turn]");
    if (!button) return this.show();
    button.hidden = false;
    button.addEventListener("click", () => {
      button.hidden = true;
      this.show();
      this.place.focus();
    });
  }

  show() {
    this.place.hidden = false;
    try {
      this.scene = new Scene(this.place, this.data, (kind, index) => this.select(kind, index));
      this.draw();
    } catch (error) {
      console.warn(`3D: ${error.message}`); // the picture stays
      this.place.hidden = true;
      return;
    }
    this.place.tabIndex = 0;
    this.place.setAttribute("role", "application");
    this.place.setAttribute("aria-label", `${this.root.dataset.structure} in 3D: arrow keys turn it, plus and minus zoom, 0 shows all of it`);
    this.root.querySelector(".cell-picture-place").hidden = true;
    this.root.querySelector("[data-help]").hidden = false;
    this.root.dataset.ready = "";
    document.addEventListener("tailrace:theme", () => this.draw());
  }

  draw() {
    this.scene.draw(this.data.sticks.map(() => null), false, this.marked());
  }

  marked() {
    return { bonds: [], atom: this.chosen.at(-1) ?? null };
  }

  // The last two atoms that were clicked on, or those of a bond.
  select(kind, index) {
    const clicked = kind === "bond" ? [this.data.i[index], this.data.j[index]] : [index];
    this.chosen = [...this.chosen.filter((one) => !clicked.includes(one)), ...clicked].slice(-2);
    this.scene.mark(this.marked());
    const [a, b] = this.chosen.map((one) => this.data.atoms[one]).reverse();
    const name = (atom) => `${this.data.elements[atom[1]]} ${atom[0] + 1}`;
    let text = `${name(a)} at ${a.slice(2).map((value) => value.toFixed(3)).join(", ")} Å`;
    if (b) text += `; ${Math.hypot(a[2] - b[2], a[3] - b[3], a[4] - b[4]).toFixed(3)} Å from ${name(b)}`;
    this.root.querySelector("[data-state]").textContent = text;
  }
}

if (window.$3Dmol && hasWebGL()) for (const root of document.querySelectorAll("[data-structure]")) new Figure(root);
