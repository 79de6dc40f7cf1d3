/** The page as one PNG: its boxes, words and canvases are drawn again, at their places, into one canvas. */

import { lines } from "./draw.js";
import { elide, plain } from "./text.js";

const FOOT_PX = 26;
const LEFT_OUT =
  ".tools, .sprite, #tip, #toasts, #veil, #help, #mark-form, button.close, .small, #all-label, button:disabled";
const CLEAR = "rgba(0, 0, 0, 0)";

const drawSides = (ctx, style, box) => {
  const right = box.left + box.width;
  const bottom = box.top + box.height;
  const ends = {
    Top: [box.left, box.top, right, box.top],
    Right: [right, box.top, right, bottom],
    Bottom: [box.left, bottom, right, bottom],
    Left: [box.left, box.top, box.left, bottom],
  };
  for (const [side, [x0, y0, x1, y1]] of Object.entries(ends)) {
    const width = parseFloat(style[`border${side}Width`]);
    if (width) lines(ctx, [x0, y0, x1, y1], style[`border${side}Color`], width);
  }
};

const drawBox = (ctx, style, box) => {
  const width = parseFloat(style.borderTopWidth);
  const around =
    width && ["Right", "Bottom", "Left"].every((side) => parseFloat(style[`border${side}Width`]) === width);
  if (!around) drawSides(ctx, style, box);
  if (style.backgroundColor === CLEAR && !around) return;
  ctx.beginPath();
  ctx.roundRect(
    box.left,
    box.top,
    box.width,
    box.height,
    Math.min(parseFloat(style.borderTopLeftRadius) || 0, box.height / 2),
  );
  if (style.backgroundColor !== CLEAR) {
    ctx.fillStyle = style.backgroundColor;
    ctx.fill();
  }
  if (around) {
    ctx.strokeStyle = style.borderTopColor;
    ctx.lineWidth = width;
    ctx.stroke();
  }
};

const drawWords = (ctx, node, style, clip) => {
  const words = node.textContent.replace(/\s+/g, " ").trim();
  if (!words) return;
  const range = document.createRange();
  range.selectNodeContents(node);
  const box = range.getBoundingClientRect();
  if (!box.width) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(clip.left, clip.top - 2, clip.width, clip.height + 4);
  ctx.clip();
  ctx.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  ctx.fillStyle = style.color;
  ctx.textBaseline = "middle";
  const room = style.textOverflow === "ellipsis" || style.overflowX === "hidden" ? clip.right - box.left : Infinity;
  ctx.fillText(room < box.width ? elide(ctx, words, room) : words, box.left, box.top + box.height / 2);
  ctx.restore();
};

/** Draw an element and what is in it, in the page's coordinates. */
const drawElement = (ctx, element) => {
  if (element.matches(LEFT_OUT) || !element.checkVisibility({ visibilityProperty: true })) return;
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  ctx.save();
  ctx.globalAlpha *= Number(style.opacity);
  if (style.overflowY !== "visible") {
    ctx.beginPath();
    ctx.rect(box.left, box.top, box.width, box.height);
    ctx.clip();
  }
  drawBox(ctx, style, box);
  if (element instanceof HTMLCanvasElement) ctx.drawImage(element, box.left, box.top, box.width, box.height);
  for (const child of element.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) drawWords(ctx, child, style, box);
    else if (child instanceof HTMLElement) drawElement(ctx, child);
  }
  ctx.restore();
};

/** Return the page as a canvas, with a line below that says what, when and from which session. */
const compose = (store) => {
  const dpr = Math.max(window.devicePixelRatio || 1, 1);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(innerWidth * dpr);
  canvas.height = Math.round((innerHeight + FOOT_PX) * dpr);
  const ctx = canvas.getContext("2d");
  ctx.scale(dpr, dpr);
  const style = getComputedStyle(document.body);
  ctx.fillStyle = style.backgroundColor;
  ctx.fillRect(0, 0, innerWidth, innerHeight + FOOT_PX);
  for (const child of document.body.children) if (child instanceof HTMLElement) drawElement(ctx, child);
  const { facts } = store;
  ctx.font = `12px ${style.fontFamily}`;
  ctx.fillStyle = style.color;
  ctx.textBaseline = "middle";
  const words = [
    plain(facts?.name ?? facts?.stream ?? ""),
    `session ${plain(facts?.session ?? "–")}`,
    new Date().toISOString().slice(0, 19).replace("T", " ") + " UTC",
    plain(facts?.software ?? "rtspikes"),
  ];
  ctx.fillText(words.filter(Boolean).join("   ·   "), 14, innerHeight + FOOT_PX / 2 - 3);
  return canvas;
};

/** Save the page as a file. */
export const saveSnapshot = (store, done) => {
  compose(store).toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    const stream = plain(store.facts?.stream ?? "page", 40).replace(/[^\w-]+/g, "_");
    link.download = `rtspikes-${stream}-${new Date().toISOString().slice(0, 19).replace(/:/g, "")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    done(link.download);
  }, "image/png");
};
