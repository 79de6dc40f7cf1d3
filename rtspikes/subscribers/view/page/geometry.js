/** Where electrodes are drawn: real coordinates where there are any, else a grid in stream order. */

const LEAST_FILLED = 0.45;
const WELL_NAME = /^([A-P])(\d{1,2})$/;

/** Return the usual distance between neighbours: the median over a sample of electrodes. */
const pitchOf = (xs, ys) => {
  const n = xs.length;
  if (n < 2) return 1;
  const nearest = [];
  const step = Math.max(1, Math.floor(n / 64));
  for (let i = 0; i < n; i += step) {
    let best = Infinity;
    for (let k = 0; k < n; k += 1) {
      const d = Math.hypot(xs[k] - xs[i], ys[k] - ys[i]);
      if (d > 1e-6 && d < best) best = d;
    }
    if (best < Infinity) nearest.push(best);
  }
  nearest.sort((a, b) => a - b);
  return nearest[nearest.length >> 1] ?? 1;
};

const boundsOf = (members, xs, ys) => {
  const box = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  for (const i of members) {
    box.x0 = Math.min(box.x0, xs[i]);
    box.x1 = Math.max(box.x1, xs[i]);
    box.y0 = Math.min(box.y0, ys[i]);
    box.y1 = Math.max(box.y1, ys[i]);
  }
  return box;
};

const overlap = (a, b) => a.x0 <= b.x1 && b.x0 <= a.x1 && a.y0 <= b.y1 && b.y0 <= a.y1;

/** Wells of a plate are far apart: at its true scale nothing would be seen of the electrodes. */
const scattered = (wells, box, pitch) => {
  const area = ({ x0, y0, x1, y1 }) => (x1 - x0 + pitch) * (y1 - y0 + pitch);
  return wells.reduce((sum, well) => sum + area(well.box), 0) < LEAST_FILLED * area(box);
};

/** Put electrodes without coordinates into a near-square grid, in stream order. */
const gridPlaces = (members, xs, ys) => {
  const side = Math.ceil(Math.sqrt(members.length));
  members.forEach((i, k) => {
    xs[i] = k % side;
    ys[i] = Math.floor(k / side);
  });
};

/** Put wells side by side: where their names say (A1 … P24), else in a near-square grid. */
const placeWells = (wells, xs, ys, pitch) => {
  const width = Math.max(...wells.map((w) => w.box.x1 - w.box.x0)) + 2.5 * pitch;
  const height = Math.max(...wells.map((w) => w.box.y1 - w.box.y0)) + 3.4 * pitch;
  const named = wells.every((w) => WELL_NAME.test(w.name));
  const side = Math.ceil(Math.sqrt(wells.length));
  wells.forEach((well, k) => {
    const match = named ? WELL_NAME.exec(well.name) : null;
    const [column, row] = match
      ? [Number(match[2]) - 1, match[1].charCodeAt(0) - 65]
      : [k % side, Math.floor(k / side)];
    const [dx, dy] = [column * width - well.box.x0, row * height - well.box.y0];
    for (const i of well.members) {
      xs[i] += dx;
      ys[i] += dy;
    }
    well.box = boundsOf(well.members, xs, ys);
  });
};

/**
 * Return {x, y, pitch, box, wells, um}: places of all channels, in µm where `um`, else in steps of the grid.
 * Channels without a place among channels that have one stand in a line below the array.
 */
export const layOut = (facts) => {
  const { n } = facts;
  const xs = new Float64Array(n);
  const ys = new Float64Array(n);
  const names = facts.well ?? [];
  const groups = new Map();
  for (let i = 0; i < n; i += 1) {
    const name = names[i] ?? "";
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(i);
  }
  const placed = (i) => Number.isFinite(facts.x_um?.[i]) && Number.isFinite(facts.y_um?.[i]);
  const lost = [];
  let any = false;
  for (let i = 0; i < n; i += 1) {
    if (placed(i)) {
      xs[i] = facts.x_um[i];
      ys[i] = facts.y_um[i];
      any = true;
    } else lost.push(i);
  }
  if (!any) for (const members of groups.values()) gridPlaces(members, xs, ys);
  const members = any ? [...Array(n).keys()].filter(placed) : [...Array(n).keys()];
  const largest = [...groups.values()].sort((a, b) => b.length - a.length)[0].filter((i) => !any || placed(i));
  const pitch = pitchOf(
    largest.map((i) => xs[i]),
    largest.map((i) => ys[i]),
  );
  const wells = [...groups]
    .map(([name, all]) => {
      const own = any ? all.filter(placed) : all;
      return { name, members: own, box: boundsOf(own, xs, ys) };
    })
    .filter((w) => w.members.length);
  const clash = wells.some((a, k) => wells.slice(k + 1).some((b) => overlap(a.box, b.box)));
  if (wells.length > 1 && (clash || scattered(wells, boundsOf(members, xs, ys), pitch)))
    placeWells(wells, xs, ys, pitch);
  const box = boundsOf(members, xs, ys);
  if (any) {
    const across = Math.max(1, Math.round((box.x1 - box.x0) / pitch) + 1);
    lost.forEach((i, k) => {
      xs[i] = box.x0 + (k % across) * pitch;
      ys[i] = box.y1 + (1.8 + Math.floor(k / across)) * pitch;
    });
  }
  return {
    x: xs,
    y: ys,
    pitch,
    um: any,
    box: boundsOf([...Array(n).keys()], xs, ys),
    wells: wells.length > 1 || wells[0]?.name ? wells : [],
  };
};
