"use strict";
(() => {
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // Tables: a button in every heading. The first click puts the best first; what is missing stays
  // at the end.
  const status = document.getElementById("status");
  const collator = new Intl.Collator("en", { numeric: true });

  const sort = (table, column, heading) => {
    const before = heading.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : "highest" in heading.dataset;
    const body = table.tBodies[0];
    const value = ({ cells: { [column]: cell } }) => cell.dataset.value ?? cell.textContent;
    const rows = [...body.rows];
    const numeric = rows.every((row) => value(row) === "" || isFinite(value(row)));
    rows.sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = numeric ? a - b : collator.compare(a, b);
      return descending ? -order : order;
    });
    body.append(...rows);
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const name = heading.textContent;
    status.textContent = `Sorted by ${name}, ${descending ? "descending" : "ascending"}`;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = element("button", { type: "button" }, heading.textContent);
      button.addEventListener("click", () => sort(table, column, heading));
      heading.replaceChildren(button);
    });
  }

  // What scrolls can be reached by key, and nothing else is a stop on the way.
  const frames = new Map();
  const reachable = new ResizeObserver((entries) => {
    for (const frame of new Set(entries.map((entry) => entry.target.closest(".scroll")))) {
      const scrolls = frame.scrollWidth > frame.clientWidth;
      for (const [key, value] of Object.entries(frames.get(frame))) {
        if (scrolls) frame.setAttribute(key, value);
        else frame.removeAttribute(key);
      }
    }
  });
  for (const frame of document.querySelectorAll(".scroll")) {
    const name = frame.getAttribute("aria-labelledby");
    frames.set(frame, { tabindex: "0", role: "region", "aria-labelledby": name });
    reachable.observe(frame);
    reachable.observe(frame.firstElementChild);
  }

  // Pictures: a stage above each one's four views, the output under what it is compared with.
  const ZOOMS = [1, 2, 4];
  let count = 0;

  const compare = (picture) => {
    picture.classList.add("built");
    const shots = {};
    for (const figure of picture.querySelectorAll("figure[data-role]")) {
      const caption = figure.querySelector("figcaption").textContent;
      shots[figure.dataset.role] = { image: figure.querySelector("img"), caption };
    }
    shots.output ??= shots.input;
    const name = picture.dataset.name;
    const group = `left-${(count += 1)}`;
    const copy = (role, side) => {
      const { src, width, height } = shots[role].image.attributes;
      return element("img", { class: side, alt: "", draggable: "false", src: src.value,
        width: width.value, height: height.value });
    };
    const left = copy("input", "left");
    const says = element("span", { class: "side of-left" });
    const stage = element("div", { class: "stage" }, copy("output", "right"), left, says,
      element("span", { class: "side of-right" }, shots.output.caption),
      element("div", { class: "handle" }));
    const view = element("div", { class: "view" }, stage);
    const range = element("input", { type: "range", min: 0, max: 100, value: 50,
      "aria-label": `Divider, ${name}` });

    const show = () => {
      stage.style.setProperty("--at", `${range.value}%`);
      const chosen = shots[picture.querySelector(`input[name="${group}"]:checked`).value];
      left.src = chosen.image.src;
      says.textContent = chosen.caption;
      range.setAttribute("aria-valuetext", `${range.value} % ${chosen.caption}, the rest output`);
    };
    const follow = (event) => {
      const box = stage.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      range.value = Math.round(100 * Math.min(1, Math.max(0, share)));
      show();
    };
    // A mouse drags from anywhere; a finger drags the handle, and scrolls elsewhere.
    stage.addEventListener("pointerdown", (event) => {
      const mouse = event.pointerType === "mouse";
      if (mouse ? event.button !== 0 : !event.target.closest(".handle")) return;
      const until = new AbortController();
      const { signal } = until;
      const drag = (moved) => moved.pointerId === event.pointerId && follow(moved);
      // Of the window: the pointer may leave the picture before it is let go.
      window.addEventListener("pointermove", drag, { signal });
      for (const end of ["pointerup", "pointercancel"]) {
        window.addEventListener(end, () => until.abort(), { signal });
      }
      follow(event);
    });
    stage.addEventListener("click", follow);
    range.addEventListener("input", show);

    const choices = element("fieldset", {}, element("legend", {}, "Left:"));
    for (const role of ["input", "target", "error"]) {
      const radio = element("input", { type: "radio", name: group, value: role });
      radio.checked = role === "input";
      radio.addEventListener("change", show);
      choices.append(element("label", {}, radio, shots[role].caption));
    }

    let zoom = 0;
    const factorSays = element("output", {}, "1×");
    const smaller = element("button", { type: "button", "aria-label": `Zoom out, ${name}` }, "−");
    const larger = element("button", { type: "button", "aria-label": `Zoom in, ${name}` }, "+");
    const change = (by) => {
      const before = ZOOMS[zoom];
      zoom += by;
      const factor = ZOOMS[zoom] / before;
      const [x, y] = [view.scrollLeft + view.clientWidth / 2, view.scrollTop + view.clientHeight / 2];
      stage.style.setProperty("--zoom", ZOOMS[zoom]);
      view.scrollTo(x * factor - view.clientWidth / 2, y * factor - view.clientHeight / 2);
      factorSays.textContent = `${ZOOMS[zoom]}×`;
      smaller.disabled = zoom === 0;
      larger.disabled = zoom === ZOOMS.length - 1;
      if (zoom === 0) {
        for (const given of ["tabindex", "role", "aria-label"]) view.removeAttribute(given);
      } else {  // what scrolls can be reached by key
        view.tabIndex = 0;
        view.setAttribute("role", "region");
        view.setAttribute("aria-label", `Zoomed, ${name}`);
      }
    };
    smaller.disabled = true;
    smaller.addEventListener("click", () => change(-1));
    larger.addEventListener("click", () => change(1));

    const framed = element("div", { class: "framed" }, view,
      element("div", { class: "zoom" }, smaller, factorSays, larger));
    const controls = element("div", { class: "controls" },
      element("label", { class: "divider" }, range), choices);
    picture.querySelector(".shots").before(element("div", { class: "compare" }, framed, controls));
    show();
  };

  for (const gallery of document.querySelectorAll("details.gallery:not([open])")) {
    const build = () => gallery.querySelectorAll(".picture").forEach(compare);
    gallery.addEventListener("toggle", build, { once: true });
  }
  document.querySelectorAll(":not(details:not([open]) *) > .picture").forEach(compare);
})();
