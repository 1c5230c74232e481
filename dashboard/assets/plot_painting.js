// What a chart paints between uPlot's axes.

import { color } from "./theme.js";

/** @param {any} u a uPlot @returns {Area} */
export function areaOf(u) {
  const { left, top, width, height } = u.bbox;
  const { x, y } = u.scales;
  const perX = width / (x.max - x.min);
  const isLog = y.distr === 3;
  const low = isLog ? Math.log10(y.min) : y.min;
  const high = isLog ? Math.log10(y.max) : y.max;
  const perY = height / (high - low);
  return { ctx: u.ctx, left, top, width, height, ratio: devicePixelRatio, isLog, x0: left - x.min * perX, perX, y0: top + high * perY, perY };
}

/** @param {Area} area @param {number} x @returns {number} pixel */
export function toX(area, x) {
  return area.x0 + x * area.perX;
}

/**
 * A line with a gap where a value is not finite; a point between two gaps is a dot. In one column of pixels first, lowest, highest and last are drawn.
 * @param {Area} area @param {Int32Array} places @param {Float64Array} xs @param {number} offset taken from each x @param {Float64Array} ys @param {LineStyle} style
 */
export function paintLine(area, places, xs, offset, ys, style) {
  const { ctx, ratio, isLog, perX, y0, perY } = area;
  const x0 = area.x0 - offset * perX;
  ctx.save();
  ctx.globalAlpha = style.alpha ?? 1;
  ctx.strokeStyle = ctx.fillStyle = style.stroke;
  ctx.lineWidth = style.width * ratio;
  ctx.lineJoin = "round";
  if (style.dash) ctx.setLineDash(style.dash.map((length) => length * ratio));
  ctx.beginPath();
  const dots = [];
  let run = 0;
  let column = NaN;
  let x = 0;
  let y = 0;
  let low = 0;
  let high = 0;
  const leaveColumn = () => {
    if (low !== high) {
      ctx.lineTo(x, low);
      ctx.lineTo(x, high);
      ctx.lineTo(x, y);
    }
  };
  for (let i = 0; i < places.length; ++i) {
    const value = ys[places[i]];
    const nextY = y0 - (isLog ? Math.log10(value) : value) * perY;
    // NaN, an infinity, or what a logarithmic scale has no place for.
    if (nextY - nextY !== 0) {
      if (run > 0) leaveColumn();
      if (run === 1) dots.push(x, y);
      run = 0;
      continue;
    }
    const nextX = x0 + xs[places[i]] * perX;
    if (style.dots) dots.push(nextX, nextY);
    if (run > 0 && Math.floor(nextX) === column) {
      ++run;
      y = nextY;
      if (y < low) low = y;
      else if (y > high) high = y;
      continue;
    }
    if (run > 0) leaveColumn();
    x = nextX;
    y = low = high = nextY;
    column = Math.floor(x);
    if (run++ === 0) ctx.moveTo(x, y);
    else ctx.lineTo(x, y);
  }
  if (run > 0) leaveColumn();
  if (run === 1) dots.push(x, y);
  ctx.stroke();
  if (dots.length > 0) {
    const radius = Math.max(style.width, 1.25) * 1.35 * ratio;
    ctx.beginPath();
    for (let i = 0; i < dots.length; i += 2) {
      ctx.moveTo(dots[i] + radius, dots[i + 1]);
      ctx.arc(dots[i], dots[i + 1], radius, 0, 2 * Math.PI);
    }
    ctx.fill();
  }
  ctx.restore();
}

/** Marks of values that are not finite. @param {Area} area @param {number[]} positions pixels, rising @param {string[]} words */
export function paintNonfinite(area, positions, words) {
  if (positions.length === 0) return;
  const { ctx, ratio, top, height } = area;
  const bottom = top + height;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = color("--nonfinite");
  ctx.lineWidth = 1.25 * ratio;
  ctx.beginPath();
  for (const x of positions) {
    ctx.moveTo(x, top);
    ctx.lineTo(x, bottom);
  }
  ctx.stroke();
  ctx.font = `600 ${10 * ratio}px ${color("--font")}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const right = area.left + area.width;
  let free = -Infinity;
  positions.forEach((x, i) => {
    const width = ctx.measureText(words[i]).width + 8 * ratio;
    const left = Math.min(x, right - width);
    if (left < free) return;
    free = left + width + 2 * ratio;
    ctx.fillStyle = color("--nonfinite");
    ctx.fillRect(left, top, width, 14 * ratio);
    ctx.fillStyle = color("--on-nonfinite");
    ctx.fillText(words[i], left + 4 * ratio, top + 7.5 * ratio);
  });
  ctx.restore();
}

/** Non-finite steps, at the lower edge. @param {Area} area @param {Stretch[]} bands */
export function paintBands(area, bands) {
  const { ctx, ratio, left, width, top, height } = area;
  ctx.save();
  ctx.fillStyle = color("--nonfinite");
  for (const band of bands) {
    const from = Math.max(toX(area, band.first), left);
    const to = Math.min(toX(area, band.last), left + width);
    if (to < left || from > left + width) continue;
    ctx.fillRect(from - ratio, top + height - 3 * ratio, Math.max(to - from, 0) + 2 * ratio, 3 * ratio);
  }
  ctx.restore();
}

/** Events; the sign at the top tells how grave they are. @param {Area} area @param {Annotation[]} annotations */
export function paintAnnotations(area, annotations) {
  const { ctx, ratio, left, width, top, height } = area;
  ctx.save();
  ctx.lineWidth = ratio;
  const size = 3.5 * ratio;
  // Of those that share a place the gravest is drawn, and the gravest of all last.
  const kept = new Map();
  for (const severity of ["critical", "warning", "info"])
    for (const one of annotations) {
      const x = Math.round(toX(area, one.x)) + 0.5;
      const place = Math.floor(x / (2 * ratio));
      if (one.severity === severity && x >= left && x <= left + width && !kept.has(place)) kept.set(place, { x, severity });
    }
  for (const { x, severity } of [...kept.values()].reverse()) {
    ctx.strokeStyle = ctx.fillStyle = color(`--${severity}`);
    ctx.globalAlpha = severity === "info" ? 0.45 : 0.7;
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
    ctx.beginPath();
    if (severity === "critical") {
      ctx.moveTo(x - size, top - size * 1.6);
      ctx.lineTo(x + size, top - size * 1.6);
      ctx.lineTo(x, top);
    } else if (severity === "warning") {
      ctx.moveTo(x, top - size * 2);
      ctx.lineTo(x + size, top - size);
      ctx.lineTo(x, top);
      ctx.lineTo(x - size, top - size);
    } else {
      ctx.arc(x, top - size, size * 0.7, 0, 2 * Math.PI);
    }
    ctx.fill();
  }
  ctx.restore();
}
