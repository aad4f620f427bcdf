// One live session: what is sent to the server and what comes back, with back-pressure.

const MOST_IN_FLIGHT = 2;
const INTERVAL_MS = 1000 / 15; // enough to follow lips, which shows who speaks
const TOLERANCE_MS = 17; // half a frame of a camera
const LOST_MS = 2000; // a frame without an answer for so long no longer counts as in flight
const MOST_BUFFERED = 1_000_000; // bytes that wait in the browser
const FRAME = 1, AUDIO = 2;
const BUSY = 4409; // close code: somebody else has a session

const message = (kind, time, payload, rate) => {
  const head = rate === undefined ? 9 : 13, bytes = new Uint8Array(head + payload.byteLength), view = new DataView(bytes.buffer);
  view.setUint8(0, kind);
  view.setFloat64(1, time, true);
  if (rate !== undefined) view.setUint32(9, rate, true);
  bytes.set(new Uint8Array(payload), head);
  return bytes;
};

// `handle` has ready, frame, rows, stopped and failed; failed receives "busy", "lost" or the server's line.
export class LiveSession {
  #sent = new Map(); // time of a frame: its canvas
  #due = 0; // ms of the session at which the next frame is sent
  #encoded = Promise.resolve(); // frames leave in their order
  skipped = 0;

  constructor(start, handle) {
    this.handle = handle;
    this.socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("open", () => this.socket.send(JSON.stringify({ type: "start", ...start })));
    this.socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(data)));
    this.socket.addEventListener("close", ({ code, reason }) => this.#end(code === BUSY ? "busy" : "lost", reason));
  }

  #end(kind, text) {
    if (this.ended) return;
    this.ended = true;
    this.handle.failed(kind, text);
  }

  #receive(found) {
    if (this.ended) return;
    const actions = {
      ready: () => {
        this.start = performance.now();
        this.handle.ready(found);
      },
      frame: () => this.#onFrame(found),
      used: () => this.#answered(found),
      damaged: () => this.#answered(found),
      rows: () => this.handle.rows(found.rows),
      stopped: () => {
        this.ended = true;
        this.handle.stopped(found.result);
        this.socket.close();
      },
      error: () => {
        this.#end("failed", found.error);
        this.socket.close();
      },
    };
    actions[found.type]?.();
  }

  // The server takes frames in order, so older ones were left out.
  #answered({ time_ms: answered }) {
    const canvas = this.#sent.get(answered);
    for (const time of this.#sent.keys()) if (time <= answered) this.#sent.delete(time);
    return canvas;
  }

  #onFrame(found) {
    this.handle.frame(found, this.#answered(found), this.start + found.time_ms);
  }

  get isOpen() {
    return this.start !== undefined && !this.ended && !this.stopping && this.socket.readyState === WebSocket.OPEN;
  }

  // Sends the frame that the camera took at a time, if it is due, and neither the server nor the network is behind.
  frame(time, camera) {
    if (!this.isOpen || time < this.start) return;
    const since = time - this.start;
    if (since < this.#due - TOLERANCE_MS) return;
    for (const sent of this.#sent.keys()) if (since - sent > LOST_MS) this.#sent.delete(sent);
    if (this.#sent.size >= MOST_IN_FLIGHT || this.socket.bufferedAmount > MOST_BUFFERED) return;
    this.skipped += Math.max(0, Math.floor((since - this.#due) / INTERVAL_MS));
    this.#due = Math.max(this.#due, since - INTERVAL_MS) + INTERVAL_MS;
    const { canvas, jpeg } = camera.grab();
    this.#sent.set(since, canvas);
    this.#encoded = this.#encoded.then(async () => {
      const bytes = await jpeg;
      if (this.isOpen) this.socket.send(message(FRAME, since, bytes));
    });
  }

  audio({ time, rate, samples }) {
    if (this.isOpen && time >= this.start) this.socket.send(message(AUDIO, time - this.start, samples.buffer, rate));
  }

  stop() {
    if (this.ended || this.stopping) return;
    this.stopping = true;
    this.socket.send(JSON.stringify({ type: "stop" }));
  }

  // Leaves without a result.
  leave() {
    this.ended = true;
    this.socket.close();
  }
}
