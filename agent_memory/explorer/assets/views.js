"use strict";
// The views of the page. Whatever comes from the memory is put in as text, never as markup.
const parts = (() => {
  const { make } = drawing;
  const TIERS = ["STM", "IM", "LTM"];
  const count = (number) => number.toLocaleString("en");

  function add(parent, ...children) {
    for (const child of children) if (child) parent.append(child);
    return parent;
  }

  function figures(numbers, entries) {
    const list = make("ul", null, { class: "figures" });
    const tiers = TIERS.map((tier, at) => [`in ${tier}`, entries[at], tier.toLowerCase()]);
    for (const [name, number, kind] of [...numbers, ...tiers]) {
      list.append(add(make("li", null, kind ? { class: kind } : {}), make("b", count(number)), make("span", name)));
    }
    return list;
  }

  function table(columns, rows, attributes) {
    const grid = make("table");
    const head = make("tr");
    for (const column of columns) {
      const is_number = typeof column !== "string";
      head.append(make("th", is_number ? column[0] : column, { scope: "col", class: is_number ? "number" : "" }));
    }
    add(grid, add(make("thead"), head));
    const body = make("tbody");
    for (const row of rows) {
      const line = make("tr");
      row.forEach((cell, at) => {
        const is_number = typeof columns[at] !== "string";
        const held = make("td", null, is_number ? { class: "number" } : {});
        if (cell instanceof Node) held.append(cell);
        else held.textContent = typeof cell === "number" ? count(cell) : cell;
        line.append(held);
      });
      body.append(line);
    }
    grid.append(body);
    return add(make("div", null, { class: "scroll", tabindex: "0", role: "region", ...attributes }), grid);
  }

  const anchor = (text, ...to) => make("a", text, { href: page.link(...to) });
  const button = (link) => { link.className = "button"; return link; };
  const tag = (tier) => make("span", tier, { class: `tag ${tier}` });

  function field(text, control, attributes) {
    return add(make("label", null, attributes || {}), document.createTextNode(text), control);
  }

  function choice(options, chosen) {
    const select = make("select");
    for (const [value, text] of options) {
      const option = make("option", text, { value });
      if (value === chosen) option.selected = true;
      select.append(option);
    }
    return select;
  }

  function tree(nodes, is_open = true) {
    const list = make("ul", null, { class: "tree" });
    for (const node of nodes) list.append(leaf(node, is_open));
    return list;
  }

  function leaf(node, is_open) {
    const item = make("li");
    const more = node.more ? ` … and ${count(node.more)} more` : "";
    if (!node.children) {
      add(item, make("span", node.name, { class: "name" }), document.createTextNode(": "),
        make("span", node.text + more), make("span", `  ${node.kind}`, { class: "kind" }));
      return item;
    }
    const details = make("details", null, is_open && node.children.length <= 20 ? { open: "" } : {});
    const summary = add(make("summary"), make("span", node.name, { class: "name" }),
      make("span", `  ${node.kind} of ${node.text}${more}`, { class: "kind" }));
    add(details, summary, tree(node.children));
    return add(item, details);
  }

  function facts(pairs) {
    const list = make("dl", null, { class: "facts" });
    for (const [name, value] of pairs) add(list, make("dt", String(name).replaceAll("_", " ")), make("dd", value));
    return list;
  }

  const PARTS = ["relevance", "recency", "importance"];

  function hits(found, pick, { has_scores = false, is_narrow = false, is_wide = false } = {}) {
    const number = (value) => (value === null || value === undefined ? "" : value.toFixed(3));
    const has_parts = found.some((hit) => hit.parts);
    const weighed = has_parts ? PARTS : [];
    const head = [
      ...(has_scores ? [[has_parts ? "score" : is_narrow ? "like" : "similarity"]] : []),
      ...weighed.map((name) => [name]),
      ...(is_wide ? ["agent"] : []), ["step"], ...(is_narrow ? [] : ["type"]), "tier", "contents",
    ];
    const rows = found.map((hit) => {
      const button = make("button", hit.contents, { class: "link", type: "button" });
      button.addEventListener("click", () => pick(hit));
      return [...(has_scores ? [number(hit.score)] : []), ...weighed.map((name) => number(hit.parts?.[name])),
        ...(is_wide ? [hit.agent] : []), hit.step, ...(is_narrow ? [] : [hit.type]), tag(hit.tier), button];
    });
    return table(head, rows, { "aria-label": "memories" });
  }

  const empty = (text) => make("p", text, { class: "empty" });

  // Pictures on the same axes: each gets the widest extent of all.
  function align(pictures, ...channels) {
    for (const channel of channels) {
      const domains = pictures.flatMap((each) => each.specs.light.encoding[channel].scale.domain);
      const domain = [Math.min(...domains), Math.max(...domains)];
      for (const each of pictures) {
        for (const spec of Object.values(each.specs)) spec.encoding[channel].scale.domain = domain;
      }
    }
  }

  return { TIERS, count, add, figures, table, anchor, button, tag, field, choice, tree, facts, hits, empty, align, PARTS };
})();

const views = (() => {
  const { make } = drawing;
  const { add, anchor, button: like_button, choice, count, empty, field, figures, table, tree, facts, hits, align } = parts;
  const MOST_LINES = 100;
  const FIRST = 400; // memories of an agent that are drawn first: as many as a screen shows apart
  const WAIT = 120; // milliseconds between two steps of a world that plays
  const BY_NAME = new Intl.Collator("en", { numeric: true }); // ant-9 before ant-10
  const host = () => make("div", null, { class: "picture" });

  async function runs(root) {
    const found = await page.ask("overview");
    add(root, make("h1", "Runs"), make("p", found.place, { class: "muted" }));
    if (!found.runs.length) {
      add(root, empty("This memory has no entries yet. The page shows them as soon as some are stored."));
      return;
    }
    const box = make("div");
    const fill = (runs) => {
      const rows = runs.map((run) => [anchor(run.run_id, "agents", run.run_id), run.agents,
        ...run.entries, run.first_step, run.last_step, seen(run.last_timestamp)]);
      box.replaceChildren(table(["run", ["agents"], ["STM"], ["IM"], ["LTM"], ["first step"], ["last step"], "last seen"],
        rows, { "aria-label": "runs" }));
    };
    fill(found.runs);
    let numbers = figures([["runs", found.runs.length]], found.entries);
    add(root, numbers, box);
    page.follow(root, async () => {
      const now = await page.ask("overview");
      fill(now.runs);
      const fresh = figures([["runs", now.runs.length]], now.entries);
      numbers.replaceWith(fresh);
      numbers = fresh;
    });
  }

  // Seconds since 1970, unless the memory's clock counts steps.
  const seen = (time) => make("time", time > 1e8 ? new Date(time * 1000).toLocaleString("en-GB") : `step ${count(time)}`);

  async function agents(root, [run]) {
    const [{ agents: rows }] = await Promise.all([page.ask("agents", { run })]);
    add(root, make("h1", `Run ${run}`));
    if (!rows.length) { add(root, empty("No agent of this run has entries.")); return; }
    const totals = [2, 3, 4].map((at) => rows.reduce((sum, row) => sum + row[at], 0));
    const file = make("a", "Report", { href: `report.html?${new URLSearchParams({ run })}`, download: "report.html" });
    const search = make("input", null, { type: "search", autocomplete: "off", id: "search" });
    const said = make("p", null, { class: "muted note", role: "status" });
    const box = make("div");
    rows.sort((a, b) => BY_NAME.compare(a[0], b[0]));
    const lower = rows.map((row) => row[0].toLowerCase());
    const rank = new Map(rows.map((row, at) => [row, at]));
    let by = 0, down = 1;
    const fill = () => {
      const wanted = search.value.toLowerCase();
      let chosen = rows.filter((_, at) => lower[at].includes(wanted));
      if (by || down < 0) chosen = [...chosen].sort((a, b) => down * (by ? a[by] - b[by] : rank.get(a) - rank.get(b)));
      const shown = chosen.slice(0, MOST_LINES);
      said.textContent = `${count(chosen.length)} of ${count(rows.length)} agents` +
        (shown.length < chosen.length ? `; the first ${MOST_LINES} are listed, type to find others` : "");
      const grid = table(["agent", ["memories"], ["STM"], ["IM"], ["LTM"], ["first step"], ["last step"], "last seen"],
        shown.map((row) => [anchor(row[0], "agent", run, row[0]), ...row.slice(1, 7), seen(row[7])]),
        { "aria-label": "agents", class: "scroll agents" });
      grid.querySelectorAll("th").forEach((cell, at) => {
        const button = make("button", cell.textContent + (at === by ? (down > 0 ? " ▲" : " ▼") : ""), { type: "button" });
        button.addEventListener("click", () => {
          down = at === by ? -down : at ? -1 : 1;
          by = at;
          fill();
          box.querySelectorAll("th button")[at].focus();
        });
        cell.replaceChildren(button);
        if (at === by) cell.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
      });
      box.replaceChildren(grid);
    };
    search.addEventListener("input", fill);
    fill();
    const picture = host();
    add(root, figures([["agents", rows.length]], totals),
      add(make("div", null, { class: "bar" }), field("Search by id", search, { class: "wide" }),
        ...[anchor("World", "world", run), anchor("Ask", "ask", run), file].map(like_button)),
      said, box, make("h2", "Which tier holds what"), picture);
    page.ask("occupancy", { run }).then((found) => page.picture(picture, found.picture)).catch(quiet);
  }

  // A part that cannot be shown leaves the others as they are; the bar on top says why.
  function quiet(error) {
    if (!(error instanceof page.Refused)) throw error;
  }

  async function agent(root, [run, id, chosen], { attach }) {
    // A sample is there at once; the rest takes its place as soon as it is read.
    let found = await page.ask("life", { run, agent: id, most: FIRST });
    const file = make("a", "Report", { href: `report.html?${new URLSearchParams({ run, agent: id })}`, download: "report.html" });
    const timeline = host();
    const said = make("p", found.note, { class: "muted" });
    const lines = make("div");
    const beside = make("section", null, { class: "moment beside", "aria-label": "the chosen memory", "aria-live": "polite", tabindex: "0" });
    const path = make("input", null, { list: "paths", autocomplete: "off" });
    const known = make("datalist", null, { id: "paths" });
    const more = make("button", "Draw it", { type: "button" });
    const pick = (datum) => {
      const row = datum.id ? datum : found.timeline.rows.find((each) => each.step === datum.step && each.type === "state");
      if (row) show(row.id);
    };
    const show = async (memory) => {
      try {
        await moment(beside, run, id, memory, show);
        history.replaceState(null, "", page.link("agent", run, id, memory));
      } catch (error) {
        if (!(error instanceof page.Refused)) throw error;
        beside.replaceChildren(empty(error.message));
      }
    };
    const numbersOf = () => figures([["memories", found.total], ["first step", found.first], ["last step", found.last]], found.entries);
    const counts = numbersOf();
    const draw = (line) => {
      const place = host();
      lines.append(place);
      return page.picture(place, line, pick);
    };
    more.addEventListener("click", async () => {
      try {
        const { lines: [line] } = await page.ask("lines", { run, agent: id, paths: path.value });
        if (line) await draw(line);
        else lines.append(empty(`No entry has a number under ${path.value}.`));
      } catch (error) { quiet(error); lines.append(empty(error.message)); }
    });
    add(root, make("h1", `Agent ${id}`),
      add(make("p", "run ", { class: "muted" }), anchor(run, "agents", run)),
      counts,
      said,
      add(make("div", null, { class: "bar" }), ...[anchor("Ask", "ask", run, id), anchor("Compare", "compare", run, id), file].map(like_button)),
      add(make("div", null, { class: "two" }),
        add(make("div"), timeline, make("h2", "Its numbers over time"), lines,
          add(make("div", null, { class: "bar" }), field("Another number, by its path", path), known, more)),
        beside));
    attach();
    await page.picture(timeline, found.timeline, pick);
    const is_whole = !found.note;
    show(chosen || found.timeline.rows.at(-1).id);
    if (!is_whole) {
      found = await page.ask("life", { run, agent: id });
      said.textContent = found.note;
      counts.replaceWith(numbersOf());
      await page.picture(timeline, found.timeline, pick);
    }
    const numbers = await page.ask("lines", { run, agent: id });
    for (const name of numbers.more) known.append(make("option", null, { value: name }));
    if (!numbers.lines.length) lines.append(empty("No entry holds a number."));
    for (const line of numbers.lines) await draw(line);
  }

  async function moment(box, run, id, memory, show) {
    const found = await page.ask("moment", { run, agent: id, id: memory });
    const at = found.window.findIndex((each) => each.id === memory);
    const step = (text, place) => {
      const button = make("button", text, { type: "button" });
      if (found.window[place]) button.addEventListener("click", () => show(found.window[place].id));
      else button.disabled = true;
      return button;
    };
    const exact = found.exact ? "exactly as stored" : "within the bounds below";
    box.replaceChildren(
      add(make("div", null, { class: "bar" }), step("← before", at - 1), step("after →", at + 1)),
      add(make("h2", `Step ${count(found.step)} `), parts.tag(found.tier)),
      make("p", `Contents, ${exact}`, { class: "muted" }), tree(found.contents));
    if (found.more) box.append(make("p", `and ${count(found.more)} more`, { class: "muted" }));
    if (found.bounds.length) {
      add(box, make("h3", "How far numbers may be off"),
        facts(found.bounds.slice(0, 50).map(([path, bound]) => [path, `± ${bound.toPrecision(3)}`])));
    }
    add(box, make("h3", "About it"), facts(Object.entries(found.facts)),
      make("h3", "Most similar memories"),
      found.neighbours.length ? hits(found.neighbours, (hit) => show(hit.id), { has_scores: true, is_narrow: true }) : empty("There are no others."),
      make("h3", "Just before and after"), hits(found.window, (hit) => show(hit.id), { is_narrow: true }));
  }

  async function chosenRun(run) {
    const found = await page.ask("overview");
    const names = found.runs.map((each) => each.run_id);
    return [found.runs, names.includes(run) ? run : names.includes(found.own) ? found.own : names[0]];
  }

  function runChoice(all, run, go) {
    const select = choice(all.map((each) => [each.run_id, each.run_id]), run);
    select.addEventListener("change", () => go(select.value));
    return field("Run", select);
  }

  async function world(root, [wanted, at]) {
    const [all, run] = await chosenRun(wanted);
    add(root, make("h1", "A world at a step"));
    if (!run) { add(root, empty("This memory has no entries yet.")); return; }
    const { first, last } = await page.ask("steps", { run });
    const start = Math.min(last, Math.max(first, at === undefined ? last : Number(at) || 0));
    const slider = make("input", null, { type: "range", min: first, max: last, value: start, step: 1, id: "step" });
    const play = make("button", "▶ Play", { type: "button", class: "main" });
    const shown = make("output", null, { for: "step" });
    const position = make("input", null, { placeholder: "guessed", size: 14 });
    const colour = make("input", null, { list: "numbers", placeholder: "tier", size: 14 });
    const known = make("datalist", null, { id: "numbers" });
    const said = make("p", null, { class: "muted note", role: "status" });
    const picture = host();
    let domains = null, playing = false, wish = null, busy = false;
    const load = async () => {
      wish = Number(slider.value);
      shown.textContent = `step ${count(wish)}`;
      if (busy) return;
      busy = true;
      try {
        while (wish !== null) {
          const step = wish;
          wish = null;
          await draw(await page.ask("world", { run, step, position: position.value, colour: colour.value }), step);
        }
      } catch (error) {
        quiet(error);
        said.textContent = error.message;
        stop();
      } finally { busy = false; }
    };
    const draw = async (found, step) => {
      said.textContent = found.found
        ? [`${count(found.shown)} agents`, found.note, "hollow: the state is of an earlier step", found.sampled].filter(Boolean).join(" · ")
        : "No state has what looks like a position; name the path of two numbers above, such as at, or two paths, such as x, y.";
      known.replaceChildren(...found.numbers.map((name) => make("option", null, { value: name })));
      picture.hidden = !found.shown;
      if (!found.shown) return;
      const specs = Object.values(found.picture.specs);
      const now = ["x", "y"].map((axis) => specs[0].encoding[axis].scale.domain);
      domains = domains ? domains.map(([low, high], axis) => [Math.min(low, now[axis][0]), Math.max(high, now[axis][1])]) : now;
      for (const spec of specs) {
        delete spec.title;
        ["x", "y"].forEach((axis, place) => { spec.encoding[axis].scale.domain = domains[place]; });
      }
      await page.picture(picture, found.picture, (datum) => { location.hash = page.link("agent", run, datum.agent, datum.id); });
      picture.dataset.step = step;
    };
    const stop = () => { playing = false; play.textContent = "▶ Play"; };
    play.addEventListener("click", async () => {
      if (playing) { stop(); return; }
      playing = true;
      play.textContent = "❚❚ Pause";
      if (Number(slider.value) >= last) slider.value = first;
      while (playing && slider.isConnected) {
        await load();
        if (Number(slider.value) >= last) break;
        await new Promise((done) => setTimeout(done, WAIT));
        if (playing) slider.value = Number(slider.value) + Math.max(1, Math.round((last - first) / 300));
      }
      stop();
    });
    slider.addEventListener("input", load);
    for (const control of [position, colour]) control.addEventListener("change", () => { domains = null; load(); });
    add(root,
      add(make("div", null, { class: "bar" }), runChoice(all, run, (name) => { location.hash = page.link("world", name); }),
        field("Position (path, or two)", position), field("Colour by", colour), known),
      add(make("div", null, { class: "bar" }), play, field("Step", slider, { class: "wide" }), shown), said, picture);
    load();
  }

  async function ask(root, [wanted, who]) {
    const [all, run] = await chosenRun(wanted);
    add(root, make("h1", "Ask the memory"));
    if (!run) { add(root, empty("This memory has no entries yet.")); return; }
    const inputs = {
      agent: make("textarea", null, { rows: 1, placeholder: "all agents", spellcheck: "false" }),
      steps: make("input", null, { placeholder: "7, 5:10, 5: or :10" }),
      times: make("input", null, { placeholder: "2026-11-30 18:00.." }),
      importance: make("input", null, { placeholder: "0.5..1" }),
      type: choice([["", "any"], ["state", "state"], ["action", "action"], ["interaction", "interaction"]]),
      order: choice([["", "oldest first"], ["newest", "newest first"], ["step", "by step"], ["latest_step", "latest step first"], ["importance", "most important first"]]),
      pinned: choice([["", "any"], ["yes", "pinned"], ["no", "not pinned"]]),
      limit: make("input", null, { type: "number", min: 0, max: 200, value: 20 }),
      rank: choice([["", "none"], ["generative_agents", "generative_agents"], ["freshness", "freshness"], ["weights", "weights of your own"]]),
      ...Object.fromEntries(parts.PARTS.map((name) => [`weight_${name}`, make("input", null, { type: "number", min: 0, step: "any", value: 1 })])),
      diverse: make("input", null, { type: "number", min: 0, max: 1, step: "any", placeholder: "0 to 1" }),
      where: make("textarea", null, { rows: 2, placeholder: "food=2..4\nmood=calm", spellcheck: "false" }),
      near: make("textarea", null, { rows: 2, placeholder: '{"food": 3}', spellcheck: "false" }),
    };
    inputs.agent.value = who || "";
    const everywhere = make("input", null, { type: "checkbox" });
    const explain = make("input", null, { type: "checkbox" });
    const form = make("form");
    const names = { agent: "Agents, one a line", steps: "Steps", times: "Times (UTC)", importance: "Importance", type: "Type",
      order: "Order", pinned: "Pins", limit: "At most", rank: "Rank by",
      diverse: "Diversity", where: "Conditions, one a line", near: "Most similar to a state (JSON) or a memory id" };
    const bar = make("div", null, { class: "grid" });
    const weights = [];
    for (const [name, input] of Object.entries(inputs)) {
      const is_weight = name.startsWith("weight_");
      const held = field(names[name] || name.replace("weight_", "Weight of "), input, input.rows === 2 ? { class: "wide" } : {});
      if (is_weight) weights.push(held);
      bar.append(held);
    }
    const weigh = () => weights.forEach((each) => { each.hidden = inputs.rank.value !== "weights"; });
    inputs.rank.addEventListener("change", weigh);
    weigh();
    const go = make("button", "Ask", { class: "main" });
    const out = make("div", null, { "aria-live": "polite" });
    add(form, bar, add(make("div", null, { class: "bar" }), field("in all runs", everywhere, { class: "tick" }),
      field("explain", explain, { class: "tick" }), go));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const asked = { run, everywhere: everywhere.checked ? "yes" : "", explain: explain.checked ? "yes" : "" };
      for (const [name, input] of Object.entries(inputs)) asked[name] = input.value;
      try {
        const found = await page.ask("ask", asked);
        const has_scores = found.hits.some((hit) => hit.score !== null);
        const copy = make("button", "Copy", { type: "button" });
        copy.addEventListener("click", () => navigator.clipboard.writeText(found.line).then(() => { copy.textContent = "Copied"; }));
        out.replaceChildren(make("h2", "The same in Python"), make("pre", found.line), copy);
        if (found.explained) add(out, make("h2", "How it was answered"), make("pre", found.explained));
        add(out, make("h2", `${count(found.hits.length)} ${found.hits.length === 1 ? "memory" : "memories"}`),
          found.hits.length
            ? hits(found.hits, (hit) => { location.hash = page.link("agent", hit.run, hit.agent, hit.id); }, { has_scores, is_wide: true })
            : empty("Nothing answers. Are agent, steps and paths as they were stored?"));
      } catch (error) {
        quiet(error);
        out.replaceChildren(empty(error.message));
      }
    });
    bar.prepend(runChoice(all, run, (name) => { location.hash = page.link("ask", name); }));
    add(root, form, out);
  }

  async function compare(root, [run, id, run2, id2]) {
    const [all, own] = await chosenRun(run);
    add(root, make("h1", "Compare"));
    if (!own) { add(root, empty("This memory has no entries yet.")); return; }
    const names = all.map((each) => [each.run_id, each.run_id]);
    const sides = [[run || own, id], [run2 || run || own, id2]].map(([chosen, who]) => [
      choice(names, chosen), make("input", null, { value: who || "", placeholder: "all agents", autocomplete: "off" }),
    ]);
    const go = make("button", "Compare", { class: "main" });
    const form = make("form", null, { class: "bar" });
    sides.forEach(([select, input], at) => add(form, field(`Run ${at + 1}`, select), field(`Agent ${at + 1}`, input)));
    form.append(go);
    const out = make("div");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const to = page.link("compare", ...sides.flatMap(([select, input]) => [select.value, input.value || "*"]));
      if (to === location.hash) return;
      location.hash = to;
    });
    sides.forEach(([, input]) => { if (input.value === "*") input.value = ""; });
    add(root, make("p", "Two agents: their numbers on the same axes. Without agents: two runs, by tier.", { class: "muted" }), form, out);
    if (!id2) return;
    if (id === "*" && id2 === "*") {
      const found = await Promise.all([run, run2].map((name) => page.ask("occupancy", { run: name })));
      const pictures = found.map((each) => each.picture);
      align(pictures, "x", "y");
      for (const each of pictures) { const place = host(); out.append(place); page.picture(place, each); }
      return;
    }
    if (id === "*" || id2 === "*") { add(out, empty("Name both agents, or none.")); return; }
    const { lines } = await page.ask("compare", { run, agent: id, run2, agent2: id2 });
    if (!lines.length) add(out, empty("The two have no numbers in common."));
    for (const line of lines) { const place = host(); out.append(place); page.picture(place, line); }
  }

  async function memory(root) {
    const found = await page.ask("memory");
    const button = (text, name, draw) => {
      const each = make("button", text, { type: "button" });
      const out = make("div", null, { "aria-live": "polite" });
      each.addEventListener("click", async () => {
        each.disabled = true;
        out.replaceChildren(make("p", "Reading…", { class: "muted" }));
        try { out.replaceChildren(...draw(await page.ask(name))); }
        catch (error) { quiet(error); out.replaceChildren(empty(error.message)); }
        each.disabled = false;
      });
      return [each, out];
    };
    const growth = [host(), host()];
    add(root, make("h1", "The memory itself"), make("p", found.place, { class: "muted" }),
      make("h2", "While this page is open"), ...growth,
      make("h2", "Tiers"),
      table(["tier", ["entries"], ["bytes"], ["bytes an entry"]], found.tiers, { "aria-label": "tiers" }),
      make("h2", "Stores"),
      table(["store", "state", "what it said"], found.stores.map(([name, up, why]) => [name, up ? "answers" : "away", why]), { "aria-label": "stores" }),
      make("p", `${count(found.failures)} calls of this page found a store away.`, { class: "muted" }),
      make("h2", "Spool"),
      found.spool ? facts([["entries that wait", count(found.spool[0])], ["bytes", count(found.spool[1])], ["refused by the server", count(found.spool[2])]])
        : empty("There is none: entries go straight to the server."),
      make("h2", "Versions of the encoder"),
      table([["version"], "name", "kind", "state", ["bytes"], "measured when trained"],
        found.versions.map((row) => [...row.slice(0, 5), row[5].children && row[5].children.length ? tree(row[5].children, false) : "nothing"]),
        { "aria-label": "versions" }),
      make("h2", "How well it fits now"),
      ...button("Measure", "fidelity", (it) => [tree(it.fidelity)]),
      make("h2", "Check"),
      ...button("Look through everything", "check", (it) => [
        make("p", it.sound ? "Nothing is wrong." : `${count(it.findings.length)} findings. To mend them: agent-memory check --repair`),
        ...it.findings.map((text) => make("pre", text)), ...it.unfinished.map((text) => make("pre", text)),
        facts(Object.entries(it.looked_at).map(([name, number]) => [name, count(number)]))]));
    const { pictures } = await page.ask("growth");
    growth.forEach((place, at) => page.picture(place, pictures[at]));
    page.follow(root, async () => {
      const now = await page.ask("growth");
      await Promise.all(growth.map((place, at) => drawing.update(place, now.pictures[at].rows)));
    }, { always: true });
  }

  return { "": runs, agents, agent, world, ask, compare, memory };
})();
