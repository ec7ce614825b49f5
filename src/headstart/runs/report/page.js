"use strict";
// The page is whole without this script; it adds tips for touch, sorting and copying.

// Tips: the <title> of each part of a figure, shown at once for mouse and touch alike.
const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);

for (const title of document.querySelectorAll("svg.fig title")) {
  const owner = title.parentElement;
  if (owner.matches("svg")) {
    // The browser would show the figure's own title over every part of it.
    owner.setAttribute("aria-label", title.textContent);
    owner.removeAttribute("aria-labelledby");
  } else {
    owner.dataset.tip = title.textContent;
  }
  title.remove();
}

function show(event) {
  const owner = event.target.closest ? event.target.closest("[data-tip]") : null;
  tip.hidden = !owner;
  if (!owner) return;
  tip.textContent = owner.dataset.tip;
  const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 6);
  const below = event.clientY + 18;
  const y = below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 12 : below;
  tip.style.left = Math.max(6, x) + "px";
  tip.style.top = y + "px";
}
document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", show);
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true, capture: true });

// Sorting: numbers by data-sort, words as words; pressing again turns the order round.
function sortBy(table, column, ascending) {
  const key = (row) => {
    const cell = row.cells[column];
    return cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort);
  };
  const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(key(a), key(b)) * (ascending ? 1 : -1));
  table.tBodies[0].append(...rows);
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(table, column, ascending);
    });
  });
}

// Copying, also where the clipboard interface is withheld (a page inside a frame).
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}
for (const button of document.querySelectorAll(".command button")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const copied = await copy(button.previousElementSibling);
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// A link to something inside a closed part opens it.
function reveal() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  const closed = target && target.closest("details");
  if (closed) closed.open = true;
}
addEventListener("hashchange", reveal);
reveal();
