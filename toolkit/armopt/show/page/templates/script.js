"use strict";
(() => {
  const all = (what, inside = document) => [...inside.querySelectorAll(what)];
  const runOf = (id) => id.split("-")[0];

  // Show one node everywhere: tree, plots, table, details.
  function pick(id, scroll) {
    const details = document.getElementById(id);
    if (!details) return;
    for (const one of all("[data-pick]")) {
      if (runOf(one.dataset.pick) !== runOf(id)) continue;
      const picked = one.dataset.pick === id;
      one.classList.toggle("picked", picked);
      if (one.getAttribute("role") === "treeitem") {
        one.setAttribute("aria-selected", String(picked));
        one.tabIndex = picked ? 0 : -1;
      }
    }
    for (const other of all(".details", details.parentElement)) other.classList.toggle("picked", other === details);
    if (scroll) {
      const seen = details.getBoundingClientRect();
      if (seen.top < 0 || seen.top > innerHeight - 120) details.scrollIntoView({ block: "start" });
    }
  }

  document.addEventListener("click", (event) => {
    const item = event.target.closest("[data-pick]");
    if (!item) return;
    event.preventDefault();
    hideTip();
    pick(item.dataset.pick, true);
  });

  // The tree by keyboard, as the ARIA practices for trees have it: arrows move, Enter and space pick.
  for (const tree of all("[role=tree]")) {
    const items = all("[role=treeitem]", tree);
    const current = items.find((one) => one.classList.contains("picked")) || items[0];
    for (const one of items) one.tabIndex = one === current ? 0 : -1;
    tree.addEventListener("keydown", (event) => {
      const item = event.target.closest("[role=treeitem]");
      const place = items.indexOf(item);
      const above = item.parentElement.closest("[role=treeitem]");
      const below = item.querySelector("[role=treeitem]");
      const next = {
        ArrowDown: items[place + 1], ArrowUp: items[place - 1], ArrowLeft: above, ArrowRight: below,
        Home: items[0], End: items[items.length - 1],
      }[event.key];
      if (event.key === "Enter" || event.key === " ") pick(item.dataset.pick, false);
      else if (!next) return;
      else {
        for (const one of items) one.tabIndex = one === next ? 0 : -1;
        next.focus();
      }
      event.preventDefault();
      event.stopPropagation();
    });
  }

  // A point's words beside it, while it is pointed at or has the focus.
  const tip = document.getElementById("tip");
  function hideTip() { tip.hidden = true; }
  function showTip(point) {
    tip.textContent = point.getAttribute("aria-label");
    tip.hidden = false;
    const at = point.querySelector(".mark").getBoundingClientRect();
    const left = Math.min(Math.max(at.left + at.width / 2 - tip.offsetWidth / 2, 8), innerWidth - tip.offsetWidth - 8);
    const above = at.top - tip.offsetHeight - 12;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : at.bottom + 12}px`;
  }
  for (const point of all(".point")) {
    for (const kind of ["pointerenter", "focus"]) point.addEventListener(kind, () => showTip(point));
    for (const kind of ["pointerleave", "blur"]) point.addEventListener(kind, hideTip);
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  addEventListener("scroll", hideTip, { passive: true });

  // Paper has no folds.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
})();
