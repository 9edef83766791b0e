"use strict";
// The page is complete without this script, which adds a viewer, filters, and lists to copy or save.
const root = document.documentElement;
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const page = JSON.parse(find("#data").textContent);
for (const row of page.rows) if (row[3] === 0) row[3] = row[0];  // the file is named like the id
root.dataset.js = "";

// -- lists of ids -----------------------------------------------------------------------------
const unique = (rows) => [...new Map(rows.map((row) => [page.rows[row].slice(0, 2).join("\0"), row])).values()];
const ids = (rows) => unique(rows).map((row) => page.rows[row][0]).join("\n");
const cell = (value) => {
  const plain = String(value ?? "");
  // a spreadsheet would run it as a formula
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(plain) ? `'${plain}` : plain;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csv = (rows) =>
  [page.fields, ...rows.map((row) => page.fields.map((_, at) => page.rows[row][at]))]
    .map((line) => line.map(cell).join(",") + "\r\n").join("");

function notify(text) {
  const toast = find("#toast");
  (view.open ? view : document.body).append(toast);  // an open dialog hides what is behind it
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(notify.timer);
  notify.timer = setTimeout(() => { toast.hidden = true; }, 2500);
}

async function copy(rows) {
  const text = ids(rows);
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // no clipboard outside secure contexts: use the old way
    const area = document.createElement("textarea");
    area.value = text;
    (find("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const count = unique(rows).length;
  notify(`${count.toLocaleString("en")} id${count === 1 ? "" : "s"} copied`);
}

function save(rows, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" }));
  link.download = `${name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  notify(`${rows.length.toLocaleString("en")} rows saved as ${name}.csv`);
}

// -- pictures ---------------------------------------------------------------------------------
const rowsOf = (tile) => page.tiles[tile.dataset.t];
const shape = (tile) => [...tile.classList].filter((name) => /^p\d/.test(name) || name === "none");
const picked = new Set();
const view = find("#view");
let open = null;

function pick(tile) {
  const number = tile.dataset.t;
  if (!picked.delete(number)) picked.add(number);
  for (const same of all(`button.t[data-t="${number}"]`)) same.setAttribute("aria-pressed", picked.has(number));
  find("#picked").hidden = !picked.size;
  find("#picked-count").textContent = `${picked.size.toLocaleString("en")} picture${picked.size === 1 ? "" : "s"} selected`;
  if (open) show(open);
}
const pickedRows = () => [...picked].flatMap((number) => page.tiles[number]);

const neighbours = (tile) =>
  all("button.t", tile.closest("section")).filter((other) => other.checkVisibility());

function show(tile) {
  open = tile;
  const rows = rowsOf(tile), [id, copied, name, file, group, relation, symmetry, distance, difference] = page.rows[rows[0]];
  const around = neighbours(tile), several = rows.length > 1;
  const facts = [
    [several ? "ids" : "id", several ? rows.map((row) => page.rows[row][0]).join(", ") : id],
    ["copy", copied || ""],
    ["label", several ? [...new Set(rows.map((row) => page.rows[row][2]))].join(", ") : name],
    ["file", several ? [...new Set(rows.map((row) => page.rows[row][3]))].join(", ") : file],
    ["occurs", several ? `${rows.length.toLocaleString("en")} times` : ""],
    ["shown as", tile.closest("[data-where]")?.dataset.where ?? ""],
    ["group", group ?? ""],
    ["relation", { symmetry: "flipped or rotated" }[relation] ?? relation ?? ""],
    ["symmetry", symmetry === "identity" ? "" : (symmetry ?? "").replaceAll("_", " ")],
    ["distance", relation === "near" ? `${distance} bits, ${difference} levels` : ""],
  ].filter(([, value]) => value !== "");
  const big = find("#big");
  big.className = ["t", ...shape(tile)].join(" ");
  big.setAttribute("aria-label", tile.getAttribute("aria-label"));
  find("#facts").replaceChildren(...facts.flatMap(([key, value]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = key;
    text.textContent = value;
    return [term, text];
  }));
  find("#view-title").textContent = `${around.indexOf(tile) + 1} of ${around.length}`;
  find("#pick").setAttribute("aria-pressed", picked.has(tile.dataset.t));
  if (!view.open) view.showModal();
}

function step(by) {
  const around = neighbours(open);
  show(around[(around.indexOf(open) + by + around.length) % around.length]);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("button");
  if (!target) { if (event.target === view) view.close(); return; }
  if (target.matches("button.t")) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) pick(target); else show(target);
    return;
  }
  const from = target.dataset.from, chosen = {
    view: () => rowsOf(open), picked: pickedRows, filter: filteredRows,
    group: () => page.groups[target.closest(".group").id],
    alert: () => page.alerts[target.closest(".alert").dataset.key],
  }[from];
  if (target.dataset.do === "copy") copy(chosen());
  if (target.dataset.do === "save") save(chosen(), target.dataset.name ?? from);
  if (target.dataset.do === "step") step(Number(target.dataset.by));
  if (target.dataset.do === "close") view.close();
  if (target.dataset.do === "pick") pick(open);
  if (target.dataset.do === "unpick") for (const number of [...picked]) pick(find(`button.t[data-t="${number}"]`));
  if (target.dataset.do === "kind") choose(target.dataset.kind);
  if (target.dataset.do === "show") { choose(target.dataset.kind); location.hash = "duplicates"; }
});

view.addEventListener("close", () => { const last = open; open = null; last?.focus(); });
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const tile = event.target.closest?.("button.t");
  if (view.open && by) { event.preventDefault(); step(by); }
  else if (view.open && event.key === "s") pick(open);
  else if (tile && event.key === "s") pick(tile);
  else if (tile && by) {  // arrows move within a strip, Tab moves to the next one
    const strip = all("button.t", tile.closest(".strip"));
    const next = strip[strip.indexOf(tile) + by];
    if (next) { event.preventDefault(); tile.tabIndex = -1; next.tabIndex = 0; next.focus(); }
  }
});
for (const strip of all(".strip")) all("button.t", strip).forEach((tile, at) => { tile.tabIndex = at ? -1 : 0; });

// -- groups -----------------------------------------------------------------------------------
const groups = all("#groups > .group"), tools = find("#tools");
let kind = "all";
const KINDS = {
  all: () => true,
  conflict: (group) => group.dataset.conflict === "1",
  exact: (group) => group.dataset.kinds.includes("exact"),
  near: (group) => group.dataset.kinds.includes("near"),
  symmetry: (group) => group.dataset.kinds.includes("symmetry"),
  copies: (group) => /near|symmetry/.test(group.dataset.kinds),
};
const ORDERS = {
  first: (group) => [-group.dataset.conflict],
  size: (group) => [-group.dataset.size],
  small: (group) => [group.dataset.size],
  near: (group) => [group.dataset.distance, group.dataset.difference],
  far: (group) => [-group.dataset.distance, -group.dataset.difference],
};
const words = new Map(groups.map((group) => [
  group, page.groups[group.id].map((row) => page.rows[row].slice(0, 4).join(" ")).join("\n").toLowerCase(),
]));

function arrange() {
  const label = find("#label").value, text = find("#text").value.trim().toLowerCase();
  let seen = 0, images = 0;
  for (const group of groups) {
    const labels = page.groups[group.id].map((row) => page.rows[row][2]);
    group.hidden = !(KINDS[kind](group) && (!label || labels.includes(page.classes[label])) && words.get(group).includes(text));
    if (!group.hidden) { seen += 1; images += labels.length; }
  }
  const keys = new Map(groups.map((group) => [group, ORDERS[find("#order").value](group).map(Number)]));
  const sorted = [...groups].sort((a, b) => {
    const [one, two] = [keys.get(a), keys.get(b)];
    const at = one.findIndex((value, index) => value !== two[index]);
    return at < 0 ? Number(a.dataset.number) - Number(b.dataset.number) : one[at] - two[at];
  });
  find("#groups").append(...sorted);
  find("#seen").textContent = `${seen.toLocaleString("en")} of ${groups.length.toLocaleString("en")} groups, ${images.toLocaleString("en")} images`;
}
function choose(name) {
  kind = name;
  for (const button of all("[data-do=kind]")) button.setAttribute("aria-pressed", button.dataset.kind === name);
  if (tools) arrange();
}
const filteredRows = () =>
  all("#groups > .group").filter((group) => !group.hidden).flatMap((group) => page.groups[group.id]);
if (tools) {
  for (const name of ["label", "order"]) find(`#${name}`).addEventListener("change", arrange);
  find("#text").addEventListener("input", arrange);
  choose("all");
}

// -- colour theme and current section ------------------------------------------------------------
const theme = find("#theme");
function paint(name) {
  if (name === "auto") delete root.dataset.theme; else root.dataset.theme = name;
  theme.textContent = `◐ ${name}`;
  theme.setAttribute("aria-label", `Colours: ${name}`);
  theme.dataset.now = name;
}
let stored = null;
try { stored = localStorage.getItem("cellprep-theme"); } catch { /* pages opened from a file may have none */ }
paint(["light", "dark"].includes(stored) ? stored : "auto");
theme.addEventListener("click", () => {
  const next = { auto: "dark", dark: "light", light: "auto" }[theme.dataset.now];
  paint(next);
  try { localStorage.setItem("cellprep-theme", next); } catch { /* as above */ }
});
const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
const watch = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((one) => one.isIntersecting)) {
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -70% 0px" });
for (const id of links.keys()) { const section = document.getElementById(id); if (section) watch.observe(section); }
