// What the reader has chosen. It stands in the address, so that a link or a reload shows the same.
const defaults = { q: "", family: "", params: "", latency: "", tied: "", x: board.costs.length ? board.costs[0][0] : "",
  sort: "metric", dir: "down", open: "", a: "", b: "" };
const state = { ...defaults };
const listeners = [];

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(defaults)) state[name] = given.get(name) ?? defaults[name];
}

/** Change the state, write it into the address, and show it. */
function set(changes) {
  Object.assign(state, changes);
  const left = Object.entries(state).filter(([name, value]) => value !== defaults[name]);
  const hash = new URLSearchParams(left).toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  show(new Set(Object.keys(changes)));
}

/** `draw` is called when one of `names` has changed. */
function onChange(names, draw) {
  listeners.push([names, draw]);
}

function show(changed) {
  for (const [names, draw] of listeners) if (names.some((name) => changed.has(name))) draw();
}

const filters = ["q", "family", "params", "latency", "tied"];

function passes(row) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${row.backbone} ${row.family} ${row.weights ?? ""}`.toLowerCase();
  const within = (value, limit, per) => !(Number(limit) > 0) || (known(value) && value <= Number(limit) * per);
  return words.every((word) => text.includes(word)) && (!state.family || row.family === state.family)
    && within(row.params, state.params, 1e6) && within(row.latency_p50_ms, state.latency, 1) && (!state.tied || isTied(row));
}

const filtered = () => board.rows.filter(passes);
