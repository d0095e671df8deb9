// What is known of one net: its figures, its runs, each with config and command; and the diff of any two runs.
const drawer = find("#drawer");
const nameOf = (run) => `${run.backbone}, ${run.trial}, seed ${run.seed}`;
const configOf = (run) => run.config.map((index) => board.lines[index]).join("\n");

function figuresOf(row) {
  const list = make("dl");
  for (const column of board.columns) {
    if (["group", "backbone", "metric", "high"].includes(column.name) || !known(row[column.name])) continue;
    if (column.name === "p" && row === board.rows[0]) continue;
    const value = column.name === "low" ? `${figure(row.low)} to ${figure(row.high)}` : shown(column, row[column.name]);
    list.append(make("div", {}, make("dt", {}, column.label), make("dd", {}, value)));
  }
  return list;
}

function runsOf(runs, pick) {
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...["trial", "seed", "state"].map((text) => make("th", {}, text)),
    make("th.num", {}, board.metric.label), make("th.num", {}, "time"), make("th"))));
  const lines = make("tbody");
  for (const run of runs) {
    const state = { ok: run.counted ? "counts" : "other trial", paused: "paused", failed: run.cause }[run.state];
    const button = make("button", { type: "button", "data-run": run.key }, "Config");
    const line = make("tr", {}, make("td", {}, run.trial), make("td", {}, String(run.seed)),
      make("td", {}, make(run.state === "failed" ? "span.chip.bad" : "span.chip", {}, state)), make("td.num", {}, figure(run.metric)),
      make("td.num", {}, known(run.seconds) ? duration(run.seconds) : "–"), make("td.num", {}, button));
    line.addEventListener("click", () => {
      for (const other of lines.children) other.classList.toggle("picked", other === line);
      pick(run);
    });
    lines.append(line);
  }
  table.append(lines);
  return table;
}

function bars(row) {
  const all = board.rows.flatMap((one) => one.classes).filter(known), most = Math.max(...all, 1e-9);
  return make("div.bars", {}, ...board.classes.flatMap((name, i) => {
    const fill = make("i");
    fill.style.width = `${(100 * (row.classes[i] ?? 0)) / most}%`;
    return [make("div", {}, name), make("span", {}, fill), make("div", {}, figure(row.classes[i]))];
  }));
}

function part(title, ...nodes) {
  return make("section", {}, make("h3", {}, title), ...nodes);
}

function drawDrawer() {
  const row = rowOf.get(state.open);
  if (!row) return drawer.open && drawer.close();
  const runs = board.runs.filter((run) => run.backbone === row.backbone);
  const config = make("section");
  const pick = (run) => {
    const diff = make("button", { type: "button" }, "Compare with the best");
    const best = board.rows[0].runs[0];
    diff.addEventListener("click", () => { set({ open: "", a: best, b: run.key }); find("#diff").scrollIntoView(); });
    config.replaceChildren(make("h3", {}, `Config: ${run.trial}, seed ${run.seed}`), commandBox(run.command),
      make("p.chips", { style: "margin:.7rem 0" }, make("span.chip", {}, make("i", {}, "key"), run.key), ...(run.key === best ? [] : [diff])),
      run.config.length ? make("pre", {}, configOf(run)) : make("p.quiet", {}, "Its config is not in its folder."));
  };
  const close = make("button", { type: "button", "aria-label": "Close" }, "Close");
  close.addEventListener("click", () => drawer.close());
  const plot = make("div.plot"), seeds = row.runs.map((key) => runOf.get(key).curve);
  const tie = isTied(row) ? make("span.chip.tie", {}, "tied with the best") : make("span.chip", {}, `group ${row.group}`);
  drawer.replaceChildren(make("div.drawer", {},
    make("div.bar-top", {}, make("div", {}, make("h2", {}, row.backbone), make("p.quiet", {}, row.family)), close),
    make("p.chips", { style: "margin:0" }, make("span.chip", {}, make("i", {}, board.metric.label), figure(row.metric)), tie),
    figuresOf(row), part("Runs: choose one to see its config below", make("div.scroll", {}, runsOf(runs, pick))), part("Learning curve", plot),
    ...(board.classes.length ? [part("By class", bars(row))] : []), config));
  find(`[data-run="${row.runs[0]}"]`, drawer).click();
  if (!drawer.open) drawer.showModal();
  drawer.scrollTop = 0;
  curves(plot, [{ name: row.backbone, colour: "var(--c0)", seeds }], 220);
}

drawer.addEventListener("close", () => { hideTip(); if (state.open) set({ open: "" }); });
drawer.addEventListener("click", (event) => event.target === drawer && drawer.close());
onChange(["open"], drawDrawer);

function drawDiff() {
  const firsts = board.rows.length > 1 ? board.rows.slice(0, 2).map((row) => runOf.get(row.runs[0])) : board.runs;
  const [a, b] = [state.a, state.b].map((key, i) => runOf.get(key) ?? firsts[i]);
  for (const [select, run] of [[find("[name=a]"), a], [find("[name=b]"), b]]) select.value = run.key;
  const text = (value) => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
  const ways = Object.keys({ ...a.own, ...b.own }).filter((way) => text(a.own[way]) !== text(b.own[way]));
  const [, first, second] = find(".diff thead tr").children;
  [first.textContent, second.textContent] = [nameOf(a), nameOf(b)];
  find(".diff tbody").replaceChildren(...ways.map((way) => make("tr", {}, make("td", {}, way),
    make("td", {}, text(a.own[way])), make("td", {}, text(b.own[way])))));
  if (!ways.length) find(".diff tbody").append(make("tr", {}, make("td.none", { colspan: 3 }, "The two configs are the same.")));
}

if (find("#diff")) {
  for (const name of ["a", "b"]) {
    const select = find(`[name=${name}]`);
    select.append(...board.runs.map((run) => make("option", { value: run.key }, nameOf(run))));
    select.addEventListener("change", () => set({ [name]: select.value }));
  }
  onChange(["a", "b"], drawDiff);
}
