// Times in the reader's zone, with UTC beside them; ages that grow while the page is open. Without scripts, times are UTC.

const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const PARTS = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" };
const LOCAL = new Intl.DateTimeFormat("sv-SE", PARTS); // 2026-11-30 17:05
const UTC = new Intl.DateTimeFormat("sv-SE", { ...PARTS, timeZone: "UTC" });
const LOCAL_SECONDS = new Intl.DateTimeFormat("sv-SE", { ...PARTS, second: "2-digit" });
const UTC_SECONDS = new Intl.DateTimeFormat("sv-SE", { ...PARTS, second: "2-digit", timeZone: "UTC" });
const NAME = new Intl.DateTimeFormat("en", { timeZoneName: "short" });
const UNITS = [["days", 86400, 2 * 86400], ["h", 3600, 2 * 3600], ["min", 60, 120], ["s", 1, 0]];

const zone = (moment) => NAME.formatToParts(moment).find((part) => part.type === "timeZoneName").value;

/** "3 min ago", as server/dashboard/formatting.py writes it. */
export function age(moment, now = new Date()) {
  const seconds = Math.round((now - moment) / 1000);
  const [unit, size] = UNITS.find(([, , least]) => Math.abs(seconds) >= least);
  const count = Math.floor(Math.abs(seconds) / size).toLocaleString("en-US");
  return seconds < 0 ? `in ${count} ${unit}` : `${count} ${unit} ago`;
}

/** "2026-11-30 17:05:09 CET (16:05:09 UTC)". */
export function exact(moment) {
  const local = LOCAL_SECONDS.format(moment);
  const utc = UTC_SECONDS.format(moment);
  if (local === utc) return `${utc} UTC`;
  return `${local} ${zone(moment)} (${local.slice(0, 10) === utc.slice(0, 10) ? utc.slice(11) : utc} UTC)`;
}

function show(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.valueOf())) return;
  element.title = exact(moment);
  if (element.dataset.as === "age") {
    const text = age(moment);
    if (element.textContent !== text) element.textContent = text;
    return;
  }
  if (element.dataset.shown) return;
  element.dataset.shown = "1";
  const local = LOCAL.format(moment);
  const utc = UTC.format(moment);
  if (local === utc) return; // the reader's zone is UTC
  const beside = document.createElement("span");
  beside.className = "utc";
  beside.textContent = ` ${local.slice(0, 10) === utc.slice(0, 10) ? utc.slice(11) : utc} UTC`;
  element.replaceChildren(`${local} ${zone(moment)}`, beside);
}

export function showAll(within = document) {
  within.querySelectorAll("time[datetime][data-as]").forEach(show);
}

for (const element of document.querySelectorAll("[data-zone]")) {
  if (LOCAL.format(new Date()) !== UTC.format(new Date())) {
    element.textContent = `Times are in your zone, ${ZONE}, with UTC beside them.`;
  }
}
showAll();
setInterval(() => document.hidden || showAll(), 5000);
document.addEventListener("visibilitychange", () => document.hidden || showAll());
document.addEventListener("htmx:afterSettle", (event) => showAll(event.target));
