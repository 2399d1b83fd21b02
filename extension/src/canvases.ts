// The file canvas.js: what is drawn on a canvas, and so is on no board's first picture. It is built with the same
// short names as board.js, since it is given objects from there. What both need is in both, and holds no state.

export { CanvasRenderer } from "./graph/canvas";
export { Lanes } from "./graph/lanes";
