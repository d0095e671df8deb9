// Every long table can be searched and sorted: a field above it, and a click on a head.
"use strict";

const LONG = 20;
const UNITS = { "": 1, K: 1e3, M: 1e6, G: 1e9 };
const SEARCH = document.documentElement.lang.startsWith("zh") ? "筛选此表" : "Search this table";

// "3.4M to 7M" sorts as 3.4 million, "2.1 (a)" as 2.1; words sort as words, empty cells last.
function key(row, column) {
  const text = row.cells[column] ? row.cells[column].textContent.trim() : "";
  const number = /^-?\d+(\.\d+)?(e[+-]?\d+)?(?=[KMG]?(\s|,|%|$))/.exec(text);
  return number ? Number(number[0]) * UNITS[text[number[0].length] || ""] || Number(number[0]) : text;
}

function compare(a, b) {
  if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b);
}

function sort(table, column) {
  const body = table.tBodies[0];
  const head = table.tHead.rows[0].cells[column];
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...body.rows].sort((a, b) => compare(key(a, column), key(b, column)));
  body.append(...(down ? rows.reverse() : rows));
}

function addSearch(table) {
  const field = document.createElement("input");
  const count = document.createElement("span");
  field.type = "search";
  field.placeholder = SEARCH;
  field.setAttribute("aria-label", SEARCH);
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    count.textContent = ` ${rows.filter((row) => !row.hidden).length} / ${rows.length}`;
  };
  field.addEventListener("input", filter);
  filter();
  const bar = document.createElement("p");
  bar.className = "table-search";
  bar.append(field, count);
  (table.closest(".table-wrapper") || table).before(bar);
}

for (const table of document.querySelectorAll("article table")) {
  if (!table.tHead || !table.tBodies.length || table.tBodies[0].rows.length < LONG) continue;
  addSearch(table);
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    cell.tabIndex = 0;
    cell.classList.add("sorts");
    cell.addEventListener("click", () => sort(table, column));
    cell.addEventListener("keydown", (event) => event.key === "Enter" && sort(table, column));
  });
}
