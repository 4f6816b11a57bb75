"use strict";
// Search, filters and order of the table of claims; all of it is kept in the address, behind #, to be shared.
(() => {
  const $ = (id) => document.getElementById(id);
  const body = document.querySelector("table.claims tbody");
  const rows = [...body.rows].map((row, place) => ({
    row, place, verdict: row.dataset.v, origin: row.dataset.o.split(" "), paper: row.dataset.p, subject: row.dataset.s,
    text: `${row.textContent} ${row.dataset.t}`.toLowerCase(),
    keys: { verdict: +row.dataset.r, claim: row.cells[1].innerText, source: row.cells[2].innerText, subject: row.dataset.s },
  }));
  const buttons = [...document.querySelectorAll(".verdicts button")];
  const heads = [...document.querySelectorAll("th[data-key]")];
  const choices = ["origin", "paper", "subject"];
  const order = new Intl.Collator("en", { numeric: true });
  let state;

  function read() {
    const told = new URLSearchParams(location.hash.slice(1));
    const key = told.get("sort") || "";
    state = { q: told.get("q") || "", verdict: new Set(told.getAll("verdict")), sort: key.replace(/^-/, ""), down: key.startsWith("-") };
    for (const name of choices) state[name] = told.get(name) || "";
  }

  function remember() {
    const told = new URLSearchParams();
    if (state.q) told.set("q", state.q);
    for (const one of state.verdict) told.append("verdict", one);
    for (const name of choices) if (state[name]) told.set(name, state[name]);
    if (state.sort) told.set("sort", (state.down ? "-" : "") + state.sort);
    const hash = told.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  function show() {
    $("q").value = state.q;
    for (const name of choices) {
      $(name).value = state[name];
      if ($(name).selectedIndex < 0) { $(name).value = ""; state[name] = ""; } // an address with a name that is not there
    }
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const counts = {};
    let shown = 0;
    for (const one of rows) {
      const fits = (!state.origin || one.origin.includes(state.origin)) && (!state.paper || one.paper === state.paper)
        && (!state.subject || one.subject === state.subject) && words.every((word) => one.text.includes(word));
      if (fits) counts[one.verdict] = (counts[one.verdict] || 0) + 1;
      const seen = fits && (!state.verdict.size || state.verdict.has(one.verdict));
      one.row.hidden = !seen;
      shown += seen;
    }
    for (const button of buttons) {
      button.setAttribute("aria-pressed", state.verdict.has(button.value));
      button.querySelector(".n").textContent = counts[button.value] || 0;
    }
    const way = state.down ? -1 : 1;
    const sorted = [...rows].sort((a, b) => {
      const [x, y] = [a.keys[state.sort], b.keys[state.sort]];
      const apart = state.sort === "" ? 0 : typeof x === "number" ? x - y : order.compare(x, y);
      return way * apart || a.place - b.place;
    });
    body.append(...sorted.map((one) => one.row));
    for (const head of heads) {
      const mine = head.dataset.key === state.sort;
      head.setAttribute("aria-sort", mine ? (state.down ? "descending" : "ascending") : "none");
    }
    $("shown").textContent = shown === rows.length ? `All ${rows.length} claims` : `${shown} of ${rows.length} claims`;
    $("clear").hidden = !(state.q || state.verdict.size || state.sort || choices.some((name) => state[name]));
  }

  function change(edit) {
    edit();
    remember();
    show();
  }

  $("q").addEventListener("input", () => change(() => { state.q = $("q").value; }));
  for (const name of choices) $(name).addEventListener("change", () => change(() => { state[name] = $(name).value; }));
  for (const button of buttons) {
    button.addEventListener("click", () => change(() => {
      if (!state.verdict.delete(button.value)) state.verdict.add(button.value);
    }));
  }
  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => change(() => { // up, down, as it was
      const key = head.dataset.key;
      if (state.sort !== key) [state.sort, state.down] = [key, false];
      else if (!state.down) state.down = true;
      else [state.sort, state.down] = ["", false];
    }));
  }
  $("clear").addEventListener("click", () => { history.replaceState(null, "", location.pathname + location.search); read(); show(); $("q").focus(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !["INPUT", "SELECT"].includes(document.activeElement.tagName)) { event.preventDefault(); $("q").focus(); }
  });
  window.addEventListener("hashchange", () => { read(); show(); });
  document.documentElement.classList.add("live");
  read();
  show();
})();
