// One button per page for the code that is folded; each fold opens by itself, too.
document.addEventListener("DOMContentLoaded", () => {
  const folds = [...document.querySelectorAll(".bd-article details.hide")];
  const title = document.querySelector(".bd-article h1");
  if (!folds.length || !title) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "madlib-show-code" });
  const update = () => {
    const all = folds.every(fold => fold.open);
    button.textContent = all ? "Hide the code that draws" : "Show all code";
    button.setAttribute("aria-pressed", all);
  };
  button.addEventListener("click", () => {
    const open = !folds.every(fold => fold.open);
    folds.forEach(fold => { fold.open = open; });
  });
  folds.forEach(fold => fold.addEventListener("toggle", update));
  update();
  title.after(button);
});

// The ledger: rows chosen by verdict, source, chapter, kind and text; the choice stands in the address.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".madlib-filter");
  if (!form) return;
  const rows = [...document.querySelectorAll("table.madlib-ledger tbody tr")].map(row => ({
    row, text: row.textContent.toLowerCase(), mark: document.getElementById(row.id.replace("claim-", "mark-")),
  }));
  const value = (row, name) => [...row.classList].find(c => c.startsWith(`${name}-`))?.slice(name.length + 1) ?? "";
  const label = (row, name) => row.querySelector(`.madlib-${name}`)?.textContent ?? value(row, name).replaceAll("-", " ");
  const ours = ["founding", "madlib", "expectation"];
  for (const select of form.querySelectorAll("select")) {
    const options = new Map(rows.map(({ row }) => [value(row, select.name), label(row, select.name)]));
    options.delete("");
    const sorted = [...options].sort((a, b) => a[select.name === "source" ? 1 : 0].localeCompare(b[select.name === "source" ? 1 : 0]));
    if (select.name === "source") sorted.unshift(["literature", "The literature"]);
    select.append(new Option("All", ""), ...sorted.map(([key, text]) => new Option(text, key)));
  }
  const fits = (row, name, wanted) => !wanted || value(row, name) === wanted
    || (wanted === "literature" && !ours.includes(value(row, name)));
  const choose = () => {
    const wanted = Object.fromEntries([...new FormData(form)].filter(([, v]) => v));
    const words = (wanted.text ?? "").toLowerCase().split(/\s+/);
    let shown = 0;
    for (const { row, text, mark } of rows) {
      row.hidden = !["verdict", "source", "chapter", "kind"].every(name => fits(row, name, wanted[name]))
        || !words.every(word => text.includes(word));
      mark?.classList.toggle("quiet", row.hidden);
      shown += !row.hidden;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length} entries`;
    history.replaceState(null, "", `${location.pathname}${Object.keys(wanted).length ? "?" : ""}${new URLSearchParams(wanted)}${location.hash}`);
  };
  const reach = () => {  // A link to a row shows it, whatever was chosen before.
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target?.hidden) return;
    form.reset();
    target.scrollIntoView();
  };
  for (const [name, text] of new URLSearchParams(location.search)) if (form.elements[name]) form.elements[name].value = text;
  form.hidden = false;
  form.addEventListener("input", choose);
  form.addEventListener("reset", () => setTimeout(choose));
  addEventListener("hashchange", reach);
  choose();
  reach();
});
