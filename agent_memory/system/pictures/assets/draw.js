"use strict";
// Draws pictures: {rows, specs: {light, dark}}. A new picture takes the place of the old one when it
// is ready, so that nothing flashes.
const drawing = (() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const shown = new Map();
  const MOST_SVG = 1500;
  const MOST_ROWS = 200;

  function make(tag, text, attributes) {
    const element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = text;
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    return element;
  }

  // Vega is 900 kB of script: a page may load it while it asks for what is drawn.
  let loading = window.vegaEmbed ? Promise.resolve() : null;
  function load(address) {
    loading ||= new Promise((done, failed) => {
      const script = make("script", null, { src: address });
      script.addEventListener("load", done);
      script.addEventListener("error", () => failed(new Error(`${address} could not be loaded`)));
      document.head.append(script);
    });
    return loading;
  }

  async function draw(host, picture, onPick) {
    const turn = Symbol("turn");
    shown.set(host, { picture, onPick, turn });
    const spec = picture.specs[dark.matches ? "dark" : "light"];
    // One image with a description; its marks one by one say less than the table below it.
    const stage = make("div", null, { class: "stage waiting", role: "img", "aria-label": spec.description });
    host.append(stage);
    await loading;
    // A title that is wider than the picture would make the picture itself narrower.
    const title = spec.title && { ...spec.title, limit: Math.max(120, (host.clientWidth || 700) - 40) };
    const result = await vegaEmbed(stage, { ...spec, title, datasets: { rows: picture.rows } }, {
      actions: false,
      ast: true,
      renderer: picture.rows.length > MOST_SVG ? "canvas" : "svg",
      tooltip: { theme: dark.matches ? "dark" : "light" },
    });
    if (shown.get(host)?.turn !== turn) {
      result.finalize();
      stage.remove();
      return;
    }
    if (onPick) {
      result.view.addEventListener("click", (_, item) => {
        if (item && item.datum && item.datum.id) onPick(item.datum);
      });
    }
    for (const old of [...host.querySelectorAll(":scope > .stage")]) if (old !== stage) old.remove();
    shown.get(host).finalize?.();
    shown.get(host).finalize = () => result.finalize();
    shown.get(host).view = result.view;
    stage.querySelector("svg, canvas")?.setAttribute("aria-hidden", "true");
    stage.classList.remove("waiting");
    table(host, picture);
    host.dataset.drawn = "yes";
  }

  const cell = (column, value) => (column === "at" ? new Date(value).toLocaleTimeString("en-GB") : value ?? "");

  // The same as a table, for those who do not see the picture, and for those who want numbers.
  function table(host, picture) {
    const open = host.querySelector(":scope > details")?.open;
    host.querySelector(":scope > details")?.remove();
    if (!picture.rows.length) return;
    const details = make("details", null, { class: "as-table" });
    details.append(make("summary", "As a table"));
    const fill = () => {
      if (!details.open || details.querySelector("table")) return;
      const columns = [...new Set(picture.rows.flatMap((row) => Object.keys(row)))];
      const grid = make("table");
      const head = make("tr");
      for (const column of columns) head.append(make("th", column, { scope: "col" }));
      grid.append(make("thead"), make("tbody"));
      grid.tHead.append(head);
      for (const row of picture.rows.slice(0, MOST_ROWS)) {
        const line = make("tr");
        for (const column of columns) line.append(make("td", cell(column, row[column])));
        grid.tBodies[0].append(line);
      }
      const frame = make("div", null, { class: "scroll", tabindex: "0", role: "region",
        "aria-label": "the same as a table" });
      frame.append(grid);
      details.append(frame);
      const left = picture.rows.length - MOST_ROWS;
      if (left > 0) details.append(make("p", `and ${left.toLocaleString("en")} more`));
    };
    details.addEventListener("toggle", fill);
    if (open) details.open = true;
    host.append(details);
  }

  // The same picture of other rows: nothing is made again, so that it may follow a live run.
  async function update(host, rows) {
    const known = shown.get(host);
    if (!known?.view) return;
    known.picture.rows = rows;
    await known.view.data("rows", rows).resize().runAsync();
    table(host, known.picture);
  }

  function forget(host) {
    shown.get(host)?.finalize?.();
    shown.delete(host);
  }

  dark.addEventListener("change", () => {
    for (const [host, { picture, onPick }] of [...shown]) draw(host, picture, onPick);
  });

  return { draw, forget, load, make, update };
})();
