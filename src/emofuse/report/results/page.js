"use strict";
(() => {
  const report = JSON.parse(document.getElementById("data").textContent);
  const { levels, missing } = report;
  const MOST_COLUMNS = 600; // of a chart; more rows are averaged
  const GAP_SECONDS = 1e-6;
  const FEW_PERSONS = 8; // whose timelines are drawn at once
  const FEW_SENTENCES = 60; // that are written below the timelines at once
  const STATUS_NAMES = {
    ok: "face scored", voice_only: "voice only", no_face: "no face", no_frame: "no frame", no_voice: "no voice",
    frozen: "frozen", turned: "turned",
  };
  // -- elements and text ------------------------------------------------------------------------------------

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "style") made.style.cssText = value;
      else if (value === true) made.setAttribute(name, "");
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return made;
  };
  const statusColour = (status) => css(status in STATUS_NAMES ? status : "no_face");
  const fixed = (value, decimals) => value.toFixed(decimals).replace(/^-(?=[0.]+$)/, "");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);
  // Decimals that tell ticks apart.
  const digits = (step) => (step >= 1 ? 0 : Math.abs(10 * step - Math.round(10 * step)) < 1e-6 ? 1 : 2);
  const clock = (time, digits = 1) => {
    const rounded = Math.max(0, Number(time.toFixed(digits)));
    const hours = Math.floor(rounded / 3600), minutes = Math.floor(rounded / 60) % 60;
    const rest = (rounded % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  };
  const called = (person) => {
    if (person.person !== null) return `Person ${person.person}${person.name ? ` ${person.name}` : ""}`;
    return Object.keys(person.times).length ? "Voice" : "Nobody";
  };

  // -- rows of a person -------------------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  class Rows {
    constructor(file, person) {
      const { n, step } = person;
      this.labels = file.labels;
      this.n = n;
      this.start = new Float64Array(n + 1);
      if (step) for (let i = 0; i < n; i++) this.start[i] = i * step;
      else if (n) {
        const raw = bytes(person.starts), ms = new Uint32Array(raw.buffer);
        for (let i = 0; i < n; i++) this.start[i] = ms[i] / 1000;
      }
      this.start[n] = person.end;
      this.status = bytes(person.status);
      this.boxes = person.boxes ? bytes(person.boxes) : null;
      this.speaking = person.speaking ? bytes(person.speaking) : null;
      this.sets = { fused: person.values, ...person.modalities };
      const voice = Object.keys(person.modalities).find((name) => name.startsWith("voice"));
      this.voice = voice ? bytes(person.modalities[voice]).filter((_, i) => i % this.labels.length === 0) : null;
      this.use("fused");
    }

    use(name) {
      const k = this.labels.length;
      this.values = bytes(this.sets[name] || this.sets.fused);
      this.sums = Array.from({ length: k }, () => new Float64Array(this.n + 1));
      this.known = new Float64Array(this.n + 1);
      for (let i = 0; i < this.n; i++) {
        const scored = this.values[i * k] !== missing;
        const weight = scored ? Math.max(this.start[i + 1] - this.start[i], GAP_SECONDS) : 0;
        this.known[i + 1] = this.known[i] + weight;
        for (let c = 0; c < k; c++) {
          this.sums[c][i + 1] = this.sums[c][i] + weight * (scored ? this.values[i * k + c] / levels : 0);
        }
      }
    }

    at(time) {
      if (!this.n || time < this.start[0] || time > this.start[this.n]) return -1;
      let low = 0, high = this.n;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (this.start[middle] <= time) low = middle;
        else high = middle;
      }
      return low;
    }

    probabilities(i) {
      const k = this.labels.length;
      if (i < 0 || this.values[i * k] === missing) return null;
      return Array.from(this.values.subarray(i * k, (i + 1) * k), (v) => v / levels);
    }

    knowsSpeaker(i) {
      return i >= 0 && this.speaking !== null && this.speaking[i] !== missing;
    }

    speaks(i) {
      return this.knowsSpeaker(i) && this.speaking[i] >= levels / 2;
    }

    // A voice is equal for all persons: it is theirs only where it is known who speaks, and then `speaking` says so.
    hasUnknownVoice(i) {
      return this.voice !== null && this.voice[i] !== missing && !this.knowsSpeaker(i);
    }

    box(i) {
      if (i < 0 || !this.boxes || this.boxes[4 * i] === missing) return null;
      return Array.from(this.boxes.subarray(4 * i, 4 * i + 4), (v) => v / levels);
    }

    // Means of groups of rows between two times: [start of each group, and the end], and means by class or null.
    groups(from, to) {
      const first = Math.max(0, this.at(Math.max(from, this.start[0]))), last = this.at(Math.min(to, this.start[this.n]));
      const size = Math.max(1, Math.ceil((last - first + 1) / MOST_COLUMNS));
      const x = [], means = [];
      for (let i = first - (first % size); i <= last && i < this.n; i += size) {
        const end = Math.min(i + size, this.n), weight = this.known[end] - this.known[i];
        x.push(this.start[i]);
        means.push(weight > 0 ? this.sums.map((sum) => (sum[end] - sum[i]) / weight) : null);
      }
      if (x.length) {
        x.push(this.start[Math.min(this.n, last - (last % size) + size)]);
        means.push(means[means.length - 1]);
      }
      return [x, means];
    }
  }

  const top = (probabilities) => probabilities.indexOf(Math.max(...probabilities));

  // -- the overview of several files ------------------------------------------------------------------------

  const share = (file, key) => {
    const persons = file.persons.filter((p) => p.quality[key] !== null);
    return persons.length ? persons.reduce((sum, p) => sum + p.quality[key], 0) / persons.length : null;
  };
  const totals = (file) => {
    const sums = {};
    for (const person of file.persons) for (const [name, s] of Object.entries(person.times)) sums[name] = (sums[name] || 0) + s;
    return sums;
  };
  const meanOf = (file, name) => {
    const found = file.persons.map((p) => p.means[name]).filter((v) => v !== undefined);
    return found.length ? found.reduce((a, b) => a + b) / found.length : null;
  };
  const colourOf = (file, name) => {
    const n = file.labels.indexOf(name);
    return n < 0 ? css("line") : file.colours[n];
  };
  const bar = (file, sums) => {
    const whole = Object.values(sums).reduce((a, b) => a + b, 0) || 1;
    const parts = Object.entries(sums).sort((a, b) => b[1] - a[1]);
    const text = parts.map(([name, s]) => `${name} ${percent(s / whole)}`).join(", ") || "no scores";
    return element("div", { class: "bar", role: "img", "aria-label": text, title: text }, parts.map(([name, s]) =>
      element("span", { style: `width:${(100 * s) / whole}%;background:${colourOf(file, name)}` })));
  };

  const overview = () => {
    const columns = [
      ["file", (f) => f.name.toLowerCase()],
      ["duration", (f) => f.duration],
      ["persons", (f) => f.persons.filter((p) => p.person !== null).length],
      ["face found", (f) => share(f, "face") ?? -1],
      ["emotions", (f) => { const s = totals(f); return Object.keys(s).sort((a, b) => s[b] - s[a])[0] || ""; }],
      ["valence", (f) => meanOf(f, "valence") ?? -2],
      ["confidence", (f) => share(f, "confidence") ?? -1],
      ["warnings", (f) => f.warnings.length],
    ];
    const keys = report.files.map((f) => columns.map(([, key]) => key(f)));
    let order = report.files.map((_, n) => n), sorted = null, ascending = true;
    const body = element("tbody"), count = element("span", { class: "muted", role: "status" });
    const search = element("input", { type: "search", "aria-label": "Filter the files by name, person or emotion", placeholder: "filter" });
    const words = report.files.map((f) =>
      [f.name, f.path, ...f.persons.map((p) => p.name), ...f.persons.map((p) => Object.keys(p.times)[0])].join(" ").toLowerCase());
    const fill = () => {
      const wanted = search.value.trim().toLowerCase();
      const shown = order.filter((n) => words[n].includes(wanted));
      body.replaceChildren(...shown.map((n) => {
        const f = report.files[n], valence = meanOf(f, "valence");
        return element("tr", { "aria-current": n === current ? "true" : null },
          element("th", { scope: "row", class: "name" }, element("a", { href: `#file-${n + 1}` }, f.name)),
          element("td", {}, f.duration ? clock(f.duration, 0) : "–"),
          element("td", {}, String(columns[2][1](f))),
          element("td", {}, percent(share(f, "face"))),
          element("td", { class: "left" }, bar(f, totals(f))),
          element("td", {}, valence === null ? "–" : fixed(valence, 2)),
          element("td", {}, percent(share(f, "confidence"))),
          element("td", {}, String(f.warnings.length)));
      }));
      count.textContent = `${shown.length} of ${report.files.length} files`;
    };
    const heads = columns.map(([name], c) => element("th", { scope: "col", class: c === 0 || c === 4 ? "left" : null },
      element("button", {
        type: "button",
        onclick: () => {
          ascending = sorted === c ? !ascending : c === 0 || c === 4;
          sorted = c;
          order.sort((a, b) => (keys[a][c] < keys[b][c] ? -1 : keys[a][c] > keys[b][c] ? 1 : a - b) * (ascending ? 1 : -1));
          heads.forEach((h, k) => (k === c ? h.setAttribute("aria-sort", ascending ? "ascending" : "descending") : h.removeAttribute("aria-sort")));
          fill();
        },
      }, name)));
    search.addEventListener("input", fill);
    const section = document.getElementById("overview");
    section.hidden = false;
    section.append(element("div", { class: "tools" }, search, count),
      element("div", { class: "scroll", role: "region", "aria-label": "Files", tabindex: "0" },
        element("table", { class: "overview" }, element("thead", {}, element("tr", {}, heads)), body)));
    return fill;
  };

  const statusNames = (file) => (status) =>
    (status === "ok" && file.kind === "audio" ? "voice scored" : STATUS_NAMES[status] || status);

  // -- one file ---------------------------------------------------------------------------------------------

  class FileView {
    constructor(file, place) {
      this.file = file;
      this.statusName = statusNames(file);
      this.rows = file.persons.map((person) => new Rows(file, person));
      this.charts = [];
      this.view = [file.start, file.duration || 1];
      this.time = file.start;
      this.hovered = null;
      this.observer = new ResizeObserver(() => this.resize());
      place.replaceChildren(
        ...(report.files.length > 1 ? [element("h2", { id: "name" }, file.name)] : []),
        element("div", { class: "top" }, this.player(), this.nowPanel()),
        ...(file.duration ? this.timelines() : []),
        ...this.persons(), ...this.words(), ...this.segments(), ...this.transitions(), ...this.quality(), ...this.about());
      this.draw();
      this.show();
      this.observer.observe(place);
    }

    close() {
      cancelAnimationFrame(this.frame);
      cancelAnimationFrame(this.redraw);
      this.observer.disconnect();
      this.charts.forEach((chart) => chart.plots.forEach((plot) => plot.destroy()));
    }

    // The player.

    player() {
      const { file } = this;
      this.notice = element("p", { class: "notice", hidden: true });
      const chosen = element("input", { type: "file", accept: "video/*,audio/*,image/*", hidden: true });
      chosen.addEventListener("change", () => {
        if (!chosen.files.length) return;
        this.notice.hidden = true;
        box.hidden = false;
        this.media.src = URL.createObjectURL(chosen.files[0]);
      });
      const choose = () => element("button", { type: "button", onclick: () => chosen.click() }, "Choose the file");
      const missingFile = (text) => {
        this.notice.replaceChildren(`${text} `, choose());
        this.notice.hidden = false;
        box.hidden = true;
      };
      const tag = { video: "video", audio: "audio", image: "img" }[file.kind];
      const named = `${file.name}, ${file.kind}`;
      this.media = element(tag, tag === "img" ? { alt: file.name } : { controls: true, preload: "metadata", "aria-label": named });
      this.media.addEventListener("error", () => missingFile(
        `${file.name} cannot be played: it is not where it was, or this browser does not know its format.`));
      this.overlay = file.kind === "audio" ? null : element("canvas", { "aria-hidden": "true" });
      const box = element("div", { class: "player", hidden: !file.media }, this.media, this.overlay);
      if (file.media) this.media.src = file.media;
      else missingFile(`${file.name} is not where it was when the report was made.`);
      if (file.start) this.media.addEventListener("loadedmetadata", () => { this.media.currentTime = file.start; });
      for (const event of ["timeupdate", "seeked", "play", "loadedmetadata", "load"]) {
        this.media.addEventListener(event, () => this.step());
      }
      this.said = element("p", { class: "said", hidden: !file.sentences.length });
      return element("div", {}, box, this.said, this.notice, chosen);
    }

    step() {
      cancelAnimationFrame(this.frame);
      if (this.file.kind !== "image") this.time = this.media.currentTime;
      const [from, to] = this.view;
      if (this.media.paused === false && (this.time > to || this.time < from) && to - from < this.file.duration) {
        this.setView(this.time, this.time + (to - from));
      }
      this.show();
      if (this.media.paused === false) this.frame = requestAnimationFrame(() => this.step());
    }

    seek(time) {
      this.time = Math.min(Math.max(0, time), this.file.duration);
      if (this.media.readyState > 0) this.media.currentTime = this.time;
      this.show();
    }

    toggle() {
      if (this.media.paused === undefined || !this.media.readyState) return;
      if (this.media.paused) this.media.play();
      else this.media.pause();
    }

    drawBoxes() {
      const { overlay, media, file } = this;
      if (!overlay || !overlay.clientWidth) return;
      const scale = devicePixelRatio || 1, width = overlay.clientWidth, height = overlay.clientHeight;
      overlay.width = width * scale;
      overlay.height = height * scale;
      const pen = overlay.getContext("2d");
      pen.scale(scale, scale);
      const w = media.videoWidth || media.naturalWidth, h = media.videoHeight || media.naturalHeight;
      if (!w || !h || file.turned) return;
      const shown = Math.min(media.clientWidth / w, media.clientHeight / h);
      const left = (media.clientWidth - w * shown) / 2, upper = (media.clientHeight - h * shown) / 2;
      pen.lineWidth = 2;
      pen.font = "13px system-ui, sans-serif";
      this.rows.forEach((rows, n) => {
        const i = rows.at(this.time), box = rows.box(i), found = rows.probabilities(i);
        if (!box) return;
        const [x, y] = [left + box[0] * w * shown, upper + box[1] * h * shown];
        const colour = found ? file.colours[top(found)] : "#b5bac1";
        pen.strokeStyle = colour;
        pen.strokeRect(x, y, box[2] * w * shown, box[3] * h * shown);
        const person = file.persons[n];
        const text = `${person.name || person.person || ""} ${found ? `${file.labels[top(found)]} ${Math.max(...found).toFixed(2)}` : ""}`.trim();
        const size = pen.measureText(text).width + 8;
        pen.fillStyle = "rgba(0, 0, 0, .75)";
        pen.fillRect(x - 1, Math.max(0, y - 20), size, 19);
        pen.fillStyle = "#fff";
        pen.fillText(text, x + 3, Math.max(0, y - 20) + 14);
      });
    }

    // The values at a time.

    nowPanel() {
      const { file } = this;
      this.nowTitle = element("caption");
      this.cells = file.persons.map(() => file.labels.map(() => element("td")));
      const body = element("tbody", {}, file.labels.map((name, c) => element("tr", {},
        element("th", { scope: "row" }, element("span", { class: "swatch", style: `background:${file.colours[c]}` }), name),
        this.cells.slice(0, 4).map((cells) => cells[c]))));
      this.statusCells = file.persons.map(() => element("td"));
      body.append(element("tr", {}, element("th", { scope: "row" }, "status"), this.statusCells.slice(0, 4)));
      this.speakingCells = file.persons.map(() => element("td"));
      if (this.rows.some((rows) => rows.speaking)) {
        body.append(element("tr", {}, element("th", { scope: "row" }, "speaking"), this.speakingCells.slice(0, 4)));
      }
      const more = file.persons.length > 4 ? [element("p", { class: "muted" }, `${file.persons.length - 4} more persons below`)] : [];
      return element("div", {}, element("table", { class: "now" }, this.nowTitle,
        element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "left" }, "probability"),
          file.persons.slice(0, 4).map((person) => element("th", { scope: "col" }, called(person))))),
        body), ...more);
    }

    show() {
      const time = this.hovered ?? this.time, { file } = this;
      this.nowTitle.textContent = file.duration ? `At ${clock(time)}${this.hovered === null ? "" : " (pointer)"}` : "In the photograph";
      this.rows.forEach((rows, n) => {
        const i = rows.at(time), found = rows.probabilities(i);
        this.cells[n].forEach((cell, c) => {
          cell.textContent = found ? found[c].toFixed(2) : "–";
          cell.style.setProperty("--shade", found ? found[c].toFixed(3) : "0");
        });
        this.statusCells[n].textContent = i < 0 ? "–" : this.statusName(file.statuses[rows.status[i]]);
        this.speakingCells[n].textContent = rows.knowsSpeaker(i) ? (rows.speaking[i] / levels).toFixed(2) : "–";
      });
      for (const chart of this.charts) {
        const i = chart.rows.at(this.time), found = chart.rows.probabilities(i);
        const text = found ? `${file.labels[top(found)]} ${Math.max(...found).toFixed(2)}` : i < 0 ? "" : this.statusName(file.statuses[chart.rows.status[i]]);
        chart.slider.setAttribute("aria-valuenow", this.time.toFixed(1));
        chart.slider.setAttribute("aria-valuetext", `${clock(this.time)}${text ? `: ${text}` : ""}`);
        this.placeHeads(chart);
      }
      const said = file.sentences.find((s) => s.start <= time && time < s.end);
      this.said.textContent = said ? `“${said.text}”` : "\u00a0";
      this.drawBoxes();
    }

    placeHeads(chart) {
      const place = chart.plots[0].valToPos(this.time, "x");
      const visible = this.time >= this.view[0] && this.time <= this.view[1];
      chart.heads.forEach((head) => {
        head.hidden = !visible;
        head.style.transform = `translateX(${place}px)`;
      });
    }

    // The timelines.

    timelines() {
      const { file } = this;
      const swatches = file.labels.map((name, n) => element("li", {}, element("span", { class: "swatch", style: `background:${file.colours[n]}` }), name));
      const statuses = file.statuses.map((name) => element("li", {},
        element("span", { class: "swatch", style: `background:${statusColour(name)};height:.45rem;vertical-align:.1rem` }), this.statusName(name)));
      const lines = [element("li", {}, element("span", { class: "key" }), "valence"), element("li", {}, element("span", { class: "key dashed" }), "confidence")];
      if (this.rows.some((rows) => rows.status.some((_, i) => rows.hasUnknownVoice(i)))) {
        lines.push(element("li", {}, element("span", { class: "swatch", style: `background:${css("muted")};height:.25rem;vertical-align:.2rem` }), this.rows.some((rows) => rows.speaking) ? "voice, unknown whose" : "voice"));
      }
      if (this.rows.some((rows) => rows.speaking)) {
        lines.push(element("li", {}, element("span", { class: "swatch", style: `background:${css("text")};height:.3rem;vertical-align:.2rem` }), "speaking"));
      }
      const button = (text, label, action) => element("button", { type: "button", "aria-label": label, title: label, onclick: action }, text);
      const tools = element("div", { class: "tools", role: "group", "aria-label": "Timeline" },
        button("▶ / ❚❚", "Play or pause", () => this.toggle()),
        button("+", "Zoom in", () => this.zoom(0.5)), button("−", "Zoom out", () => this.zoom(2)),
        button("◀", "Earlier", () => this.pan(-0.5)), button("▶", "Later", () => this.pan(0.5)),
        button("whole file", null, () => this.setView(file.start, file.duration)));
      const sets = [...new Set(this.rows.flatMap((rows) => Object.keys(rows.sets)))];
      if (sets.length > 1) {
        const select = element("select", { "aria-label": "Scores of" }, sets.map((name) => element("option", { value: name }, name.replaceAll("_", " "))));
        select.addEventListener("change", () => {
          this.rows.forEach((rows) => rows.use(select.value));
          this.draw();
          this.show();
        });
        tools.append(select);
      }
      const help = element("p", { class: "muted" }, "Click a timeline to go there; drag to zoom. Keys: ", element("kbd", {}, "←"), " ",
        element("kbd", {}, "→"), " 1 s, with ", element("kbd", {}, "Shift"), " 10 s, ", element("kbd", {}, "Space"), " play, ",
        element("kbd", {}, "+"), " ", element("kbd", {}, "−"), " zoom, ", element("kbd", {}, "0"), " whole file.");
      const places = file.persons.slice(0, FEW_PERSONS).map((_, n) => this.timeline(n));
      const area = element("div", {}, places);
      this.lane = element("div", { class: "lane", "aria-hidden": "true", hidden: !file.sentences.length });
      const rest = file.persons.length - FEW_PERSONS;
      if (rest > 0) {
        area.append(button(`Show ${rest} more`, `Show the timelines of ${rest} more persons`, (event) => {
          event.target.replaceWith(...file.persons.slice(FEW_PERSONS).map((_, n) => this.timeline(n + FEW_PERSONS)));
          this.charts.forEach((chart) => this.resizeChart(chart));
          this.draw();
          this.show();
        }));
      }
      return [element("h2", {}, "Timeline"), tools, element("ul", { class: "legend" }, swatches),
        element("ul", { class: "legend", "aria-label": "Statuses and lines" }, statuses, lines), area, this.lane, help];
    }

    timeline(n) {
      const { file } = this, person = file.persons[n], rows = this.rows[n], k = file.labels.length;
      const slider = element("div", {
        class: "track", tabindex: "0", role: "slider", "aria-label": `Timeline of ${called(person)}`, "aria-valuemin": "0",
        "aria-valuemax": file.duration.toFixed(1), "aria-valuenow": "0", onkeydown: (event) => this.key(event),
      });
      const strip = element("canvas", { class: "strip", "aria-hidden": "true" });
      const chart = { rows, slider, strip, plots: [], heads: [], valence: file.valence && valenceOf(file.valence) };
      const range = () => this.view;
      const axis = (more) => ({ stroke: css("muted"), font: "11px system-ui, sans-serif", grid: { stroke: css("line"), width: 1 }, ticks: { show: false }, ...more });
      const hooks = {
        setSelect: [(plot) => {
          const { left, width } = plot.select;
          if (width < 4) return;
          this.setView(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
        setCursor: [(plot) => {
          const { left } = plot.cursor, time = left === null || left === undefined || left < 0 ? null : plot.posToVal(left, "x");
          if (time === this.hovered) return;
          this.hovered = time;
          this.show();
        }],
      };
      const common = (height, axes, scales, series) => ({
        width: 300, height, legend: { show: false }, padding: [7, 18, 6, 0], axes, series, hooks,
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false }, sync: { key: "time" } },
        scales: { x: { time: false, range }, y: { range: scales } },
      });
      const stepped = uPlot.paths.stepped({ align: 1 });
      const stacked = file.labels.map((_, c) => ({ fill: file.colours[k - 1 - c], stroke: "transparent", width: 0, paths: stepped, points: { show: false } }));
      hooks.draw = [() => {
        if (!chart.plots.length) return;
        this.drawStrip(chart);
        this.placeHeads(chart);
      }];
      const first = common(150, [axis({ size: 26, values: (_, ticks) => ticks.map((t) => clock(t, digits(ticks[1] - ticks[0]))) }),
        axis({ size: 34, splits: () => [0, 0.5, 1], values: () => ["0", ".5", "1"] })], [0, 1], [{}, ...stacked]);
      const line = (name, dash) => ({ stroke: css(name), width: 1.5, dash, points: { show: false } });
      const second = common(72, [axis({ size: 0, show: false }), axis({ size: 34, splits: () => [-1, 0, 1], values: () => ["−1", "0", "1"] })],
        [-1, 1], [{}, line("text"), line("muted", [4, 3])]);
      for (const options of [first, second]) {
        const plot = new uPlot(options, [[], ...options.series.slice(1).map(() => [])], slider);
        const head = element("div", { class: "playhead" });
        plot.over.append(head);
        this.onClick(plot);
        chart.plots.push(plot);
        chart.heads.push(head);
        if (options === first) slider.append(strip);
      }
      this.charts.push(chart);
      const quality = person.quality;
      return element("div", { class: "row" }, element("h3", {}, called(person),
        element("span", {}, `${person.person === null ? "" : `face found ${percent(quality.face)}, `}confidence ${percent(quality.confidence)}`)), slider);
    }

    onClick(plot) {
      let pressed = null;
      plot.over.addEventListener("mousedown", (event) => { pressed = event.clientX; });
      plot.over.addEventListener("mouseup", (event) => {
        if (pressed !== null && Math.abs(event.clientX - pressed) < 4) {
          this.seek(plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x"));
        }
        pressed = null;
      });
      plot.over.addEventListener("dblclick", () => this.setView(this.file.start, this.file.duration));
      plot.over.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
        event.preventDefault();
        if (event.ctrlKey) this.zoom(event.deltaY < 0 ? 0.8 : 1.25, plot.posToVal(plot.cursor.left, "x"));
        else this.pan((event.deltaX || event.deltaY) / plot.over.clientWidth);
      }, { passive: false });
    }

    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const step = event.shiftKey ? 10 : 1;
      const actions = {
        ArrowLeft: () => this.seek(this.time - step), ArrowRight: () => this.seek(this.time + step),
        ArrowDown: () => this.seek(this.time - step), ArrowUp: () => this.seek(this.time + step),
        PageUp: () => this.seek(this.time + 60), PageDown: () => this.seek(this.time - 60),
        Home: () => this.seek(0), End: () => this.seek(this.file.duration), " ": () => this.toggle(),
        "+": () => this.zoom(0.5, this.time), "=": () => this.zoom(0.5, this.time), "-": () => this.zoom(2, this.time),
        "0": () => this.setView(this.file.start, this.file.duration),
      };
      if (!actions[event.key]) return;
      event.preventDefault();
      actions[event.key]();
      const [from, to] = this.view;
      if (this.time < from || this.time > to) this.setView(this.time - (to - from) / 2, this.time + (to - from) / 2);
    }

    zoom(factor, around) {
      const [from, to] = this.view, middle = around ?? (this.time > from && this.time < to ? this.time : (from + to) / 2);
      this.setView(middle - (middle - from) * factor, middle + (to - middle) * factor);
    }

    pan(fraction) {
      const [from, to] = this.view, shift = Math.min(Math.max((to - from) * fraction, -from), this.file.duration - to);
      this.setView(from + shift, to + shift);
    }

    setView(from, to) {
      const { duration } = this.file, length = Math.min(Math.max(to - from, Math.min(0.5, duration)), duration);
      const start = Math.min(Math.max(0, from), duration - length);
      this.view = [start, start + length];
      cancelAnimationFrame(this.redraw);
      this.redraw = requestAnimationFrame(() => this.draw());
    }

    draw() {
      for (const chart of this.charts) {
        const [x, means] = chart.rows.groups(...this.view), k = this.file.labels.length;
        const stacked = Array.from({ length: k }, () => []), valence = [], confidence = [];
        for (const mean of means) {
          let sum = 0;
          for (let c = 0; c < k; c++) {
            sum += mean ? mean[c] : 0;
            stacked[k - 1 - c].push(mean ? Math.min(sum, 1) : null);
          }
          valence.push(mean && chart.valence ? chart.valence(mean) : null);
          confidence.push(mean ? Math.max(...mean) : null);
        }
        chart.plots[0].setData([x, ...stacked]);
        chart.plots[1].setData([x, valence, confidence]);
      }
      this.drawLane();
    }

    // The sentences below the timelines; the table of words has them for the keyboard.
    drawLane() {
      const { sentences } = this.file, chart = this.charts[0];
      if (!sentences.length || !chart) return;
      const { over } = chart.plots[0], [from, to] = this.view;
      this.lane.style.marginLeft = `${over.offsetLeft}px`;
      this.lane.style.width = `${over.clientWidth}px`;
      const seen = sentences.filter((s) => s.start < to && from < s.end);
      if (seen.length > FEW_SENTENCES) {
        this.lane.replaceChildren(element("span", { class: "muted" }, `${seen.length} sentences; zoom in to read them here`));
        return;
      }
      const part = (time) => 100 * (Math.min(Math.max(time, from), to) - from) / (to - from);
      this.lane.replaceChildren(...seen.map((s) => element("span", {
        title: s.text, class: s.status === "ok" ? null : "muted", onclick: () => this.seek(s.start),
        style: `left:${part(s.start)}%;width:${part(s.end) - part(s.start)}%`,
      }, s.text)));
    }

    drawStrip(chart) {
      const plot = chart.plots[0], scale = devicePixelRatio || 1;
      const left = plot.over.offsetLeft, width = plot.over.clientWidth, { strip, rows } = chart;
      strip.style.marginLeft = `${left}px`;
      strip.style.width = `${width}px`;
      strip.width = Math.max(1, Math.round(width * scale));
      strip.height = Math.round(22 * scale);
      const [from, to] = this.view, per = (to - from) / strip.width;
      const row = Int32Array.from({ length: strip.width }, (_, px) => rows.at(from + (px + 0.5) * per));
      const colours = this.file.statuses.map(statusColour);
      this.drawRuns(strip, row, (i) => colours[rows.status[i]], 0, Math.round(9 * scale));
      const voice = css("muted"), speaks = css("text");
      if (rows.speaking) this.drawRuns(strip, row, (i) => (rows.speaks(i) ? speaks : null), Math.round(17 * scale), Math.round(5 * scale));
      if (rows.voice) this.drawRuns(strip, row, (i) => (rows.hasUnknownVoice(i) ? voice : null), Math.round(11 * scale), Math.round(4 * scale));
    }

    // One line of a strip: runs of pixels of one colour.
    drawRuns(strip, row, colourOfRow, upper, height) {
      const pen = strip.getContext("2d");
      let begin = 0, before = null;
      for (let px = 0; px <= row.length; px++) {
        const colour = px < row.length && row[px] >= 0 ? colourOfRow(row[px]) : null;
        if (colour === before) continue;
        if (before) {
          pen.fillStyle = before;
          pen.fillRect(begin, upper, px - begin, height);
        }
        [begin, before] = [px, colour];
      }
    }

    resizeChart(chart) {
      const width = chart.slider.clientWidth;
      if (width) chart.plots.forEach((plot) => plot.setSize({ width, height: plot.height }));
    }

    resize() {
      this.charts.forEach((chart) => this.resizeChart(chart));
      this.draw();
      this.show();
    }

    // The tables.

    persons() {
      const { file } = this;
      return [element("h2", {}, file.persons.length > 1 ? "Persons" : "Person"), element("div", { class: "cards" }, file.persons.map((person) => {
        const whole = Object.values(person.times).reduce((a, b) => a + b, 0), quality = person.quality;
        const facts = [
          file.duration ? `${clock(whole, 0)} with scores` : null,
          person.person === null || !file.duration ? null : `face found ${percent(quality.face)} of the time`,
        ].filter(Boolean).join(", ");
        const turns = person.turns, spoken = turns ? turns.reduce((sum, [from, to]) => sum + to - from, 0) : 0;
        const speech = turns && turns.length ? `speaks ${clock(spoken)} in ${turns.length} ${turns.length === 1 ? "turn" : "turns"}, ${fixed(spoken / turns.length, 1)} s on average`
          : turns ? "does not speak" : null;
        const means = [`confidence ${percent(quality.confidence)}`];
        if (person.means.valence !== undefined) means.push(`valence ${fixed(person.means.valence, 2)}`);
        return element("article", { class: "card" },
          person.still ? element("img", { src: person.still, alt: `Face of ${called(person)}`, width: 88, height: 88 })
            : element("div", { class: "nobody", "aria-hidden": "true" }, person.person === null ? (whole ? "♪" : "–") : String(person.person)),
          element("h3", {}, called(person)), element("p", { class: "muted" }, facts), element("p", { class: "muted" }, means.join(", ")),
          speech ? element("p", { class: "muted" }, speech) : null,
          bar(file, person.times),
          element("ul", { class: "legend" }, Object.entries(person.times).slice(0, 4).map(([name, s]) => element("li", {},
            element("span", { class: "swatch", style: `background:${colourOf(file, name)}` }), `${name} ${percent(s / whole)}`))));
      }))];
    }

    table(name, head, rows, words = 1) {
      return element("div", { class: "scroll", role: "region", "aria-label": name, tabindex: "0" }, element("table", {},
        element("thead", {}, element("tr", {}, head.map((text, n) => element("th", { scope: "col", class: n < words ? "left" : null }, text)))),
        element("tbody", {}, rows.map((cells) => element("tr", {}, cells.map((cell, n) => n === 0
          ? element("th", { scope: "row" }, cell) : element("td", { class: n < words ? "left" : null }, cell)))))));
    }

    words() {
      const { sentences } = this.file;
      if (!sentences.length) return [];
      const other = (s) => (s.status === "ok" ? "" : s.status.replaceAll("_", " "));
      const rows = sentences.map((s) => [
        element("button", { type: "button", "aria-label": `Go to ${clock(s.start)}`, onclick: () => this.seek(s.start) }, clock(s.start)),
        s.text, other(s)]);
      const scored = sentences.some((s) => s.status === "ok");
      return [element("h2", {}, "Words"),
        element("p", { class: "muted" }, scored ? "Sentences without a note are scored and count for whoever speaks." : "No sentence is scored."),
        element("details", { open: sentences.length <= 12 },
        element("summary", {}, `${sentences.length} sentence${sentences.length === 1 ? "" : "s"}`), this.table("Words", ["from", "sentence", "note"], rows, 3))];
    }

    segments() {
      const { file } = this;
      const all = file.persons.flatMap((person) => person.segments.map((s) => ({ ...s, person })))
        .sort((a, b) => b.end - b.start - (a.end - a.start)).slice(0, 12);
      if (!all.length || !file.duration) return [];
      const pictures = all.some((s) => s.still);
      return [element("h2", {}, "Longest segments"), this.table("Longest segments",
        ["person", ...(pictures ? ["face"] : []), "emotion", "from", "length", "confidence"],
        all.map((s) => [called(s.person), ...(pictures ? [s.still ? element("img", { src: s.still, alt: "" }) : ""] : []),
          element("span", {}, element("span", { class: "swatch", style: `background:${colourOf(file, s.emotion)}` }),
            s.emotion + (s.status === "ok" ? "" : ` (${this.statusName(s.status)})`)),
          element("button", { type: "button", "aria-label": `Go to ${clock(s.start)}`, onclick: () => {
            this.seek(s.start);
            this.setView(s.start - (s.end - s.start), s.end + (s.end - s.start));
            this.media.scrollIntoView({ block: "nearest" });
          } }, clock(s.start)),
          `${(s.end - s.start).toFixed(1)} s`, s.confidence === null ? "–" : s.confidence.toFixed(2)]), pictures ? 3 : 2)];
    }

    transitions() {
      const found = this.file.persons.filter((person) => person.transitions.length);
      if (!found.length) return [];
      return [element("h2", {}, "Transitions"), ...found.map((person) => {
        const names = [...new Set(person.transitions.flatMap(([a, b]) => [a, b]))].sort(
          (a, b) => (this.file.labels.indexOf(a) + 1 || 99) - (this.file.labels.indexOf(b) + 1 || 99));
        const counts = new Map(person.transitions.map(([a, b, n]) => [`${a}\n${b}`, n])), most = Math.max(...counts.values());
        const table = element("table", { class: "heat" }, element("caption", {}, "From the emotion of the row to that of the column"),
          element("thead", {}, element("tr", {}, element("td", {}), names.map((name) => element("th", { scope: "col" }, name)))),
          element("tbody", {}, names.map((a) => element("tr", {}, element("th", { scope: "row" }, a), names.map((b) => {
            const n = counts.get(`${a}\n${b}`);
            return element("td", n ? { style: `--shade:${(n / most).toFixed(2)}` } : { class: "missing" }, n ? String(n) : a === b ? "" : "0");
          })))));
        return element("details", { open: found.length === 1 }, element("summary", {}, called(person)),
          element("div", { class: "scroll", role: "region", "aria-label": `Transitions of ${called(person)}`, tabindex: "0" }, table));
      })];
    }

    quality() {
      const { file } = this, notes = [];
      const worst = (key) => Math.max(0, ...file.persons.map((person) => person.quality[key] ?? 0));
      const least = Math.min(1, ...file.persons.map((person) => person.quality.face ?? 1));
      if (file.kind !== "audio" && least < 0.5) notes.push("A face was found less than half of the time: what the tables say of that person is about the other half.");
      if (worst("small") > 0.1) notes.push("Faces below 8 % of the frame's height were found: their scores are less reliable, and others may not be found without --small-faces.");
      if (worst("wide") > 0.1 || worst("turned") > 0.1) notes.push("Heads are turned by more than 25 degrees for part of the time, where accuracy is lower (docs: head poses).");
      const dark = file.persons.filter((person) => person.quality.dark).map(called);
      if (dark.length) notes.push(`The picture of ${dark.join(", ")} is dark: scores are less reliable there.`);
      if (worst("unsure") > 0.5) notes.push("Most rows have a confidence below 0.5: compare means over events or persons rather than single moments.");
      const rows = file.persons.map((person) => {
        const q = person.quality;
        return [called(person), percent(q.face), percent(q.scored), percent(q.turned), percent(q.wide), percent(q.small), percent(q.confidence), percent(q.unsure)];
      });
      return [element("h2", {}, "Quality"), this.table("Quality",
        ["person", "face found", "scored", "left out as turned", "yaw above 25°", "small face", "mean confidence", "confidence below 50 %"], rows),
        element("ul", {}, [...notes, ...file.warnings].map((note) => element("li", {}, note)))];
    }

    about() {
      const terms = [...this.file.facts, ...(this.file.path ? [["file", this.file.path]] : [])];
      if (report.reduction > 1) terms.push(["rows", `each is the mean of ${report.reduction} rows of the table`]);
      return [element("h2", {}, "How it was made"), element("dl", {}, terms.flatMap(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]))];
    }
  }

  const valenceOf = ([positive, negative]) => (mean) => mean[positive] - Math.max(...negative.map((n) => mean[n]));

  // -- the page ---------------------------------------------------------------------------------------------

  let current = -1, view = null;
  const place = document.getElementById("file");
  const refresh = report.files.length > 1 ? overview() : () => {};
  const open = (n, scroll) => {
    if (view) view.close();
    current = n;
    view = new FileView(report.files[n], place);
    refresh();
    if (scroll && document.getElementById("name")) document.getElementById("name").scrollIntoView();
  };
  const asked = () => {
    const match = /^#file-(\d+)$/.exec(location.hash);
    return match && report.files[match[1] - 1] ? match[1] - 1 : 0;
  };
  addEventListener("hashchange", () => open(asked(), true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => open(current, false));
  open(asked(), false);
})();
