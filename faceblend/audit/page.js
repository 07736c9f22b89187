"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const samples = JSON.parse(byId("data").textContent);
  const items = [...document.querySelectorAll(".sample")];
  const images = items.map((item) => item.querySelector("img").src);
  const radios = [...document.querySelectorAll("input[name=view]")];
  const filters = [...document.querySelectorAll(".filter")];
  const panel = byId("panel");
  const names = { image: "image", xray: "X-ray" };
  let open = 0;

  const nameOf = (view) => names[view] || view;
  // "" stands for the picture itself, null for none
  function sourceOf(number, view) {
    const source = view === "image" ? "" : samples[number].pictures[view];
    return source === "" ? images[number] : source;
  }

  // -- views
  function show(view) {
    items.forEach((item, number) => {
      const image = item.querySelector("img");
      const source = sourceOf(number, view);
      image.hidden = source === null;
      item.querySelector(".empty").hidden = source !== null;
      if (source !== null) image.src = source;
      const { index, label } = samples[number];
      image.alt = `Sample ${index}, ${label}: ${nameOf(view)}`;
    });
  }
  for (const radio of radios) radio.addEventListener("change", () => show(radio.value));

  // -- filters
  function wanted(filter) {
    const value = (part) => filter.querySelector(`[data-part=${part}]`)?.value ?? "";
    const low = value("low"), high = value("high"), word = value("word");
    if (low === "" && high === "" && word === "") return null;
    const field = filter.dataset.field;
    return ({ facts }) => {
      const fact = Object.hasOwn(facts, field) ? facts[field] : "none";
      const isNumber = typeof fact === "number";
      if (low !== "" && !(isNumber && fact >= Number(low))) return false;
      if (high !== "" && !(isNumber && fact <= Number(high))) return false;
      if (word === "") return true;
      if (isNumber) return word === "=drawn";
      return [fact].flat().includes(word.slice(1));
    };
  }
  function narrow() {
    const tests = filters.map(wanted).filter((test) => test !== null);
    let left = 0;
    items.forEach((item, number) => {
      item.hidden = !tests.every((test) => test(samples[number]));
      left += item.hidden ? 0 : 1;
    });
    byId("count").textContent = `${left} of ${items.length} shown`;
    byId("nothing").hidden = left > 0;
    if (byId("active")) byId("active").textContent = tests.length ? `(${tests.length} set)` : "";
  }
  for (const filter of filters) filter.addEventListener("input", narrow);
  byId("clear")?.addEventListener("click", () => {
    for (const input of document.querySelectorAll(".filter input, .filter select")) input.value = "";
    narrow();
  });

  // -- provenance
  function list(place, pairs) {
    place.replaceChildren(...pairs.map(([name, value]) => {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const told = document.createElement("dd");
      term.textContent = name;
      told.textContent = value;
      row.append(term, told);
      return row;
    }));
  }
  function picture(number, view) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = nameOf(view);
    const source = sourceOf(number, view);
    const shown = document.createElement(source === null ? "span" : "img");
    if (source === null) {
      shown.className = "empty";
      shown.textContent = "nothing was blended in";
    } else {
      shown.src = source;
      shown.alt = nameOf(view);
    }
    figure.append(shown, caption);
    return figure;
  }
  function words(fact) {
    const told = [fact].flat().join(", ");
    return told === "none" ? "not drawn" : told;
  }
  function fill(number) {
    const one = samples[number];
    open = number;
    byId("panel-title").textContent = `Sample ${one.index}, ${one.label}`;
    byId("pictures").replaceChildren(...radios.map((radio) => picture(number, radio.value)));
    byId("command").textContent = one.command;
    const faces = [["background", one.background]];
    if (one.foreground !== null) faces.push(["foreground", one.foreground]);
    list(byId("faces"), faces);
    list(byId("facts"), Object.entries(one.facts).map(([name, fact]) => [name, words(fact)]));
    byId("record").textContent = one.record;
    const others = items.filter((item) => !item.hidden).length > 1;
    byId("previous").disabled = byId("next").disabled = !others;
  }
  function step(by) {
    const left = items.map((_, number) => number).filter((number) => !items[number].hidden);
    if (left.length < 2) return;
    fill(left[(left.indexOf(open) + by + left.length) % left.length]);
    panel.querySelector(".body").scrollTop = 0;
  }
  items.forEach((item, number) => {
    item.querySelector("button").addEventListener("click", () => {
      fill(number);
      panel.showModal();
      panel.querySelector(".body").scrollTop = 0;
      byId("panel-title").focus();
    });
  });
  byId("close").addEventListener("click", () => panel.close());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  panel.addEventListener("click", (event) => {
    if (event.target === panel) panel.close();
  });
  panel.addEventListener("keydown", (event) => {
    if (event.target.matches("pre")) return; // it scrolls sideways
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  // back to the sample that is shown, not the one that it was opened from
  panel.addEventListener("close", () => items[open].querySelector("button").focus());

  // -- copying
  let clearing = 0;
  function say(text) {
    // a dialog covers what is outside of it
    (panel.open ? panel : document.body).append(byId("said"));
    byId("said").textContent = text;
    clearTimeout(clearing);
    clearing = setTimeout(() => { byId("said").textContent = ""; }, 2500);
  }
  async function copy(place) {
    try {
      await navigator.clipboard.writeText(place.textContent);
      say("Copied");
    } catch {
      getSelection().selectAllChildren(place); // the browser keeps the clipboard to itself
      say("Selected: copy it with Ctrl+C");
    }
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(byId(button.dataset.copy)));
  }

  // a browser keeps what was chosen before a reload
  show((radios.find((radio) => radio.checked) || radios[0]).value);
  narrow();
})();
