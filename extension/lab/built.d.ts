/** Made by build.mjs. */
declare module "elfbook:extension" {
  import type { Body } from "./container";

  export const needs: readonly string[];
  export const body: Body;
}

declare module "elfbook:style" {
  const style: string;
  export default style;
}
