// Figures of each class, and the same images as each net sees them.
const HEATED = 60;

function drawClasses() {
  const rows = filtered().slice(0, HEATED), heat = find(".heat tbody");
  const best = board.classes.map((_, i) => {
    const values = rows.map((row) => row.classes[i]).filter(known);
    return Math.max(...values) > Math.min(...values) ? Math.max(...values) : NaN;
  });
  const all = board.rows.flatMap((row) => row.classes).filter(known);
  const least = Math.min(...all), most = Math.max(...all);
  heat.replaceChildren(...rows.map((row) => make("tr", {}, make("td.net", {}, ...breakable(row.backbone)), ...row.classes.map((value, i) => {
    const cell = make(known(value) && value === best[i] ? "td.top1" : "td", {}, figure(value));
    const share = known(value) ? (100 * (value - least)) / (most - least || 1) : 0;
    cell.style.background = `color-mix(in srgb, var(--accent) ${(share * 0.3).toFixed(1)}%, var(--card))`;
    return cell;
  }))));
}

if (board.classes.length) {
  find(".heat thead tr").append(make("th.net", {}, "backbone"), ...board.classes.map((name) => make("th.num", {}, name)));
  onChange(filters, drawClasses);
}

function drawPictures() {
  const { images, truth, nets } = board.pictures;
  const names = filtered().map((row) => row.backbone).filter((name) => nets[name]);
  const one = (title, source, image) => make("figure", {}, make("figcaption", { title }, title),
    make("img", { src: source, alt: `${image}: ${title}`, title: image }));
  find(".strips").replaceChildren(...images.map((image, i) => make("div.strip", {}, one("truth", truth[i], image),
    ...names.map((name) => one(name, nets[name][i], image)))));
}

if (board.pictures) {
  find(".strips").addEventListener("click", (event) => {
    if (event.target.tagName !== "IMG") return;
    const zoom = make("dialog.zoom", {}, make("img", { src: event.target.src, alt: event.target.alt }));
    zoom.addEventListener("click", () => zoom.close());
    zoom.addEventListener("close", () => zoom.remove());
    document.body.append(zoom);
    zoom.showModal();
  });
  onChange(filters, drawPictures);
}
