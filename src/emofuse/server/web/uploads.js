// Uploads, one after the other. While the queue of the server is full, they wait.

import { ServerError, json, server, upload } from "./server.js";
import { size, t } from "./texts.js";

const WAITS = 429; // the queue is full

// Whether a failure is one of the moment: no answer, a body that stalled, or the server's own.
const mayPass = (status) => !status || status === 408 || status >= 500;

let lastId = 0;

// States of an upload.
const WAITING = "waiting", SENT = "sent";
export const SENDING = "sending", FAILED = "failed";

export class Uploads {
  #items = [];
  #active = false;

  // `onChange` receives the upload that changed; one whose state is SENT has a job.
  constructor(onChange) {
    this.onChange = onChange;
    server.addEventListener("job", () => this.#next());
    server.addEventListener("online", () => this.#next());
  }

  get isBusy() {
    return this.#items.some(({ state }) => state === WAITING || state === SENDING);
  }

  add(file, options) {
    const item = { id: `upload-${++lastId}`, name: file.name, file, options, state: WAITING, progress: 0, error: null, full: false };
    this.#items.push(item);
    const most = server.status?.limits.upload_bytes;
    if (most && file.size > most) this.#fail(item, t("error.large", { size: size(file.size), most: size(most) }));
    if (!file.size) this.#fail(item, t("error.empty"));
    this.onChange(item);
    this.#next();
  }

  retry(item) {
    Object.assign(item, { state: WAITING, progress: 0, error: null });
    this.onChange(item);
    this.#next();
  }

  remove(item) {
    item.controller?.abort();
    this.#items = this.#items.filter((other) => other !== item);
  }

  // `again`: whether it may succeed if it is sent again.
  #fail(item, error, again = false) {
    Object.assign(item, { state: FAILED, error, again });
    this.onChange(item);
  }

  async #next() {
    const item = this.#items.find(({ state }) => state === WAITING);
    if (this.#active || !item) return;
    this.#active = true;
    try {
      await this.#send(item);
    } finally {
      this.#active = false;
    }
    if (item.state !== WAITING) this.#next();
  }

  async #send(item) {
    if (await this.#isFull()) return this.#wait(item);
    item.controller = new AbortController();
    Object.assign(item, { state: SENDING, progress: 0, full: false });
    this.onChange(item);
    try {
      const query = new URLSearchParams({ name: item.name, ...item.options });
      item.job = await upload(`/jobs?${query}`, item.file, {
        signal: item.controller.signal,
        onProgress: (progress) => {
          item.progress = progress;
          this.onChange(item);
        },
      });
      item.state = SENT;
      this.remove(item);
      return this.onChange(item);
    } catch (error) {
      if (error.name === "AbortError") {
        item.state = FAILED;
        return undefined;
      }
      return error.status === WAITS ? this.#wait(item) : this.#fail(item, error.message, mayPass(error.status));
    }
  }

  // Asked first, since a refused upload may end as a broken connection.
  async #isFull() {
    try {
      const jobs = await json("GET", "/jobs");
      return jobs.filter(({ status }) => status === "queued" || status === "running").length >= server.status.limits.queued_jobs;
    } catch (error) {
      if (error instanceof ServerError || server.status === null) return false;
      throw error;
    }
  }

  // The next event of a job, or the return of the server, tries again.
  #wait(item) {
    Object.assign(item, { state: WAITING, full: true });
    this.onChange(item);
  }
}
