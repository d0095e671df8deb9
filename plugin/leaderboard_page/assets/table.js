// The table: each row is made once; sorting and filtering only move and hide it.
const body = find(".board tbody"), headRow = find(".board thead tr");
const made = new Map();
const low = Math.min(...board.rows.map((row) => row.low)), high = Math.max(...board.rows.map((row) => row.high));
const across = (value) => `${(100 * (value - low)) / (high - low || 1)}%`;
const cells = board.columns.filter((column) => column.inTable);

function cellOf(column, row) {
  if (column.name === "group") return make("td.rank", {}, make("span.group", { title: isTied(row) ? "tied with the best" : `group ${row.group}` }, String(row.group)));
  if (column.name === "backbone") {
    const small = [row.family, row.trial].filter(Boolean).join(" · ");
    return make("td.net", {}, make("button", { type: "button" }, ...breakable(row.backbone)), make("small", {}, small));
  }
  if (column.name === "low") {
    const span = make("span.span", { title: `${figure(row.low)} to ${figure(row.high)}` }, make("i"), make("b"));
    span.firstChild.style.cssText = `left:${across(row.low)};right:calc(100% - ${across(row.high)})`;
    span.lastChild.style.left = across(row.metric);
    return make("td", {}, span);
  }
  const number = typeof row[column.name] === "number";
  return make(number || column.unit ? "td.num" : "td", {}, shown(column, row[column.name]));
}

/** Least width in rem of each column, and its share of what is left. */
const widths = { group: [4.8, 0], backbone: [13, 3], low: [10, 1] };
const narrowWidths = { group: [3.8, 0], backbone: [8.5, 3], metric: [4.2, 1], low: [6.5, 2] };

function layColumns() {
  const known = innerWidth <= 600 ? narrowWidths : widths;
  const found = cells.map((column) => known[column.name] ?? [7.9, 1]);
  const table = find(".board");
  table.style.setProperty("--columns", found.map(([least, share]) => (share ? `minmax(${least}rem, ${share}fr)` : `${least}rem`)).join(" "));
  table.style.setProperty("--least", `${found.reduce((sum, one) => sum + one[0], 0)}rem`);
}

function makeTable() {
  for (const column of cells) {
    const button = make("button", { type: "button" }, column.label);
    const kind = { group: ".rank", backbone: ".net" }[column.name] ?? (column.unit && column.name !== "low" ? ".num" : "");
    const head = make(`th${kind}`, { "data-column": column.name, scope: "col" }, button);
    button.addEventListener("click", () => {
      const first = column.more ? "down" : "up";
      const turned = state.dir === "down" ? "up" : "down";
      set({ sort: column.name, dir: state.sort === column.name ? turned : first });
    });
    headRow.append(head);
  }
  for (const row of board.rows) {
    const line = make(isTied(row) ? "tr.tie" : "tr", { "data-net": row.backbone }, ...cells.map((column) => cellOf(column, row)));
    line.addEventListener("click", () => set({ open: row.backbone }));
    made.set(row, line);
  }
}

/** The rows in the order of the sorted column; what has no value stands last either way. */
function inOrder(rows) {
  const sign = state.dir === "up" ? 1 : -1, name = state.sort;
  return [...rows].sort((a, b) => {
    const [x, y] = [a[name], b[name]];
    if (!known(x) || !known(y)) return known(y) - known(x);
    return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
  });
}

function drawTable() {
  const rows = inOrder(filtered());
  body.replaceChildren(...rows.map((row) => made.get(row)));
  if (!rows.length) body.append(make("tr", {}, make("td.none", { colspan: cells.length }, "No net passes the filter.")));
  for (const head of headRow.children) {
    if (head.dataset.column === state.sort) head.setAttribute("aria-sort", state.dir === "up" ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  find("#count").textContent = rows.length === board.rows.length ? `${rows.length} nets` : `${rows.length} of ${board.rows.length} nets`;
}

makeTable();
find(".board").classList.toggle("many", board.rows.length > 60);
layColumns();
addEventListener("resize", layColumns);
onChange([...filters, "sort", "dir"], drawTable);
