// Colors of the style sheets, for what is drawn by scripts. A variable may be light-dark(): an element resolves it.

const probe = document.createElement("span");
probe.hidden = true;

/** The color that style sheets give an element, as #rrggbb. */
export function colorOf(element, property = "color") {
  const [red, green, blue] = getComputedStyle(element)[property].match(/[\d.]+/g).map(Number);
  return `#${[red, green, blue].map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;
}

/** The present value of a variable such as "--ink", as #rrggbb. */
export function color(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${name})`;
  return colorOf(probe);
}
