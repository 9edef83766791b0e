"use strict";
// The page is complete without this script, which adds a viewer, filters, decisions, and lists to copy or
// save.
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
  const text = typeof value === "string" && /^'*[=+\-@\t\r]/.test(plain) ? `'${plain}` : plain;
  return /^\s|[",\r\n]|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csv = (lines) => lines.map((line) => line.map(cell).join(",") + "\r\n").join("");

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
  download([page.fields, ...rows.map((row) => page.fields.map((_, at) => page.rows[row][at]))], name);
  notify(`${rows.length.toLocaleString("en")} rows saved as ${name}.csv`);
}

function download(lines, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv(lines)], { type: "text/csv" }));
  link.download = `${name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
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
  if (view.open) return;
  view.showModal();
  find("#view-next").focus();
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

// -- decisions --------------------------------------------------------------------------------
const review = page.review, KEY = `cellprep-decisions-${review.set}`;
const cards = find("#decide") ? all("#groups > .group, #lookalikes .group, #suspected .group") : [];
const idsOf = new Map(cards.map((card) => [
  card, [...new Set(page.groups[card.id].map((row) => String(page.rows[row][0])))],
]));
const labelOf = new Map(cards.flatMap((card) => page.groups[card.id].map((row) => [
  String(page.rows[row][0]), page.rows[row][2],
])));
const cardsOf = new Map();
for (const [card, ids] of idsOf) for (const id of ids) cardsOf.set(id, [...(cardsOf.get(id) ?? []), card]);

// Those of the file that the page was made with, and what was decided differently since: null is none.
const earlier = new Map(review.made.map(([id, ...rest]) => [id, Object.fromEntries(
  rest.map((value, at) => [review.fields[at + 1], value]),
)]));
let changes = new Map();
const undone = [];
let current = null;
const decisionOn = (id) => (changes.has(id) ? changes.get(id) : earlier.get(id)) ?? null;

function stored(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}
function store(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {  // full, or forbidden
    if (key === KEY && !store.failed) notify("This browser keeps no decisions: save them before you close the page");
    store.failed = key === KEY;
  }
}
function restore() {
  try { changes = new Map(JSON.parse(stored(KEY) ?? "[]")); } catch { changes = new Map(); }
  undone.length = 0;
  for (const card of cards) if (choices.has(card)) paintCard(card);
  count();
}

// What a card offers: the first nine have a key. Each gives the decision on an image.
const choices = new Map();
const KEEP = { decision: "keep", label: "" }, DROP = { decision: "drop", label: "" };
function offered(card) {
  const ids = idsOf.get(card), several = ids.length > 1, them = several ? " all" : "";
  const labels = [...new Set(ids.map((id) => labelOf.get(id)))], suggested = review.suggested[card.id];
  const likely = suggested ? [suggested] : labels.length > 1 ? labels : [];
  const others = page.classes.filter((label) => !likely.includes(label) && `${labels}` !== label);
  const relabel = (label) => [
    `Relabel${them} to ${label}`,
    (id) => (labelOf.get(id) === label ? KEEP : { decision: "relabel", label }),
  ];
  const only = (id) => [`Keep only ${short(id)} (${labelOf.get(id)})`, (other) => (other === id ? KEEP : DROP)];
  const one = several ? ids.map(only) : [];
  const first = [[`Keep${them}`, () => KEEP], [`Drop${them}`, () => DROP], ...one.slice(0, 5), ...likely.slice(0, 2).map(relabel)];
  return [first, [...one.slice(5), ...[...likely.slice(2), ...others].map(relabel)]];
}
function short(id) {
  const name = id.split("/").at(-1) || id;
  return name.length > 20 ? `${name.slice(0, 7)}…${name.slice(-12)}` : name;
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function build(card) {
  if (choices.has(card)) return;
  const [first, more] = offered(card);
  choices.set(card, [...first, ...more]);
  const button = (what, key, text) => {
    const made = element("button", { type: "button", className: "button", title: text }, element("kbd", { textContent: key }), ` ${text}`);
    made.dataset.do = what;
    return made;
  };
  const box = element("div", { className: "choices", role: "group", ariaLabel: "Decision" });
  first.forEach(([text], at) => {
    const made = button("decide", at + 1, text);
    made.dataset.at = at;
    box.append(made);
  });
  if (more.length) {
    const select = element("select", { ariaLabel: "More decisions" }, element("option", { value: "", textContent: "More…" }));
    more.forEach(([text], n) => {
      const at = first.length + n;
      select.append(element("option", { value: at, textContent: at < 9 ? `${at + 1}: ${text}` : text }));
    });
    select.addEventListener("change", () => { decide(card, select.value); select.value = ""; focusOn(card); });
    box.append(select);
  }
  box.append(button("clear", 0, "Clear"));
  find("header h3", card).after(element("span", { className: "chip verdict", hidden: true }));
  card.insertBefore(box, find("details", card));
  paintCard(card);
}

const inWords = ({ decision, label }) => (decision === "relabel" ? `relabel to ${label}` : decision);
function paintCard(card) {
  const ids = idsOf.get(card), made = ids.map(decisionOn), done = made.filter(Boolean);
  for (const tile of all("button.t", card)) {
    const each = [...new Set(rowsOf(tile).map((row) => String(page.rows[row][0])))].map(decisionOn);
    const words = each.filter(Boolean).map(inWords), kinds = new Set(words);
    const text = kinds.size === 1 && words.length === each.length ? words[0]
      : [...kinds].map((one) => `${one} ${words.filter((word) => word === one).length}`).join(", ");
    let mark = find(".mark", tile.parentElement);
    if (!mark) tile.after(mark = element("b", {}));
    mark.className = `mark ${kinds.size > 1 ? "mixed" : each.find(Boolean)?.decision ?? ""}`;
    mark.textContent = text;
    mark.hidden = !text;
  }
  const people = [...new Set(done.map((one) => one.name).filter(Boolean))];
  const verdict = find(".verdict", card), whole = done.length === ids.length;
  verdict.textContent = (whole ? "decided" : `${done.length} of ${ids.length} decided`)
    + (people.length ? ` by ${people.join(", ")}` : "");
  verdict.classList.toggle("well", whole);
  verdict.hidden = !done.length;
  choices.get(card).forEach(([, of], at) => find(`.choices [data-at="${at}"]`, card)?.setAttribute("aria-pressed",
    whole && ids.every((id, n) => inWords(of(id)) === inWords(made[n]))));
  find("[data-do=clear]", card).hidden = !done.length;
}

const isOpen = (card) => !idsOf.get(card).every(decisionOn);
function count() {
  const open = cards.filter(isOpen).length, written = (number) => number.toLocaleString("en");
  find("#remaining").textContent = `${written(cards.length - open)} decided, ${written(open)} remain`;
  find("[data-do=undo]").disabled = !undone.length;
}

function set(entries) {
  for (const [id, made] of entries) {
    if (made === (earlier.get(id) ?? null)) changes.delete(id); else changes.set(id, made);
  }
  store(KEY, JSON.stringify([...changes]));
  for (const card of new Set(entries.flatMap(([id]) => cardsOf.get(id) ?? []))) if (choices.has(card)) paintCard(card);
  count();
}
function decide(card, at) {
  build(card);
  const choice = choices.get(card)[at];
  if (!choice) return;
  const rest = { reason: review.reasons[card.id], name: find("#who").value.trim() };
  change(card, (id) => ({ ...choice[1](id), ...rest, digest: review.digests[id] }));
  if (view.open) notify(choice[0]);
}
function change(card, made) {
  const ids = idsOf.get(card);
  undone.push([card, ids.map((id) => [id, decisionOn(id)])]);
  set(ids.map((id) => [id, made(id)]));
}
function sign(name) {  // what was decided here before somebody gave a name
  store("cellprep-name", name);
  set([...changes].map(([id, made]) => [id, made && { ...made, name: made.name || name }]));
}
function undo() {
  if (!undone.length) return;
  const [card, before] = undone.pop();
  set(before);
  if (!card.hidden && !view.open) focusOn(card);
}

function here(card) {
  if (current !== card && current) { current.removeAttribute("aria-current"); current.tabIndex = -1; }
  current = card;
  build(card);
  card.tabIndex = 0;
  card.setAttribute("aria-current", "true");
}
function focusOn(card) {
  here(card);
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest", behavior: "instant" });
}
const shown = () => all(".group").filter((card) => idsOf.has(card) && !card.hidden);  // as sorted now
function move(by) {
  const around = shown(), at = around.indexOf(current);
  const next = around[at < 0 ? 0 : at + by];
  if (next) focusOn(next);
}
function nextOpen() {
  const around = shown(), from = around.indexOf(current) + 1;
  const next = [...around.slice(from), ...around].find(isOpen);
  if (next) focusOn(next);
}

function saveDecisions() {
  const ids = [...new Set([...earlier.keys(), ...changes.keys()])].filter(decisionOn).sort();
  const line = (id) => review.fields.map((name) => (name === "id" ? id : decisionOn(id)[name]));
  download([review.fields, ...ids.map(line)], "decisions");
  notify(`${ids.length.toLocaleString("en")} decision${ids.length === 1 ? "" : "s"} saved as decisions.csv`);
}

if (cards.length) {
  for (const card of cards) {
    card.tabIndex = -1;
    card.ariaLabel = `${find("h3", card).textContent}: ${find("p", card).textContent}`;
  }
  cards[0].tabIndex = 0;
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { build(entry.target); near.unobserve(entry.target); }
  }, { rootMargin: "800px" });
  for (const card of cards) near.observe(card);
  find("#who").value = stored("cellprep-name") ?? "";
  find("#who").addEventListener("change", (event) => sign(event.target.value.trim()));
  addEventListener("storage", (event) => { if (event.key === KEY) restore(); });
  document.addEventListener("focusin", (event) => {
    const card = event.target.closest?.(".group");
    if (idsOf.has(card)) here(card);
  });
  document.addEventListener("click", (event) => {
    const target = event.target.closest("button"), card = event.target.closest(".group");
    if (idsOf.has(card)) here(card);
    const act = {
      decide: () => decide(card, target.dataset.at), clear: () => change(card, () => null),
      next: nextOpen, undo, "save-decisions": saveDecisions,
    }[target?.dataset.do];
    act?.();
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
    const card = view.open ? open.closest(".group") : current;
    if (/^[0-9]$/.test(event.key) && idsOf.has(card) && !card.hidden) {
      if (event.key === "0") change(card, () => null); else decide(card, Number(event.key) - 1);
    } else if (event.key === "u") undo();
    else if (!view.open && event.key === "j") move(1);
    else if (!view.open && event.key === "k") move(-1);
    else if (!view.open && event.key === "n") nextOpen();
  });
  restore();
}

// -- colour theme and current section ------------------------------------------------------------
const theme = find("#theme");
function paint(name) {
  if (name === "auto") delete root.dataset.theme; else root.dataset.theme = name;
  theme.textContent = `◐ ${name}`;
  theme.setAttribute("aria-label", `Colours: ${name}`);
  theme.dataset.now = name;
}
paint(["light", "dark"].includes(stored("cellprep-theme")) ? stored("cellprep-theme") : "auto");
theme.addEventListener("click", () => {
  const next = { auto: "dark", dark: "light", light: "auto" }[theme.dataset.now];
  paint(next);
  store("cellprep-theme", next);
});
const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
const watch = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((one) => one.isIntersecting)) {
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -70% 0px" });
for (const id of links.keys()) { const section = document.getElementById(id); if (section) watch.observe(section); }
