// The board, and small helpers that all parts share.
const board = JSON.parse(document.getElementById("board").textContent);
const rowOf = new Map(board.rows.map((row) => [row.backbone, row]));
const runOf = new Map(board.runs.map((run) => [run.key, run]));
const find = (selector, root = document) => root.querySelector(selector);

/** A new element: `make("td.num", {title: "x"}, "text", child)`. */
function make(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const known = (value) => value !== null && value !== undefined && value !== "";
const figure = (value) => (known(value) ? value.toFixed(board.metric.digits) : "–");

/** Three digits of a number: 0.0123, 1.23, 12.3, 123. */
function three(value) {
  const size = Math.abs(value);
  if (size >= 100 || size === 0) return value.toFixed(0);
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
}

const units = {
  count: (value) => (value >= 1e9 ? `${three(value / 1e9)} G` : value >= 1e6 ? `${three(value / 1e6)} M` : `${three(value / 1e3)} k`),
  ms: (value) => `${three(value)} ms`,
  s: (value) => `${three(value)} s`,
  mib: (value) => `${three(value)} MiB`,
  bytes: (value) => `${three(value / 1e6)} MB`,
  figure,
  p: (value) => (value < 0.001 ? "< 0.001" : value.toFixed(3)),
};

const duration = (s) => (s < 100 ? `${s.toFixed(0)} s` : s < 6000 ? `${(s / 60).toFixed(0)} min` : `${(s / 3600).toFixed(1)} h`);

/** A value of a column as people read it. */
function shown(column, value) {
  if (!known(value)) return "–";
  if (units[column.unit]) return units[column.unit](value);
  return typeof value === "number" && !Number.isInteger(value) ? three(value) : String(value);
}

/** A name that may be broken behind its signs. */
const breakable = (name) => name.split(/(?<=[_:.])/).flatMap((word, i) => (i ? [make("wbr"), word] : [word]));

const isTied = (row) => row.group === 1;

/** Of `rows` those that no other beats in `cost` and metric together, cheapest first. */
function frontOf(rows, cost) {
  const measured = rows.filter((row) => known(row[cost])).sort((a, b) => a[cost] - b[cost] || b.metric - a.metric);
  let best = -Infinity;
  return measured.filter((row) => row.metric > best && ((best = row.metric), true));
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make("textarea", {}, text);
    button.after(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1200);
}

function commandBox(text) {
  return make("div.command", {}, make("code", {}, text), make("button.copy", { type: "button" }, "Copy"));
}
