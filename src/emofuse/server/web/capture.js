// Camera and microphone: frames and blocks of audio with times in milliseconds on the page's clock (`performance.now`).

import { element } from "./dom.js";

const LONGEST_SIDE = 640; // pixels of a frame that is sent
const JPEG_QUALITY = 0.92;
const CANVASES = 4; // two in flight, one shown, one being drawn
const LATE_MS = 500; // audio later than this was interrupted: its clock is set again

export const NO_DEVICE = "none";

export const isSupported = () => Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode && window.WebSocket
  && HTMLVideoElement.prototype.requestVideoFrameCallback);

const listed = async (kind) => (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === kind);

export const cameras = () => listed("videoinput");

export const microphones = () => listed("audioinput");

const exactly = (device) => (device ? { deviceId: { exact: device } } : {});

// Opens what was chosen: an id, "" for the browser's choice, or NO_DEVICE. The voice is taken as it is, without the filters of calls.
export const openDevices = (camera, microphone) => navigator.mediaDevices.getUserMedia({
  video: camera === NO_DEVICE ? false : { ...exactly(camera), width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } },
  audio: microphone === NO_DEVICE ? false
    : { ...exactly(microphone), channelCount: { ideal: 1 }, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
});

// Frames of a stream: `onFrame(time)` is called for every frame of the camera, and `grab` copies the present one.
export class Camera {
  #canvases = [];
  #last = -Infinity;

  constructor(stream, onFrame) {
    this.video = element("video", { muted: true, playsinline: true });
    this.video.muted = true;
    this.video.srcObject = new MediaStream(stream.getVideoTracks());
    const next = (now, { captureTime }) => {
      if (this.closed) return;
      this.video.requestVideoFrameCallback(next);
      const time = Math.max(captureTime ?? now, this.#last + 1);
      this.#last = time;
      onFrame(time);
    };
    this.video.requestVideoFrameCallback(next);
  }

  start() {
    return this.video.play();
  }

  // The present frame: a canvas, which is used again after a few others, and a promise of its JPEG bytes.
  grab() {
    const { videoWidth: width, videoHeight: height } = this.video;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    const canvas = this.#canvases.length < CANVASES ? element("canvas") : this.#canvases.shift();
    this.#canvases.push(canvas);
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    canvas.getContext("2d", { alpha: false }).drawImage(this.video, 0, 0, canvas.width, canvas.height);
    const jpeg = new Promise((resolve) => canvas.toBlob((blob) => resolve(blob.arrayBuffer()), "image/jpeg", JPEG_QUALITY));
    return { canvas, jpeg };
  }

  close() {
    this.closed = true;
    this.video.srcObject = null;
  }
}

// Audio of a stream: `onBlock({time, rate, samples, level})` is called for every block.
export class Microphone {
  #offset = Infinity; // ms, from the clock of the audio context to the page's

  constructor(stream, onBlock) {
    this.stream = new MediaStream(stream.getAudioTracks());
    this.onBlock = onBlock;
  }

  async start() {
    this.context = new AudioContext({ latencyHint: "interactive" });
    await this.context.audioWorklet.addModule("/static/microphone.js");
    await this.context.resume();
    const node = new AudioWorkletNode(this.context, "microphone", { numberOfInputs: 1, numberOfOutputs: 1 });
    node.port.onmessage = ({ data }) => this.#take(data);
    // Nothing is played: the worklet's output stays silent, but browsers run only what leads to an output.
    this.context.createMediaStreamSource(this.stream).connect(node).connect(this.context.destination);
  }

  // The delays of messages vary, so the least one of all blocks counts.
  #take({ start, samples }) {
    const rate = this.context.sampleRate, delay = performance.now() - 1000 * (start + samples.length / rate);
    this.#offset = delay > this.#offset + LATE_MS ? delay : Math.min(this.#offset, delay);
    let peak = 0;
    for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
    this.onBlock({ time: 1000 * start + this.#offset, rate, samples, level: peak });
  }

  close() {
    this.context?.close();
  }
}
