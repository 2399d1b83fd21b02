// A layout in columns from left to right, for graphs of any size: longest-path ranks, barycentre sweeps for
// the order within a column, then heights by isotonic regression. Linear but for the sorting; no dummy nodes.

import type { Link, Rect } from "./scene";

export interface Edges {
  from: Int32Array;
  to: Int32Array;
}

export interface Placed {
  /** Left and upper sides. */
  x: Float64Array;
  y: Float64Array;
  rank: Int32Array;
  width: number;
  height: number;
}

export interface Sizes {
  w: Float64Array;
  h: Float64Array;
}

export function sizesOf(rects: readonly Rect[]): Sizes {
  return { w: Float64Array.from(rects, ({ w }) => w), h: Float64Array.from(rects, ({ h }) => h) };
}

/** Those of the links that put what they lead to further right. */
export function edgesBetween(links: readonly Link[]): Edges {
  const leading = links.filter(({ kind }) => kind.leads);
  return { from: Int32Array.from(leading, ({ from }) => from), to: Int32Array.from(leading, ({ to }) => to) };
}

const SWEEPS = 8;
const SETTLING = 6;

/** Neighbours of each node, packed: those of n are list[starts[n]] to list[starts[n + 1] - 1]. */
export function packed(nodes: number, keys: Int32Array, values: Int32Array): { starts: Int32Array; list: Int32Array } {
  const starts = new Int32Array(nodes + 1);
  for (const key of keys) starts[key + 1]++;
  for (let node = 0; node < nodes; node++) starts[node + 1] += starts[node];
  const next = starts.slice();
  const list = new Int32Array(keys.length);
  for (let edge = 0; edge < keys.length; edge++) list[next[keys[edge]]++] = values[edge];
  return { starts, list };
}

/** Every node after those that lead to it. Of a circle, which tasks may form, the first node goes first. */
export function topological(nodes: number, edges: Edges): Int32Array {
  const { starts, list } = packed(nodes, edges.from, edges.to);
  const missing = new Int32Array(nodes);
  for (const to of edges.to) missing[to]++;
  const order = new Int32Array(nodes);
  const taken = new Uint8Array(nodes);
  let length = 0;
  const take = (node: number) => {
    taken[node] = 1;
    order[length++] = node;
  };
  for (let node = 0; node < nodes; node++) if (!missing[node]) take(node);
  let scan = 0;
  for (let head = 0; head < nodes; head++) {
    if (head === length) {
      while (taken[scan]) scan++;
      take(scan);
    }
    const node = order[head];
    for (let at = starts[node]; at < starts[node + 1]; at++) {
      if (--missing[list[at]] === 0 && !taken[list[at]]) take(list[at]);
    }
  }
  return order;
}

function ranksOf(nodes: number, edges: Edges): { rank: Int32Array; edges: Edges } {
  const order = topological(nodes, edges);
  const place = new Int32Array(nodes);
  order.forEach((node, index) => (place[node] = index));
  const forward = Array.from(edges.from.keys()).filter((edge) => place[edges.from[edge]] < place[edges.to[edge]]);
  const kept = {
    from: Int32Array.from(forward, (edge) => edges.from[edge]),
    to: Int32Array.from(forward, (edge) => edges.to[edge]),
  };
  const down = packed(nodes, kept.from, kept.to);
  const rank = new Int32Array(nodes);
  for (const node of order) {
    for (let at = down.starts[node]; at < down.starts[node + 1]; at++) {
      rank[down.list[at]] = Math.max(rank[down.list[at]], rank[node] + 1);
    }
  }
  pullSources(rank, kept, down);
  return { rank, edges: kept };
}

/** A node that needs nothing stands right before the first that needs it. */
function pullSources(rank: Int32Array, edges: Edges, down: { starts: Int32Array; list: Int32Array }): void {
  const needs = new Uint8Array(rank.length);
  for (const to of edges.to) needs[to] = 1;
  for (let node = 0; node < rank.length; node++) {
    if (needs[node] || down.starts[node] === down.starts[node + 1]) continue;
    let first = Infinity;
    for (let at = down.starts[node]; at < down.starts[node + 1]; at++) first = Math.min(first, rank[down.list[at]]);
    rank[node] = first - 1;
  }
}

/** The values nearest to those wanted that never fall: neighbours that would are pooled at their mean. */
export function rising(wanted: Float64Array): Float64Array {
  const mean: number[] = [];
  const weight: number[] = [];
  for (const value of wanted) {
    mean.push(value);
    weight.push(1);
    while (mean.length > 1 && mean[mean.length - 2] > mean[mean.length - 1]) {
      const [m, w] = [mean.pop() as number, weight.pop() as number];
      const last = mean.length - 1;
      mean[last] = (mean[last] * weight[last] + m * w) / (weight[last] + w);
      weight[last] += w;
    }
  }
  const out = new Float64Array(wanted.length);
  let at = 0;
  mean.forEach((value, pool) => {
    out.fill(value, at, at + weight[pool]);
    at += weight[pool];
  });
  return out;
}

type Packed = ReturnType<typeof packed>;

function meanOf(near: Packed, node: number, values: Float64Array): number {
  const [from, to] = [near.starts[node], near.starts[node + 1]];
  if (from === to) return values[node];
  let sum = 0;
  for (let at = from; at < to; at++) sum += values[near.list[at]];
  return sum / (to - from);
}

/** Puts each column in the order of its neighbours' mean places, to and fro. */
function ordered(columns: number[][], up: Packed, down: Packed): void {
  const place = new Float64Array(up.starts.length - 1);
  // Places are shares of the column's length, so that a short column sits beside the middle of a long one.
  const note = (column: number[]) => {
    column.forEach((node, index) => (place[node] = (index + 0.5) / column.length));
  };
  columns.forEach(note);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const near = sweep % 2 ? down : up;
    for (const column of sweep % 2 ? [...columns].reverse() : columns) {
      const key = new Map(column.map((node) => [node, meanOf(near, node, place)]));
      column.sort((a, b) => (key.get(a) as number) - (key.get(b) as number));
      note(column);
    }
  }
}

/** Middles of the nodes: as near to their neighbours' as the column's order and gaps allow. */
function middles(columns: number[][], sizes: Sizes, near: [Packed, Packed], gap: number): Float64Array {
  const middle = new Float64Array(sizes.h.length);
  const offsets = columns.map((column) => {
    const offset = new Float64Array(column.length);
    for (let index = 1; index < column.length; index++) {
      offset[index] = offset[index - 1] + (sizes.h[column[index - 1]] + sizes.h[column[index]]) / 2 + gap;
    }
    return offset;
  });
  columns.forEach((column, rank) => {
    const half = offsets[rank][column.length - 1] / 2;
    column.forEach((node, index) => (middle[node] = offsets[rank][index] - half));
  });
  for (let sweep = 0; sweep < SETTLING; sweep++) {
    const ranks = columns.map((_, rank) => rank);
    for (const rank of sweep % 2 ? ranks.reverse() : ranks) {
      const [column, offset] = [columns[rank], offsets[rank]];
      const wanted = Float64Array.from(column, (node, index) => meanOf(near[sweep % 2], node, middle) - offset[index]);
      rising(wanted).forEach((value, index) => (middle[column[index]] = value + offset[index]));
    }
  }
  return middle;
}

export function layered(sizes: Sizes, edges: Edges, gapX = 56, gapY = 16): Placed {
  const nodes = sizes.w.length;
  const { rank, edges: forward } = ranksOf(nodes, edges);
  const columns: number[][] = [];
  for (let node = 0; node < nodes; node++) (columns[rank[node]] ??= []).push(node);
  const up = packed(nodes, forward.to, forward.from);
  const down = packed(nodes, forward.from, forward.to);
  ordered(columns, up, down);
  const middle = middles(columns, sizes, [up, down], gapY);
  const x = new Float64Array(nodes);
  const y = new Float64Array(nodes);
  let [left, top, bottom] = [0, Infinity, -Infinity];
  for (const column of columns) {
    const widest = column.reduce((most, node) => Math.max(most, sizes.w[node]), 0);
    for (const node of column) {
      x[node] = left + (widest - sizes.w[node]) / 2;
      y[node] = middle[node] - sizes.h[node] / 2;
      top = Math.min(top, y[node]);
      bottom = Math.max(bottom, y[node] + sizes.h[node]);
    }
    left += widest + gapX;
  }
  for (let node = 0; node < nodes; node++) y[node] -= top;
  return { x, y, rank, width: Math.max(0, left - gapX), height: nodes ? bottom - top : 0 };
}
