// What there is one of for each job: columns of numbers, as they came in byte buffers.

import { EDGES, type EdgeKind, type Snapshot } from "../messages";

/** Bytes from wherever a host has them. */
export type Bytes = ArrayBuffer | ArrayBufferView;

export class Malformed extends Error {}

/** The bytes at the start of a buffer of their own: a view into a larger message may begin anywhere. */
export function aligned(bytes: Bytes): ArrayBuffer {
  if (bytes instanceof ArrayBuffer) return bytes;
  const { buffer, byteOffset, byteLength } = bytes;
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength).slice().buffer;
}

type Kind = "u1" | "i4" | "f8";
type ColumnOf<K extends Kind> = K extends "u1" ? Uint8Array : K extends "i4" ? Int32Array : Float64Array;

const WIDTHS: Record<Kind, number> = { u1: 1, i4: 4, f8: 8 };

export function column<K extends Kind>(kind: K, bytes: Bytes | undefined, entries?: number): ColumnOf<K> {
  if (bytes === undefined) throw new Malformed("a column is missing");
  const buffer = aligned(bytes);
  const whole = buffer.byteLength % WIDTHS[kind] === 0;
  if (!whole || (entries !== undefined && buffer.byteLength !== entries * WIDTHS[kind])) {
    throw new Malformed(`a column has ${buffer.byteLength} bytes`);
  }
  if (kind === "u1") return new Uint8Array(buffer) as ColumnOf<K>;
  if (kind === "i4") return new Int32Array(buffer) as ColumnOf<K>;
  return new Float64Array(buffer) as ColumnOf<K>;
}

export interface Columns {
  state: Uint8Array;
  task: Int32Array;
  number: Int32Array;
  attempts: Int32Array;
  worker: Int32Array;
  started: Float64Array;
  ended: Float64Array;
  edges: readonly Edges[];
}

/** Parents or children of all jobs: those of job j are list[starts[j]] to list[starts[j + 1] - 1]. */
export interface Adjacency {
  starts: Int32Array;
  list: Int32Array;
}

/** The edges of one kind, by the jobs that they lead to. */
export interface Edges extends Adjacency {
  kind: EdgeKind;
}

/** The columns of a Snapshot, in the order that its docstring names. */
export function snapshotColumns({ jobs, edges = [] }: Snapshot, buffers: readonly Bytes[]): Columns {
  return {
    state: column("u1", buffers[0], jobs),
    task: column("i4", buffers[1], jobs),
    number: column("i4", buffers[2], jobs),
    attempts: column("i4", buffers[3], jobs),
    worker: column("i4", buffers[4], jobs),
    started: column("f8", buffers[5], jobs),
    ended: column("f8", buffers[6], jobs),
    edges: edges.map((name, index) => {
      const kind = EDGES.find((kind) => kind.name === name);
      if (!kind) throw new Malformed(`edges are ${name}`);
      return { kind, starts: column("i4", buffers[7 + 2 * index], jobs + 1), list: column("i4", buffers[8 + 2 * index]) };
    }),
  };
}

export interface Changes {
  job: Int32Array;
  state: Uint8Array;
  attempts: Int32Array;
  worker: Int32Array;
  started: Float64Array;
  ended: Float64Array;
}

/** The columns of a Patch. */
export function patchColumns(buffers: readonly Bytes[]): Changes {
  const job = column("i4", buffers[0]);
  return {
    job,
    state: column("u1", buffers[1], job.length),
    attempts: column("i4", buffers[2], job.length),
    worker: column("i4", buffers[3], job.length),
    started: column("f8", buffers[4], job.length),
    ended: column("f8", buffers[5], job.length),
  };
}
