// Ten thousand jobs on one plane. A map over thousands would be a column of thousands, so jobs of one task whose
// parents stand in the same blocks stand together in a block of rows.

import type { Run } from "../run/run";
import { eachEdge, linksBetween } from "./grouping";
import { edgesBetween, layered, packed, sizesOf, topological, type Edges } from "./layered";
import { columnsOf, type Link, type Rect } from "./scene";

export const STEP = 18;
export const SIDE = 14;
const TITLE = 22;
/** A title's share of the plane: whoever sees all of it can read it. */
const TITLE_SHARE = 0.07;

export interface Block extends Rect {
  task: number;
  jobs: Int32Array;
  columns: number;
}

export interface Plane {
  blocks: Block[];
  links: Link[];
  /** Upper left corner of each job's cell. */
  x: Float32Array;
  y: Float32Array;
  blockOf: Int32Array;
  /** Room above each block for its name. */
  title: number;
  width: number;
  height: number;
}

function edgesOf(run: Run): Edges {
  const { leading } = run;
  const from = new Int32Array(leading.reduce((sum, { list }) => sum + list.length, 0));
  const to = new Int32Array(from.length);
  let length = 0;
  eachEdge(run, leading, (parent, child) => {
    from[length] = parent;
    to[length++] = child;
  });
  return { from: from.subarray(0, length), to: to.subarray(0, length) };
}

/** The block of each job. Parents come first, so their blocks are known. */
export function blocksOf(run: Run): { blockOf: Int32Array; blocks: number } {
  const edges = edgesOf(run);
  const parents = packed(run.jobs, edges.to, edges.from);
  const blockOf = new Int32Array(run.jobs);
  const known = new Map<string, number>();
  for (const job of topological(run.jobs, edges)) {
    const above = new Set<number>();
    for (let at = parents.starts[job]; at < parents.starts[job + 1]; at++) above.add(blockOf[parents.list[at]]);
    const key = `${run.perJob.task[job]}:${[...above].sort((a, b) => a - b).join()}`;
    let block = known.get(key);
    if (block === undefined) known.set(key, (block = known.size));
    blockOf[job] = block;
  }
  return { blockOf, blocks: known.size };
}

export function planeOf(run: Run): Plane {
  const { blockOf, blocks: amount } = blocksOf(run);
  const jobs = Int32Array.from({ length: run.jobs }, (_, job) => job);
  const members = packed(amount, blockOf, jobs);
  const blocks: Block[] = [];
  const most = Math.max(...members.starts.subarray(1).map((end, index) => end - members.starts[index]), 1);
  const title = Math.max(TITLE, TITLE_SHARE * Math.ceil(most / columnsOf(most)) * STEP);
  for (let index = 0; index < amount; index++) {
    const own = members.list.subarray(members.starts[index], members.starts[index + 1]);
    const columns = own.length > 3 ? columnsOf(own.length) : 1;
    const rows = Math.ceil(own.length / columns);
    const w = Math.max(columns * STEP, own.length > 3 ? 6 * STEP : STEP);
    blocks.push({ task: run.perJob.task[own[0]], jobs: own, columns, x: 0, y: 0, w, h: rows * STEP + title });
  }
  const links = linksBetween(run, blockOf, amount);
  const placed = layered(sizesOf(blocks), edgesBetween(links), 64, 8);
  const plane = { title, blocks, links, blockOf, x: new Float32Array(run.jobs), y: new Float32Array(run.jobs) };
  blocks.forEach((block, index) => {
    block.x = placed.x[index];
    block.y = placed.y[index];
    block.jobs.forEach((job, place) => {
      plane.x[job] = block.x + (place % block.columns) * STEP;
      plane.y[job] = block.y + title + Math.floor(place / block.columns) * STEP;
    });
  });
  return { ...plane, width: placed.width, height: placed.height };
}

/** The job whose cell is at the point, or -1. */
export function jobAt(plane: Plane, x: number, y: number): number {
  for (const block of plane.blocks) {
    if (x < block.x || x > block.x + block.w || y < block.y + plane.title || y > block.y + block.h) continue;
    const column = Math.floor((x - block.x) / STEP);
    const row = Math.floor((y - block.y - plane.title) / STEP);
    const place = row * block.columns + column;
    if (column < block.columns && place < block.jobs.length) return block.jobs[place];
  }
  return -1;
}
