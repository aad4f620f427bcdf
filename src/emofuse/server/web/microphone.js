// Audio worklet: blocks of about 100 ms of mono samples, with the time of the first one on the clock of the audio context.

const BLOCK_SECONDS = 0.1;

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.clear();
  }

  clear() {
    this.samples = new Float32Array(Math.round(BLOCK_SECONDS * sampleRate));
    this.filled = 0;
  }

  process([channels]) {
    if (!channels.length) return true;
    if (!this.filled) this.start = currentTime;
    const length = channels[0].length;
    for (let i = 0; i < length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.samples[this.filled++] = sum / channels.length;
      if (this.filled < this.samples.length) continue;
      this.port.postMessage({ start: this.start, samples: this.samples }, [this.samples.buffer]);
      this.clear();
      this.start = currentTime + (i + 1) / sampleRate;
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
