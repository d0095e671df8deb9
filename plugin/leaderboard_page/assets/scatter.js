// The metric against a cost, with intervals and the Pareto front of the nets that the filter leaves.
function drawScatter() {
  const place = find("#scatter");
  for (const button of document.querySelectorAll("[data-x]")) button.setAttribute("aria-pressed", button.dataset.x === state.x);
  const cost = state.x, column = board.columns.find((one) => one.name === cost);
  const rows = filtered().filter((row) => known(row[cost]));
  const front = frontOf(rows, cost);
  place.dataset.front = front.map((row) => row.backbone).join(" ");
  if (!rows.length) return place.replaceChildren(make("p.none", {}, "No net passes the filter."));
  const { root, x, y, box } = frame(place, {
    xs: rows.map((row) => row[cost]), ys: rows.flatMap((row) => [row.low, row.high]), xLabel: column.label,
    xFormat: (value) => shown(column, value), height: place.clientWidth < 520 ? 320 : 430, xLog: true,
  });
  const steps = front.map((row, i) => `${i ? `H${x(row[cost])}V${y(row.metric)}` : `M${x(row[cost])},${y(row.metric)}`}`);
  root.append(svg("path", { class: "front", d: `${steps.join("")}H${box.right}` }));
  const many = rows.length > 60;
  for (const row of [...rows].reverse()) {
    const at = x(row[cost]), classes = [isTied(row) && "tie", front.includes(row) && "on"].filter(Boolean).join(" ");
    const group = svg("g", { class: classes, "data-net": row.backbone, tabindex: 0, role: "button", "aria-label": row.backbone },
      svg("line", { class: "error", x1: at, x2: at, y1: y(row.low), y2: y(row.high) }),
      svg("circle", { class: "point", cx: at, cy: y(row.metric), r: many ? 4.5 : 6 }));
    const text = `${row.backbone}\n${board.metric.label} ${figure(row.metric)} (${figure(row.low)} to ${figure(row.high)})\n${column.label} ${shown(column, row[cost])}`;
    group.addEventListener("pointermove", (event) => showTip(text, event));
    group.addEventListener("pointerleave", hideTip);
    group.addEventListener("click", () => set({ open: row.backbone }));
    group.addEventListener("keydown", (event) => event.key === "Enter" && set({ open: row.backbone }));
    root.append(group);
  }
  label(root, rows, front, (row) => [x(row[cost]), y(row.metric)], box);
}

/** Names beside the points, the front's first, where they cover neither a point nor another name. */
function label(root, rows, front, at, box) {
  const taken = rows.map((row) => { const [x, y] = at(row); return [x - 6, y - 6, x + 6, y + 6]; });
  const free = (one) => one[0] >= box.left && one[2] <= box.right && one[1] >= box.top && one[3] <= box.bottom
    && taken.every((other) => one[2] < other[0] || one[0] > other[2] || one[3] < other[1] || one[1] > other[3]);
  const wanted = [...front, ...rows.filter((row) => !front.includes(row))].slice(0, front.length + 12);
  for (const row of wanted) {
    const [x, y] = at(row), width = row.backbone.length * 6.6;
    const left = [x - 9 - width, y - 8, "end"], right = [x + 9, y - 8, "start"];
    const around = [[x - width / 2, y - 26, "middle"], [x - width / 2, y + 10, "middle"]];
    const places = front.includes(row) ? [left, ...around, right] : [right, left, ...around];  // the front goes on to the right
    for (const [start, top, anchor] of places) {
      const one = [start, top, start + width, top + 16];
      if (!free(one)) continue;
      taken.push(one);
      const from = anchor === "start" ? start : anchor === "end" ? start + width : start + width / 2;
      root.append(svg("text", { class: "label", x: from, y: top + 12, "text-anchor": anchor }, row.backbone));
      break;
    }
  }
}

onChange([...filters, "x"], drawScatter);
for (const button of document.querySelectorAll("[data-x]")) button.addEventListener("click", () => set({ x: button.dataset.x }));
