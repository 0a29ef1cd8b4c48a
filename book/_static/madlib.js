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
