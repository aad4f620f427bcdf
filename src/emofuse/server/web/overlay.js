// The frame that was scored, with what was found in it: boxes, persons, emotions and bars.

import { emotionColour, emotionName, strongest } from "./emotions.js";
import { percent, t } from "./texts.js";

const UNSCORED_COLOUR = "#b5bac1";
const BACK = "rgba(0, 0, 0, .75)";
const LINE_HEIGHT = 18, BAR_HEIGHT = 10, BAR_WIDTH = 64, NAME_WIDTH = 74, MARGIN = 4;
const LEAST_WIDTH_FOR_BARS = 420; // CSS pixels of the frame; on telephones the list below has the bars

export const faceName = ({ person, name }) => name ?? (person === null ? t("live.new-face") : t("person.number", { number: person }));

const drawBars = (pen, probabilities, [x, y, width, height], area) => {
  const entries = Object.entries(probabilities);
  const wide = NAME_WIDTH + BAR_WIDTH + 3 * MARGIN, tall = entries.length * (BAR_HEIGHT + 3) + 2 * MARGIN;
  const left = x + width + MARGIN + wide <= area.width ? x + width + MARGIN : Math.max(0, x - MARGIN - wide);
  const top = Math.min(Math.max(0, y), Math.max(0, area.height - tall));
  pen.fillStyle = BACK;
  pen.fillRect(left, top, wide, tall);
  pen.font = "10px system-ui, sans-serif";
  entries.forEach(([label, value], n) => {
    const line = top + MARGIN + n * (BAR_HEIGHT + 3);
    pen.fillStyle = "#fff";
    pen.fillText(emotionName(label), left + MARGIN, line + BAR_HEIGHT - 1, NAME_WIDTH);
    pen.fillStyle = emotionColour(label);
    pen.fillRect(left + 2 * MARGIN + NAME_WIDTH, line, Math.max(1, BAR_WIDTH * value), BAR_HEIGHT);
  });
};

const drawFace = (pen, face, area) => {
  const [x, y, width, height] = face.box.map((value, n) => value * (n % 2 ? area.height : area.width));
  const colour = face.emotion ? emotionColour(face.emotion) : UNSCORED_COLOUR;
  for (const [line, stroke] of [[4, BACK], [2, colour]]) {
    [pen.lineWidth, pen.strokeStyle] = [line, stroke];
    pen.strokeRect(x, y, width, height);
  }
  const found = face.probabilities && strongest(face.probabilities);
  const text = found ? `${faceName(face)}: ${emotionName(found[0])} ${percent(found[1])}` : faceName(face);
  pen.font = "600 13px system-ui, sans-serif";
  const upper = y >= LINE_HEIGHT ? y - LINE_HEIGHT : Math.min(y + height, area.height - LINE_HEIGHT), size = pen.measureText(text).width + 8;
  const left = Math.min(Math.max(0, x - 1), Math.max(0, area.width - size));
  pen.fillStyle = BACK;
  pen.fillRect(left, upper, size, LINE_HEIGHT);
  pen.fillStyle = "#fff";
  pen.fillText(text, left + 4, upper + 13);
  if (face.probabilities && area.width >= LEAST_WIDTH_FOR_BARS) drawBars(pen, face.probabilities, [x, y, width, height], area);
};

// Draws a frame and its faces at once, so that a box is never on another frame than its own.
export const drawFrame = (shown, frame, faces) => {
  const scale = devicePixelRatio || 1, width = shown.clientWidth || frame.width, height = (width * frame.height) / frame.width;
  [shown.width, shown.height] = [Math.round(width * scale), Math.round(height * scale)];
  const pen = shown.getContext("2d", { alpha: false });
  pen.scale(scale, scale);
  pen.drawImage(frame, 0, 0, width, height);
  for (const face of faces) drawFace(pen, face, { width, height });
};
