// The metric over time: of the best eight that the filter leaves, or of one net's seeds.
const COLOURS = 8;

function drawCurves() {
  const place = find("#curves .plot"), legend = find("#curves .legend");
  const rows = filtered().filter((row) => row.runs.some((key) => runOf.get(key).curve.length)).slice(0, COLOURS);
  const lines = rows.map((row, i) => ({ name: row.backbone, colour: `var(--c${i})`, seeds: row.runs.map((key) => runOf.get(key).curve) }));
  legend.replaceChildren(...lines.map((line) => {
    const chip = make("span.chip", { tabindex: 0 }, make("i.swatch"), line.name);
    chip.firstChild.style.background = line.colour;
    for (const [on, off] of [["pointerenter", "pointerleave"], ["focus", "blur"]]) {
      chip.addEventListener(on, () => fade(place, line.name));
      chip.addEventListener(off, () => fade(place, ""));
    }
    return chip;
  }));
  const rest = filtered().length - rows.length;
  if (rest > 0) legend.append(make("span.quiet", {}, `and ${rest} more: narrow the filter to see them`));
  curves(place, lines, place.clientWidth < 520 ? 260 : 340);
}

function fade(place, name) {
  for (const part of place.querySelectorAll("[data-line]")) part.classList.toggle("faded", name !== "" && part.dataset.line !== name);
}

function curves(place, lines, height) {
  const points = lines.flatMap((line) => line.seeds.flat());
  if (!points.length) return place.replaceChildren(make("p.none", {}, "No evaluations are recorded."));
  const { root, x, y } = frame(place, {
    xs: points.map((one) => one[0]), ys: points.map((one) => one[1]), xLabel: board.unit, xFormat: three, height, xPad: 0.02,
  });
  for (const line of [...lines].reverse()) {
    const merged = bySteps(line.seeds);
    const path = (pick) => merged.map((one) => `${x(one.step)},${y(pick(one.values))}`);
    if (line.seeds.length > 1) {
      const around = [...path((v) => Math.max(...v)), ...path((v) => Math.min(...v)).reverse()];
      root.append(svg("polygon", { class: "band", "data-line": line.name, points: around.join(" "), style: `fill:${line.colour}` }));
    }
    const mean = path((v) => v.reduce((a, b) => a + b, 0) / v.length);
    const curve = merged.length > 1 ? svg("polyline", { class: "curve", points: mean.join(" ") })
      : svg("circle", { cx: mean[0].split(",")[0], cy: mean[0].split(",")[1], r: 4, fill: line.colour });
    curve.dataset.line = line.name;
    curve.style.stroke = line.colour;
    curve.addEventListener("pointermove", (event) => { fade(place, line.name); showTip(line.name, event); });
    curve.addEventListener("pointerleave", () => { fade(place, ""); hideTip(); });
    root.append(curve);
  }
}

/** For each step the values of the seeds that have it. */
function bySteps(seeds) {
  const found = new Map();
  for (const [step, value] of seeds.flat()) found.set(step, [...(found.get(step) ?? []), value]);
  return [...found].sort((a, b) => a[0] - b[0]).map(([step, values]) => ({ step, values }));
}

onChange(filters, drawCurves);
