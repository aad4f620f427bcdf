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

const boxOf = (face, area) => face.box.map((value, n) => value * (n % 2 ? area.height : area.width));

const texts = (faces, short) => faces.map((face) => {
  const found = face.probabilities && strongest(face.probabilities), number = face.name ?? face.person ?? t("live.new-face");
  if (short) return found ? `${number} ${emotionName(found[0])}` : String(number);
  return found ? `${faceName(face)}: ${emotionName(found[0])} ${percent(found[1])}` : faceName(face);
});

const overlaps = (a, b) => a.left < b.left + b.width && b.left < a.left + a.width && Math.abs(a.top - b.top) < LINE_HEIGHT;

// Where the labels of faces are drawn: shorter if they would meet, and below each other if that is not enough.
export const placeLabels = (faces, area, widthOf) => {
  const place = (short) => texts(faces, short).map((text, n) => {
    const [x, y, , height] = boxOf(faces[n], area), width = widthOf(text) + 8;
    const top = y >= LINE_HEIGHT ? y - LINE_HEIGHT : Math.min(y + height, area.height - LINE_HEIGHT);
    return { text, width, top, left: Math.min(Math.max(0, x - 1), Math.max(0, area.width - width)) };
  });
  const meet = (labels) => labels.some((label, n) => labels.slice(0, n).some((other) => overlaps(label, other)));
  const full = place(false);
  if (!meet(full)) return full;
  const labels = place(true);
  labels.forEach((label, n) => {
    while (labels.slice(0, n).some((other) => overlaps(label, other)) && label.top + 2 * LINE_HEIGHT <= area.height) label.top += LINE_HEIGHT;
  });
  return labels;
};

const drawBox = (pen, face, area) => {
  const colour = face.emotion ? emotionColour(face.emotion) : UNSCORED_COLOUR;
  for (const [line, stroke] of [[4, BACK], [2, colour]]) {
    [pen.lineWidth, pen.strokeStyle] = [line, stroke];
    pen.strokeRect(...boxOf(face, area));
  }
};

const drawLabels = (pen, faces, area) => {
  pen.font = "600 13px system-ui, sans-serif";
  for (const { text, left, top, width } of placeLabels(faces, area, (label) => pen.measureText(label).width)) {
    pen.fillStyle = BACK;
    pen.fillRect(left, top, width, LINE_HEIGHT);
    pen.fillStyle = "#fff";
    pen.fillText(text, left + 4, top + 13);
  }
};

// Draws a frame and its faces at once, so that a box is never on another frame than its own.
export const drawFrame = (shown, frame, faces) => {
  const scale = devicePixelRatio || 1, width = shown.clientWidth || frame.width, height = (width * frame.height) / frame.width;
  [shown.width, shown.height] = [Math.round(width * scale), Math.round(height * scale)];
  const pen = shown.getContext("2d", { alpha: false }), area = { width, height };
  pen.scale(scale, scale);
  pen.drawImage(frame, 0, 0, width, height);
  for (const face of faces) drawBox(pen, face, area);
  drawLabels(pen, faces, area);
  const [only, ...others] = faces; // of several the bars are in the list alone
  if (only?.probabilities && !others.length && width >= LEAST_WIDTH_FOR_BARS) drawBars(pen, only.probabilities, boxOf(only, area), area);
};
