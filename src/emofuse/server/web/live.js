// The view Live: camera and microphone are scored as they are, and can be recorded.

import { Camera, Microphone, NO_DEVICE, cameras, isSupported, microphones, openDevices } from "./capture.js";
import { announce, button, checkbox, element, english, field, option } from "./dom.js";
import { emotionBar, emotionName, strongest, swatch } from "./emotions.js";
import { drawFrame, faceName } from "./overlay.js";
import { saveFile } from "./results.js";
import { upload } from "./server.js";
import { LiveSession } from "./session.js";
import { number, percent, t } from "./texts.js";
import { Timelines } from "./timeline.js";

const MEASURE = "live-frame"; // of the User Timing API: from the capture of a frame to its overlay
const RECENT = 30; // frames whose median latency is shown
const RECORDING = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"];
const RECORDING_SLICE_MS = 1000;
const PANEL_MS = 250; // between two updates of the numbers
const WATCHED = 50, MANY = 10; // of the latest moments; so many in which it is not known who speaks are pointed out

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

// Which of a browser's refusals it was, as the end of a key of a text.
const refusal = (error) => ({
  NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing", OverconstrainedError: "taken", NotReadableError: "taken", AbortError: "taken",
})[error.name] ?? "broken";

const setUp = () => {
  const camera = element("select", { id: "camera" }), microphone = element("select", { id: "microphone" });
  const fill = (select, devices, kind) => {
    const chosen = select.value;
    const known = devices.filter(({ deviceId, label }) => deviceId && label);
    select.replaceChildren(option("", t(`live.${kind}.default`)), ...known.map(({ deviceId, label }) => option(deviceId, label)), option(NO_DEVICE, t(`live.${kind}.none`)));
    select.value = [...select.options].some(({ value }) => value === chosen) ? chosen : "";
  };
  const list = async () => {
    fill(camera, isSupported() ? await cameras() : [], "camera");
    fill(microphone, isSupported() ? await microphones() : [], "microphone");
  };
  const name = element("input", { type: "text", id: "live-name", maxlength: 80, autocomplete: "off", placeholder: t("live.name.example") });
  const [rows, rowsField] = checkbox("record", t("live.record"), t("live.record.about"));
  const [video, videoField] = checkbox("record-video", t("live.record-video"), t("live.record-video.about"));
  const nameField = field(t("live.name"), name);
  const follow = () => {
    nameField.hidden = videoField.hidden = !rows.checked;
  };
  rows.addEventListener("change", follow);
  follow();
  const node = element("fieldset", { class: "options" }, element("legend", {}, t("live.devices")),
    field(t("live.camera"), camera), field(t("live.microphone"), microphone), rowsField, nameField, videoField);
  return {
    node, list,
    read: () => ({ camera: camera.value, microphone: microphone.value, record: rows.checked, video: rows.checked && video.checked, name: name.value.trim() }),
  };
};

// The emotions of everybody in the frame as text and bars, and how fast it goes.
const panel = () => {
  const faces = element("ul", { class: "faces" }), figures = element("dl", { class: "figures" });
  const row = (title, probabilities) => {
    const found = probabilities && strongest(probabilities);
    return element("li", {}, element("div", { class: "line" }, element("strong", {}, title),
      found ? element("span", {}, swatch(found[0]), `${emotionName(found[0])} ${percent(found[1])}`) : element("span", { class: "muted" }, t("live.unscored"))),
    probabilities ? emotionBar(probabilities) : null);
  };
  return {
    node: element("div", { class: "now" }, element("h2", {}, t("live.now")), faces, figures),
    show: (found, voice) => {
      const rows = [...found.map((face) => row(faceName(face), face.probabilities)), ...(voice ? [row(t("live.voice"), voice)] : [])];
      faces.replaceChildren(...(rows.length ? rows : [element("li", { class: "muted" }, t("live.nobody"))]));
    },
    measure: (entries) => figures.replaceChildren(...entries.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
  };
};

// Of each moment of rows, whether several persons share a voice since it is not known who of them speaks.
const unknownSpeakers = (rows) => {
  const moments = new Map();
  for (const row of rows) moments.set(row.start, [...(moments.get(row.start) ?? []), row]);
  return [...moments.values()].map((persons) => {
    const heard = persons.filter(({ x, voice_weight: weight }) => x !== null && (weight ?? null) !== null);
    return heard.length > 1 && heard.every(({ speaking }) => (speaking ?? null) === null);
  });
};

class Recorder {
  #chunks = [];

  constructor(stream) {
    this.type = RECORDING.find((type) => MediaRecorder.isTypeSupported(type));
    this.recorder = new MediaRecorder(stream, { mimeType: this.type });
    this.recorder.addEventListener("dataavailable", ({ data }) => this.#chunks.push(data));
    this.recorder.start(RECORDING_SLICE_MS);
  }

  get extension() {
    return this.type.startsWith("video/mp4") ? "mp4" : "webm";
  }

  async stop() {
    if (this.recorder.state !== "inactive") {
      const stopped = new Promise((resolve) => this.recorder.addEventListener("stop", resolve));
      this.recorder.stop();
      await stopped;
    }
    return new Blob(this.#chunks, { type: this.type.split(";")[0] });
  }
}

class LiveView {
  #running = null; // {stream, session, camera, microphone, recorder, timelines, asked, labels}
  #latencies = [];
  #answers = [];
  #panelShown = 0;
  #unknown = []; // of the latest moments
  #saving = false;

  constructor(place) {
    this.place = place;
    this.setUp = setUp();
    this.start = button(t("live.start"), () => this.begin(), { class: "first" });
    this.stop = button(t("live.stop"), () => this.finish(), { class: "danger", hidden: true });
    this.notice = element("div", { class: "notice", role: "status", hidden: true });
    this.problem = element("div", { class: "notice problem", role: "alert", hidden: true });
    this.canvas = element("canvas", { class: "frame", role: "img", "aria-label": t("live.picture"), width: 640, height: 480 });
    this.meter = element("meter", { min: 0, max: 1, low: 0.02, "aria-label": t("live.level") });
    this.level = element("div", { class: "line", hidden: true }, element("span", {}, t("live.level")), this.meter);
    this.panel = panel();
    this.timelines = element("div", { class: "timelines" });
    this.slow = element("p", { class: "notice wide", hidden: true }, t("live.slow"));
    this.stage = element("div", { class: "stage", hidden: true }, this.slow, element("div", {}, this.canvas, this.level), this.panel.node,
      element("div", { class: "wide" }, element("h2", {}, t("live.timeline")), this.legend = element("ul", { class: "legend" }),
        element("p", { class: "muted" }, t("live.timeline.about")), this.timelines));
    this.intro = element("div", { class: "columns" }, element("div", {}, element("p", {}, t("live.about")),
      element("ul", {}, element("li", {}, t("live.about.asked")), element("li", {}, t("live.about.stays")), element("li", {}, t("live.about.kept"))), this.start), this.setUp.node);
    place.append(element("h1", { id: "live-title", tabindex: "-1" }, t("live.title")), element("div", { class: "tools" }, this.stop), this.notice, this.problem, this.intro, this.stage);
    addEventListener("pagehide", () => this.#close());
    document.addEventListener("visibilitychange", () => {
      if (this.#running?.camera && document.hidden) this.#note(t("live.hidden"));
    });
  }

  isBusy() {
    return this.#running !== null || this.#saving;
  }

  shown() {
    this.setUp.list();
    if (!isSupported()) this.#fail(t(window.isSecureContext ? "live.unsupported" : "live.insecure"));
    this.start.disabled = !isSupported();
  }

  #note(...content) {
    this.notice.hidden = !content.length;
    this.notice.replaceChildren(...content);
  }

  #fail(...content) {
    this.problem.hidden = !content.length;
    this.problem.replaceChildren(...content);
    this.problem.scrollIntoView({ block: "nearest" });
  }

  // What can be opened: without a camera the voice alone is scored, and without a microphone the face.
  async #available(asked) {
    const [seen, heard] = [(await cameras()).length > 0, (await microphones()).length > 0];
    const camera = seen ? asked.camera : NO_DEVICE, microphone = heard ? asked.microphone : NO_DEVICE;
    return { camera, microphone, seen, heard };
  }

  async begin() {
    const asked = this.setUp.read();
    this.#fail();
    this.start.disabled = true;
    const found = await this.#available(asked);
    if (found.camera === NO_DEVICE && found.microphone === NO_DEVICE) {
      this.start.disabled = false;
      return this.#fail(t(found.seen || found.heard ? "live.nothing" : "live.missing"));
    }
    this.#note(t("live.asking"));
    try {
      this.#running = { asked, stream: await openDevices(found.camera, found.microphone) };
    } catch (error) {
      this.#note();
      this.start.disabled = false;
      return this.#fail(t(`live.${refusal(error)}`));
    }
    this.setUp.list();
    return this.#connect(found);
  }

  async #connect({ camera, microphone, seen, heard }) {
    const running = this.#running, { asked, stream } = running;
    this.#note(t("live.starting"));
    this.intro.hidden = true;
    this.stop.hidden = false;
    this.stop.focus();
    [this.#latencies, this.#answers, this.#unknown] = [[], [], []];
    this.slow.hidden = true;
    try {
      if (camera !== NO_DEVICE) {
        running.camera = new Camera(stream, (time) => running.session?.frame(time, running.camera));
        await running.camera.start();
      }
      if (microphone !== NO_DEVICE) {
        running.microphone = new Microphone(stream, (block) => {
          this.meter.value = block.level;
          running.session?.audio(block);
          if (!running.camera) this.#withoutFrames(block);
        });
        await running.microphone.start();
      }
    } catch {
      return this.#end(() => this.#fail(t("live.broken")));
    }
    for (const track of stream.getTracks()) {
      track.addEventListener("ended", () => {
        if (this.#running === running) this.#note(t("live.unplugged"));
      });
    }
    const only = running.camera ? (running.microphone ? null : t(heard ? "live.only-camera" : "live.no-microphone")) : t(seen ? "live.only-microphone" : "live.no-camera");
    running.session = new LiveSession({ record: asked.record, camera: Boolean(running.camera), name: asked.name || t("live.name.default") }, {
      ready: ({ labels }) => this.#ready(labels, only),
      frame: (answer, canvas, captured) => this.#frame(answer, canvas, captured),
      rows: (rows) => this.#rows(rows),
      stopped: (result) => this.#stopped(result),
      failed: (kind, text) => this.#failed(kind, text),
    });
    return undefined;
  }

  #ready(labels, only) {
    const running = this.#running;
    if (running.asked.video) running.recorder = new Recorder(running.stream);
    running.labels = labels;
    running.timelines = new Timelines(labels, (row) => (row.person === null ? t("live.voice") : faceName(row)));
    this.timelines.replaceChildren(running.timelines.node);
    this.legend.replaceChildren(...labels.map((label) => element("li", {}, swatch(label), emotionName(label))));
    this.panel.show([], null);
    this.panel.measure([]);
    this.stage.hidden = false;
    this.canvas.hidden = !running.camera;
    this.level.hidden = !running.microphone;
    const recording = running.asked.record ? t(running.recorder ? "live.recording.video" : "live.recording") : t("live.running");
    this.#note(...[recording, only].filter(Boolean).map((text) => element("p", {}, text)));
  }

  #frame({ time_ms: time, faces, voice, processing_ms: processing, dropped }, canvas, captured) {
    if (canvas) {
      drawFrame(this.canvas, canvas, faces);
      const now = performance.now();
      performance.measure(MEASURE, { start: captured, end: now, detail: { processing } });
      performance.clearMeasures(MEASURE);
      this.#latencies = [...this.#latencies, now - captured].slice(-RECENT);
      this.#answers = [...this.#answers, now].slice(-RECENT);
    }
    this.#running.timelines.advance(time / 1000);
    const now = performance.now();
    if (now - this.#panelShown < PANEL_MS) return;
    this.#panelShown = now;
    this.panel.show(faces, voice);
    const answers = this.#answers, perSecond = (1000 * (answers.length - 1)) / (answers.at(-1) - answers[0]);
    this.panel.measure([[t("live.latency"), this.#latencies.length ? t("live.milliseconds", { n: number(median(this.#latencies)) }) : "–"],
      [t("live.rate"), answers.length > 1 ? number(perSecond, 1) : "–"], [t("live.dropped"), number(dropped + this.#running.session.skipped)]]);
  }

  #withoutFrames({ time, rate, samples }) {
    const { timelines, session } = this.#running ?? {};
    if (timelines && session.start) timelines.advance((time - session.start) / 1000 + samples.length / rate);
  }

  #rows(rows) {
    const { timelines, camera, labels } = this.#running;
    timelines.add(rows);
    this.#unknown = [...this.#unknown, ...unknownSpeakers(rows)].slice(-WATCHED);
    const slow = this.#unknown.filter(Boolean).length >= MANY;
    if (slow && this.slow.hidden) announce(this.slow.textContent);
    this.slow.hidden = !slow;
    const last = rows.at(-1);
    if (camera || !last) return;
    const scored = last[labels[0]] !== null && last[labels[0]] !== undefined;
    this.panel.show([], scored ? Object.fromEntries(labels.map((label) => [label, last[label]])) : null);
  }

  finish() {
    const { session } = this.#running;
    if (!session?.start || session.ended) {
      session?.leave();
      return this.#end(() => this.#note());
    }
    this.stop.disabled = true;
    this.#note(t("live.stopping"));
    return session.stop();
  }

  async #stopped(result) {
    const { recorder, asked } = this.#running, video = recorder && await recorder.stop();
    this.#end(() => {
      this.#note(t(asked.record && result ? "live.stopped.kept" : "live.stopped"));
      announce(this.notice.textContent);
    });
    if (!result) {
      if (video) this.#offerVideo(video, recorder.extension);
      return;
    }
    const link = element("a", { class: "button first", href: `/api/results/${encodeURIComponent(result)}/report`, target: "_blank", rel: "noopener" }, t("action.report"));
    if (video) await this.#uploadVideo(result, video, recorder.extension);
    this.notice.append(element("div", { class: "tools" }, link, element("a", { class: "button", href: "#results" }, t("live.to-results"))));
  }

  async #uploadVideo(result, video, extension) {
    const progress = element("progress", { max: 1, value: 0, "aria-label": t("live.saving") });
    const line = element("p", {}, t("live.saving"), " ", progress);
    this.notice.append(line);
    this.#saving = true;
    try {
      await upload(`/results/${encodeURIComponent(result)}/media?name=${encodeURIComponent(`live.${extension}`)}`, video, {
        onProgress: (fraction) => { progress.value = fraction; }, signal: new AbortController().signal,
      });
      line.replaceChildren(t("live.saved"));
    } catch (error) {
      line.remove();
      this.#fail(error.status ? english(error.message) : error.message);
      this.#offerVideo(video, extension);
    } finally {
      this.#saving = false;
    }
  }

  // A recording that could not be handed over is not lost.
  #offerVideo(video, extension) {
    this.problem.append(element("div", { class: "tools" }, button(t("live.save-video"), () => saveFile(video, `live.${extension}`))));
    this.problem.hidden = false;
  }

  async #failed(kind, text) {
    const { recorder } = this.#running, video = recorder && await recorder.stop();
    this.#end(() => {
      this.#note();
      this.#fail(kind === "failed" ? english(text) : t(`live.${kind}`));
      if (video?.size) this.#offerVideo(video, recorder.extension);
    });
  }

  #close() {
    const running = this.#running;
    if (!running) return;
    running.session?.leave();
    running.camera?.close();
    running.microphone?.close();
    for (const track of running.stream.getTracks()) track.stop();
    this.#running = null;
  }

  #end(report) {
    this.#close();
    this.stop.hidden = true;
    this.stop.disabled = false;
    this.start.disabled = false;
    this.intro.hidden = false;
    this.stage.hidden = true;
    report();
    if (!this.place.hidden) this.start.focus();
  }
}

export const liveView = (place) => {
  const view = new LiveView(place);
  return { shown: () => view.shown(), isBusy: () => view.isBusy() };
};
