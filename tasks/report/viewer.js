"use strict";
// Draws one recording's curves: bytes in the page become an SVG when a recording is chosen. No libraries, no network.
(() => {
  const byId = (id) => document.getElementById(id);
  const source = byId("viewer-data");
  if (!source) return;
  const meta = JSON.parse(source.textContent);
  const packed = document.getElementsByClassName("packed");
  const [viewer, plot, readout] = ["viewer", "plot", "readout"].map(byId);
  const frame = viewer.querySelector(".stage");
  const [pickRecording, pickSeries] = ["pick-recording", "pick-series"].map(byId);
  const MARGIN = { left: 40, right: 8, top: 8, bottom: 22 };
  const EMPTY = 255;
  const cache = new Map();
  const state = { recording: 0, series: "", from: 0, to: 1 };
  let pointer = null;
  let dragged = null;

  // ---- data
  function curvesOf(number) {
    if (!cache.has(number)) {
      const text = atob(packed[number].textContent.trim());
      const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
      const { series } = meta.recordings[number];
      const bins = bytes.length / (2 * series.length);
      const found = { bins };
      series.forEach((name, at) => {
        const start = 2 * bins * at;
        found[name] = [bytes.subarray(start, start + bins), bytes.subarray(start + bins, start + 2 * bins)];
      });
      cache.clear(); // one recording unpacked at a time
      cache.set(number, found);
    }
    return cache.get(number);
  }
  const valueOf = (byte) => meta.range[0] + (byte / 254) * (meta.range[1] - meta.range[0]);
  const current = () => meta.recordings[state.recording];

  // ---- geometry
  function scales() {
    const width = Math.max(200, frame.clientWidth), height = Math.max(220, Math.min(340, width * 0.5));
    const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
    const x = (seconds) => MARGIN.left + ((seconds - state.from) / (state.to - state.from)) * (right - MARGIN.left);
    const y = (value) => MARGIN.top + ((meta.range[1] - value) / (meta.range[1] - meta.range[0])) * (bottom - MARGIN.top);
    const time = (at) => state.from + ((at - MARGIN.left) / (right - MARGIN.left)) * (state.to - state.from);
    return { width, height, right, bottom, x, y, time };
  }
  function ticks(low, high, most) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough * (1 - 1e-9));
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k <= high / step + 1e-9; k++) found.push(k * step);
    return found;
  }
  function timeTicks(low, high) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
    const step = steps.find((s) => (high - low) / s <= 7) || 3600;
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k++) found.push(k * step);
    return { step, found };
  }
  function clock(seconds, digits = 0) {
    const unit = 10 ** digits, whole = Math.round(seconds * unit);
    const rest = (whole % (60 * unit)) / unit;
    return `${Math.floor(whole / (60 * unit))}:${rest.toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
  }
  const number = (value) => (Math.round(value * 100) / 100 || 0).toFixed(2).replace("-", "\u2212");

  // ---- drawing
  function span(bins) {
    const { duration } = current();
    const first = Math.max(0, Math.floor((state.from / duration) * bins) - 1);
    return [first, Math.min(Math.ceil(bins), Math.ceil((state.to / duration) * bins) + 1)];
  }
  const middle = (bin, bins) => ((bin + 0.5) * current().duration) / bins;

  // Several bins as one where they would share a pixel; the last may hold fewer, so that the number is no whole one.
  function merged(pair, stride) {
    if (stride === 1) return pair;
    const [low, high] = [0, 1].map(() => new Uint8Array(Math.ceil(pair[0].length / stride)).fill(EMPTY));
    pair[0].forEach((byte, bin) => {
      const at = Math.floor(bin / stride);
      if (byte === EMPTY) return;
      low[at] = Math.min(low[at], byte);
      high[at] = high[at] === EMPTY ? pair[1][bin] : Math.max(high[at], pair[1][bin]);
    });
    return [low, high];
  }
  // Pieces of neighbouring bins that have a value; one empty bin between them can come from rounding.
  function pieces(bins, known, each) {
    const [first, end] = span(bins), found = [];
    let piece = null;
    for (let bin = first; bin < end; bin++) {
      if (!known(bin)) { if (bin + 1 >= end || !known(bin + 1)) piece = null; continue; }
      if (!piece) found.push((piece = []));
      piece.push(each(bin));
    }
    return found;
  }
  function linePath(pair, bins, s) {
    const value = (bin) => (valueOf(pair[0][bin]) + valueOf(pair[1][bin])) / 2;
    const each = (bin) => `${s.x(middle(bin, bins)).toFixed(1)} ${s.y(value(bin)).toFixed(1)}`;
    return pieces(bins, (bin) => pair[0][bin] !== EMPTY, each).map((one) => `M${one.join("L")}${one[1] ? "" : "h.1"}`).join("");
  }
  function areaPath(pairs, bins, s) {
    const given = (bin) => pairs.filter((pair) => pair[0][bin] !== EMPTY);
    const each = (bin) => {
      const here = given(bin), at = s.x(middle(bin, bins)).toFixed(1);
      const ends = [Math.max(...here.map((pair) => pair[1][bin])), Math.min(...here.map((pair) => pair[0][bin]))];
      return ends.map((byte) => `${at} ${s.y(valueOf(byte)).toFixed(1)}`);
    };
    return pieces(bins, (bin) => given(bin).length > 0, each)
      .map((one) => `M${[...one.map(([top]) => top), ...one.map(([, low]) => low).reverse()].join("L")}z`).join("");
  }
  function element(name, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function axes(s) {
    const parts = [];
    ticks(meta.range[0], meta.range[1], 4).forEach((value) => {
      const at = s.y(value);
      parts.push(element("path", { class: "hair", d: `M${MARGIN.left} ${at}H${s.right}` }));
      parts.push(element("text", { x: MARGIN.left - 6, y: at, class: "y" }, String(Math.round(value * 100) / 100).replace("-", "\u2212")));
    });
    const { step, found } = timeTicks(state.from, state.to);
    found.forEach((seconds) => {
      const at = s.x(seconds);
      const end = at > s.right - 14 ? "last" : at < MARGIN.left + 14 ? "first" : "x";
      parts.push(element("text", { x: at, y: s.height - 6, class: end }, clock(seconds, step < 1 ? 1 : 0)));
    });
    return parts;
  }
  function draw() {
    const s = scales(), curves = curvesOf(state.recording), one = current();
    plot.setAttribute("viewBox", `0 0 ${s.width} ${s.height}`);
    plot.setAttribute("width", s.width);
    plot.setAttribute("height", s.height);
    const clip = element("clipPath", { id: "inside" });
    clip.append(element("rect", { x: MARGIN.left, y: MARGIN.top, width: s.right - MARGIN.left, height: s.bottom - MARGIN.top }));
    const drawn = element("g", { "clip-path": "url(#inside)" });
    const gaps = one.gaps.map(([a, b]) => `M${s.x(a).toFixed(1)} ${MARGIN.top}H${Math.max(s.x(b), s.x(a) + 1).toFixed(1)}V${s.bottom}H${s.x(a).toFixed(1)}z`).join("");
    if (gaps) drawn.append(element("path", { class: "gap", d: gaps }));
    const [first, end] = span(curves.bins), stride = Math.max(1, Math.floor((1.5 * (end - first)) / (s.right - MARGIN.left)));
    const bins = curves.bins / stride, of = (name) => curves[name] && merged(curves[name], stride);
    const raters = one.raters.map((name) => of(`rating/${name}`)).filter(Boolean);
    drawn.append(element("path", { class: "band", d: areaPath(raters, bins, s) }));
    const mean = of("rating/mean over raters");
    if (mean && state.series !== "mean over raters") drawn.append(element("path", { class: "rater", d: linePath(mean, bins, s) }));
    ["single", "prediction", "rating"].forEach((kind) => {
      const pair = of(`${kind}/${state.series}`);
      if (!pair) return;
      if (kind !== "rating") drawn.append(element("path", { class: `area of-${kind}`, d: areaPath([pair], bins, s) }));
      drawn.append(element("path", { class: kind, d: linePath(pair, bins, s) }));
    });
    plot.replaceChildren(clip, ...axes(s), drawn, element("g", { id: "cursor" }));
    describe();
    cursor();
  }
  function describe() {
    const one = current(), score = one.ccc[state.series];
    const words = [
      `${one.id}, ${state.series}`, `${clock(state.from)} to ${clock(state.to)} of ${clock(one.duration)}`,
      score === undefined ? "no CCC of this recording alone" : `CCC ${score}`,
    ];
    if (one.missing) words.push(one.missing);
    const text = words.join("; ");
    plot.setAttribute("aria-label", `Rating and prediction over time: ${text}. ${averages()}`);
    readout.dataset.told = text;
    if (pointer === null) readout.textContent = `${text}. ${averages()}`;
  }
  function averages() {
    const curves = curvesOf(state.recording), { bins } = curves, [first, end] = span(bins);
    const mean = (pair) => {
      let sum = 0, n = 0;
      for (let bin = first; pair && bin < end; bin++) {
        if (pair[0][bin] !== EMPTY) { sum += (valueOf(pair[0][bin]) + valueOf(pair[1][bin])) / 2; n++; }
      }
      return n ? number(sum / n) : null;
    };
    const [rating, prediction] = ["rating", "prediction"].map((kind) => mean(curves[`${kind}/${state.series}`]));
    return rating === null || prediction === null ? "" : `On average over this span: rating ${rating}, prediction ${prediction}.`;
  }
  function cursor() {
    const group = byId("cursor"), s = scales(), parts = [];
    if (dragged !== null && pointer !== null) {
      const [a, b] = [dragged, pointer].map(s.x).sort((p, q) => p - q);
      parts.push(element("rect", { class: "picked", x: a, y: MARGIN.top, width: b - a, height: s.bottom - MARGIN.top }));
    } else if (pointer !== null) {
      parts.push(element("path", { class: "cursor", d: `M${s.x(pointer).toFixed(1)} ${MARGIN.top}V${s.bottom}` }));
    }
    group.replaceChildren(...parts);
    if (pointer === null) { readout.textContent = `${readout.dataset.told}. ${averages()}`; return; }
    const curves = curvesOf(state.recording), bin = Math.min(curves.bins - 1, Math.floor((pointer / current().duration) * curves.bins));
    const told = (name) => {
      const pair = curves[name];
      if (!pair || pair[0][bin] === EMPTY) return "none";
      const [low, high] = [pair[0][bin], pair[1][bin]].map(valueOf).map(number);
      return low === high ? low : `${low} to ${high}`;
    };
    readout.textContent = `${clock(pointer, 1)}: rating ${told(`rating/${state.series}`)}, prediction ${told(`prediction/${state.series}`)}`;
  }

  // ---- what is chosen
  function setSpan(from, to) {
    const { duration } = current(), least = Math.min(duration, Math.max(0.5, duration / 200));
    const width = Math.min(duration, Math.max(least, to - from));
    state.from = Math.min(Math.max(0, from), duration - width);
    state.to = state.from + width;
    draw();
  }
  function zoom(factor, around) {
    const at = around === undefined ? (state.from + state.to) / 2 : around;
    setSpan(at - (at - state.from) * factor, at + (state.to - at) * factor);
  }
  const move = (share) => { const by = share * (state.to - state.from); setSpan(state.from + by, state.to + by); };
  function choose(number, series) {
    state.recording = number;
    const { shown, duration } = current();
    state.series = shown.includes(series) ? series : shown[0];
    pickRecording.value = String(number);
    pickSeries.replaceChildren(...shown.map((name) => new Option(name, name, false, name === state.series)));
    setSpan(0, duration);
  }
  const DO = {
    in: () => zoom(0.5), out: () => zoom(2), earlier: () => move(-0.4), later: () => move(0.4),
    whole: () => setSpan(0, current().duration),
  };
  const KEYS = { "+": "in", "=": "in", "-": "out", ArrowLeft: "earlier", ArrowRight: "later", 0: "whole", Home: "whole" };

  // #trace=RECORDING&rater=NAME&from=S&to=S: a link to what is seen
  function follow() {
    if (!location.hash.startsWith("#trace=")) return false;
    const wanted = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"));
    const number = meta.recordings.findIndex((one) => one.id === wanted.get("trace"));
    if (number < 0) return false;
    choose(number, wanted.get("rater") || state.series);
    if (wanted.has("to")) setSpan(Number(wanted.get("from")) || 0, Number(wanted.get("to")) || current().duration);
    return true;
  }

  // ---- events
  pickRecording.addEventListener("change", () => choose(Number(pickRecording.value), state.series));
  pickSeries.addEventListener("change", () => { state.series = pickSeries.value; draw(); });
  viewer.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", DO[button.dataset.do]));
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    DO[KEYS[event.key]]();
  });
  const timeAt = (event) => {
    const at = scales().time(event.clientX - plot.getBoundingClientRect().left);
    return Math.min(state.to, Math.max(state.from, at));
  };
  frame.addEventListener("wheel", (event) => {
    if (document.activeElement !== frame && !event.ctrlKey) return; // the page scrolls until the picture is clicked
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event));
  }, { passive: false });
  frame.addEventListener("pointerdown", (event) => { dragged = pointer = timeAt(event); });
  frame.addEventListener("pointermove", (event) => { pointer = timeAt(event); cursor(); });
  const release = (event) => {
    const [a, b] = [dragged, pointer];
    dragged = null;
    if (event.type !== "pointerup") pointer = null;
    if (event.type === "pointerup" && a !== null && Math.abs(b - a) > 0.01 * (state.to - state.from)) {
      setSpan(Math.min(a, b), Math.max(a, b));
    } else cursor();
  };
  ["pointerup", "pointercancel", "pointerleave"].forEach((kind) => frame.addEventListener(kind, release));
  frame.addEventListener("dblclick", DO.whole);
  window.addEventListener("hashchange", () => { if (follow()) viewer.scrollIntoView(); });
  window.addEventListener("resize", draw);
  window.addEventListener("beforeprint", draw);

  viewer.hidden = false;
  if (follow()) viewer.scrollIntoView();
  else choose(0, "");
})();
