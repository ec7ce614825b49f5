"use strict";
const items = [...document.querySelectorAll("#items > li")];
const count = document.getElementById("count");
const list = document.getElementById("items");
const place = "headstart-review:" + list.dataset.place;
const earlier = list.dataset.decisions;  // of the fixes that the page was made with
// From name to {action, label}; the action is "" where an earlier decision was undone.
const decided = new Map(JSON.parse(earlier));
try {
  const kept = JSON.parse(localStorage.getItem(place));
  // Fixes that came after what this browser keeps are newer.
  for (const [name, fix] of kept.decided)
    if (kept.earlier === earlier || !decided.has(name)) decided.set(name, fix);
} catch { /* none kept */ }

function show(li) {
  const fix = decided.get(li.dataset.name);
  if (fix && fix.action) li.dataset.action = fix.action; else delete li.dataset.action;
  if (fix && fix.label) li.querySelector("select").value = fix.label;
  for (const button of li.querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(Boolean(fix) && button.dataset.do === fix.action));
}

function tell() {
  const all = [...decided.values()].filter(fix => fix.action);
  const n = action => all.filter(fix => fix.action === action).length;
  count.textContent = all.length
    ? `${all.length} decided: ${n("keep")} kept, ${n("relabel")} relabelled, ${n("drop")} dropped`
    : "nothing decided yet";
  try { localStorage.setItem(place, JSON.stringify({earlier, decided: [...decided]})); } catch { /* a private window */ }
}

function decide(li, action) {
  const name = li.dataset.name, label = li.querySelector("select").value;
  const isSame = action === "relabel" && label === li.dataset.label;
  if (action === null) decided.set(name, {action: "", label: ""});
  else if (isSame) decided.set(name, {action: "keep", label: ""});
  else decided.set(name, {action, label: action === "relabel" ? label : ""});
  show(li);
  tell();
}

function move(from, step) {
  const at = items.indexOf(from) + step;
  if (items[at]) items[at].focus();
}

const keys = {k: "keep", r: "relabel", d: "drop"};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, button")) return;
  const li = event.target.closest("#items > li");
  const forward = ["ArrowRight", "ArrowDown", "j"].includes(event.key);
  const back = ["ArrowLeft", "ArrowUp", "i"].includes(event.key);
  if (!li) {
    if (forward && items[0]) { items[0].focus(); event.preventDefault(); }
    return;
  }
  if (forward || back) move(li, forward ? 1 : -1);
  else if (event.key === "u") decide(li, null);
  else if (keys[event.key]) { decide(li, keys[event.key]); move(li, 1); }
  else return;
  event.preventDefault();
});
document.addEventListener("click", event => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const li = button.closest("li");
  const fix = decided.get(li.dataset.name);
  decide(li, fix && fix.action === button.dataset.do ? null : button.dataset.do);
});
document.addEventListener("change", event => {
  if (event.target.matches("select")) decide(event.target.closest("li"), "relabel");
});

// Always in quotes: a line that begins with # would be a comment.
const quoted = text => `"${text.replaceAll('"', '""')}"`;
document.getElementById("save").addEventListener("click", () => {
  const rows = [...decided].filter(([, fix]) => fix.action).map(([name, fix]) => [name, fix.action, fix.label].map(quoted));
  const lines = [["name", "action", "label"], ...rows].map(row => row.join(",") + "\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(lines, {type: "text/csv"}));
  link.download = "fixes.csv";
  document.body.append(link);  // some browsers follow only what is in the page
  link.click();
  link.remove();
});
items.forEach(show);
tell();
