"use strict";
// Which view the address names, what the memory is asked, and how it is while the page is open.
const page = (() => {
  const { make } = drawing;
  const main = document.getElementById("content");
  const trouble = document.getElementById("trouble");
  const live = document.getElementById("live");
  const PAUSE = 3000;
  let turn = 0;
  let latest = null;
  let hosts = [];
  let is_watching = false;

  // ids of any kind stand in the address as parts of its fragment.
  const link = (...parts) => "#/" + parts.map((part) => encodeURIComponent(part)).join("/");
  const parts = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });

  class Refused extends Error {}

  async function ask(name, asked) {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(asked || {})) {
      if (value !== undefined && value !== null && value !== "") query.set(key, value);
    }
    let response;
    try {
      response = await fetch(`api/${name}?${query}`);
    } catch {
      say("The page's server does not answer. Was agent-memory explore ended?");
      throw new Refused("The page's server does not answer.");
    }
    let found = {};
    try { found = await response.json(); } catch { /* a page for people */ }
    if (response.ok) { say(""); return found; }
    if (response.status === 401) found.error = "The address has the wrong token: open the one that agent-memory explore printed.";
    if (response.status === 503 || response.status === 401) say(found.error);
    throw new Refused(found.error || `The page's server answered ${response.status}.`);
  }

  function say(text) {
    trouble.hidden = !text;
    if (trouble.textContent !== text) trouble.textContent = text;
  }

  function picture(host, found, onPick) {
    hosts.push(host);
    return drawing.draw(host, found, onPick).then(watch);
  }

  async function show(focus) {
    const mine = ++turn;
    const [view = "", ...rest] = parts();
    const name = view in views ? view : "";
    for (const each of document.querySelectorAll("nav a")) {
      if (each.dataset.view === (name.startsWith("agent") ? "" : name)) each.setAttribute("aria-current", "page");
      else each.removeAttribute("aria-current");
    }
    const fresh = make("div");
    const is_current = () => mine === turn;
    if (!main.firstChild) main.append(make("p", "Loading…", { class: "muted" }));
    main.setAttribute("aria-busy", "true");
    const before = hosts;
    hosts = [];
    const attach = () => {
      if (!is_current() || fresh.isConnected) return;
      before.forEach(drawing.forget);
      main.replaceChildren(fresh);
      if (focus) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
    };
    try {
      await views[name](fresh, rest, { attach, is_current });
    } catch (error) {
      fresh.replaceChildren(make("h1", "This cannot be shown"), make("p", error.message, { class: "empty" }));
      if (!(error instanceof Refused)) console.error(error);
    }
    attach();
    if (is_current()) main.setAttribute("aria-busy", "false");
    watch();
  }

  // Looks begin when the first picture is there, which has the server for itself until then.
  function watch() {
    if (!is_watching) look();
    is_watching = true;
  }

  // How much there is, and how fast it is stored and moves. A look that takes long is taken seldom,
  // so that the page takes no more than a small part of the server's time.
  async function look() {
    let took = 0;
    if (document.visibilityState === "visible") {
      const began = performance.now();
      try {
        await note(await ask("live"));
        took = performance.now() - began;
      } catch (error) {
        live.textContent = "no answer";
        if (!(error instanceof Refused)) throw error;
      }
    }
    setTimeout(look, Math.max(PAUSE, took * 40));
  }

  async function note(found) {
    const total = found.entries.reduce((sum, number) => sum + number, 0);
    const speed = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 });
    live.textContent = `${total.toLocaleString("en")} entries` + (found.stores === null ? ""
      : ` · ${speed(found.stores)} stores/s · ${speed(found.moves)} moves/s`);
    const now = String(found.entries);
    const has_begun = latest && latest.total === 0 && total > 0;
    const has_changed = !latest || latest.now !== now;
    latest = { total, now };
    if (has_begun) show(false);
    const answers = [];
    document.dispatchEvent(new CustomEvent("memory-looked-at", { detail: { has_changed, answers } }));
    await Promise.all(answers); // what views ask for again counts as a part of the look
  }

  // What a view does at each look that finds something new, or at all, as long as it is shown.
  function follow(element, renew, { always = false } = {}) {
    const looked = ({ detail }) => {
      if (!element.isConnected) document.removeEventListener("memory-looked-at", looked);
      else if (always || detail.has_changed) detail.answers.push(renew());
    };
    document.addEventListener("memory-looked-at", looked);
  }

  function start() {
    addEventListener("hashchange", () => show(true));
    show(false); // asks before Vega is read, which takes longer
    drawing.load("assets/vega.js").catch((error) => say(error.message));
  }

  return { ask, follow, link, picture, start, Refused };
})();
addEventListener("DOMContentLoaded", page.start);
