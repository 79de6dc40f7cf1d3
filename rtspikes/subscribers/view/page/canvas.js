/** Canvases that keep to their element's size in device pixels. */

/**
 * Return {canvas, ctx, width, height, dpr} of a canvas that fills its parent; sizes in CSS pixels.
 * `resized` is called after each change: a canvas that was resized is empty.
 */
export const fitted = (canvas, resized) => {
  const plot = { canvas, ctx: canvas.getContext("2d"), width: 0, height: 0, dpr: 1, stop: () => {} };
  const fit = () => {
    const box = canvas.parentElement.getBoundingClientRect();
    const dpr = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(box.width * dpr));
    const height = Math.max(1, Math.round(box.height * dpr));
    if (canvas.width === width && canvas.height === height && plot.dpr === dpr && plot.width) return;
    canvas.width = width;
    canvas.height = height;
    Object.assign(plot, { width: width / dpr, height: height / dpr, dpr });
    resized();
  };
  const observer = new ResizeObserver(fit);
  observer.observe(canvas.parentElement);
  window.addEventListener("resize", fit);
  plot.stop = () => {
    observer.disconnect();
    window.removeEventListener("resize", fit);
  };
  fit();
  return plot;
};
