// Axes, ticks and the hint at the pointer, for both plots.
const tip = document.getElementById("tip");

function showTip(text, event) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const x = event.clientX + 14 + box.width > innerWidth ? event.clientX - box.width - 14 : event.clientX + 14;
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${Math.min(innerHeight - box.height - 4, Math.max(4, event.clientY + 14))}px`;
}

const hideTip = () => (tip.hidden = true);

/** Round numbers in [low, high], about `count` of them. */
function ticks(low, high, count) {
  const raw = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function logTicks(low, high, most) {
  for (const steps of [[1, 2, 5], [1, 3], [1]]) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const step of steps) found.push(step * 10 ** power);
    }
    const inside = found.filter((one) => one >= low * 0.999 && one <= high * 1.001);
    if (inside.length <= most || steps.length === 1) return inside;
  }
  return [];
}

/** From values to pixels; logarithmic where they span more than a factor of 8. */
function scaleOf(values, from, to, { log = false, pad = 0.06, count = 6 } = {}) {
  const low = Math.min(...values), high = Math.max(...values);
  const inLog = log && low > 0 && high / low > 8;
  const [into, back] = inLog ? [Math.log, Math.exp] : [(v) => v, (v) => v];
  const reach = (into(high) - into(low)) * pad || Math.abs(into(high)) * 0.1 || 1;
  const start = into(low) - reach, end = into(high) + reach;
  const scale = (value) => from + ((into(value) - start) / (end - start)) * (to - from);
  scale.ticks = inLog ? logTicks(back(start), back(end), count) : ticks(start, end, count);
  return scale;
}

/** Without zeros behind the point: 5.00 ms is 5 ms. */
const short = (text) => text.replace(/\.0+(?=\D|$)|(\.\d*[1-9])0+(?=\D|$)/, "$1");

/** An empty plot in `place`, with its scales drawn. */
function frame(place, { xs, ys, xLabel, xFormat, height, xLog, xPad }) {
  const width = place.clientWidth, narrow = width < 520;
  const box = { left: narrow ? 38 : 48, right: width - (narrow ? 8 : 16), top: 10, bottom: height - 40 };
  const x = scaleOf(xs, box.left, box.right, { log: xLog, pad: xPad, count: narrow ? 4 : 8 });
  const y = scaleOf(ys, box.bottom, box.top, { count: 6 });
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img" });
  const texts = y.ticks.map((value) => short(three(value)));
  const decimals = Math.max(...texts.map((text) => (text.split(".")[1] ?? "").length));  // 0.30 beside 0.32
  for (const value of y.ticks) {
    root.append(svg("line", { class: "axis", x1: box.left, x2: box.right, y1: y(value), y2: y(value) }));
    root.append(svg("text", { x: box.left - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(decimals)));
  }
  for (const value of x.ticks) {
    root.append(svg("text", { x: x(value), y: box.bottom + 18, "text-anchor": "middle" }, short(xFormat(value))));
    root.append(svg("line", { class: "axis", x1: x(value), x2: x(value), y1: box.bottom, y2: box.bottom + 4 }));
  }
  root.append(svg("text", { x: box.right, y: height - 4, "text-anchor": "end" }, xLabel));
  place.replaceChildren(root);
  return { root, x, y, box, width };
}
