// Ties the parts together: filter fields, buttons, the first drawing, and drawing anew in another width.
const form = find("#filters"), everything = new Set(Object.keys(defaults));

function fillForm() {
  for (const name of filters) {
    const field = form.elements[name];
    if (field.type === "checkbox") field.checked = Boolean(state[name]);
    else field.value = state[name];
  }
}

if (form) {
  const families = [...new Set(board.rows.map((row) => row.family))].sort();
  form.elements.family.append(...families.map((name) => make("option", { value: name }, name)));
  form.addEventListener("input", () => {
    set(Object.fromEntries(filters.map((name) => {
      const field = form.elements[name];
      return [name, field.type === "checkbox" ? (field.checked ? "1" : "") : field.value.trim()];
    })));
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => set(Object.fromEntries(filters.map((name) => [name, ""])))));
}

document.addEventListener("click", (event) => {
  const { target } = event;
  if (target.matches?.(".copy")) copy(target.previousElementSibling.textContent, target);
  if (target.matches?.("[data-goto]")) document.getElementById(target.dataset.goto).scrollIntoView({ behavior: "smooth" });
});

function start() {
  readAddress();
  if (form) fillForm();
  show(everything);
}

addEventListener("hashchange", start);
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) show(new Set(["q", "x", "open"]));
  width = innerWidth;
});
start();
